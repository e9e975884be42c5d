import io
import os

import pytest

from resnets.errors import ResNetsError
from resnets.inputs import Passed, counted, expand, from_stream, passed_over


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in (
        "b.JPG",
        "a-b.png",
        "a/z.jpeg",
        "a/deep/y.webp",
        "notes.txt",
        "a/.hidden.jpg",
        ".cache/x.jpg",
        "é.gif",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_is_walked_in_byte_order_by_suffix_in_any_case(folder):
    passed = Passed()
    found = list(expand([str(folder)], passed))
    names = [os.path.relpath(path, folder) for path in found]
    assert names == ["a-b.png", "a/deep/y.webp", "a/z.jpeg", "b.JPG", "é.gif"]
    assert names == sorted(names, key=os.fsencode)
    assert passed.others == {".txt": 1, "hidden": 1}  # notes.txt and a/.hidden.jpg


def test_files_are_taken_as_named_there_or_not(folder):
    assert list(expand(["notes.txt", "missing.jpg", "b.JPG"], Passed())) == ["notes.txt", "missing.jpg", "b.JPG"]


def test_patterns(folder):
    assert list(expand(["*.[pJ]*"], Passed())) == ["a-b.png", "b.JPG"]
    assert list(expand(["**/*.jpeg"], Passed())) == ["a/z.jpeg"]
    assert list(expand(["no*.jpg"], Passed())) == ["no*.jpg"]  # nothing matches: a row with its error
    (folder / "odd[1].jpg").touch()
    assert list(expand(["odd[1].jpg"], Passed())) == ["odd[1].jpg"]


def test_what_was_passed_over_is_told_by_its_suffix():
    line = passed_over({".txt": 1, ".heic": 1200, "": 1})
    assert line == ("passed over, no images by their suffix: 1,202 files (.heic 1,200, without suffix 1, .txt 1)")
    assert passed_over({"hidden": 1}) == "passed over, no images by their suffix, or hidden: 1 file (hidden 1)"
    assert "\x1b" not in counted({".\x1b[31m": 1})


def test_an_argument_that_names_nothing_says_why(folder):
    passed = Passed()
    assert list(expand(["no*.jpg", "", "b.JPG", "*.JPG"], passed)) == ["no*.jpg", "", "b.JPG", "b.JPG"]
    assert passed.reasons == {"no*.jpg": "No file matches the pattern.", "": "The name is empty."}
    for data, is_neither in ((b"\0\1\2", True), (b"\xff\xd8\xff\0", False), (b"BM" + b"\0" * 20, False), (b"a", False)):
        passed = Passed()
        assert len(list(expand(["-"], passed, io.BytesIO(data)))) == 1
        assert ("-" in passed.reasons) == is_neither


def test_empty_folders_are_remembered(tmp_path):
    passed = Passed()
    assert not list(expand([str(tmp_path)], passed))
    assert passed.empty == (str(tmp_path),)


def test_a_link_to_a_folder_above_ends(folder):
    (folder / "a" / "loop").symlink_to(folder)
    assert len(list(expand([str(folder)], Passed()))) == 5


def test_a_link_to_itself_costs_nothing_but_itself(folder):
    (folder / "a" / "self").symlink_to("self")
    (folder / "a" / "self.jpg").symlink_to("self.jpg")
    passed = Passed()
    found = [os.path.relpath(path, folder) for path in expand([str(folder)], passed)]
    assert found == ["a-b.png", "a/deep/y.webp", "a/self.jpg", "a/z.jpeg", "b.JPG", "é.gif"]
    assert passed.others == {".txt": 1, "hidden": 1, "": 1}


def test_folders_may_be_nested_deeper_than_python_calls_itself(tmp_path):
    deep = [str(tmp_path)]
    for _ in range(1500):
        deep.append(deep[-1] + "/d")
        os.mkdir(deep[-1])
    image = deep[-1] + "/x.jpg"
    open(image, "w").close()
    try:
        assert list(expand([str(tmp_path)], Passed())) == [image]
    finally:  # rmtree calls itself
        os.unlink(image)
        for path in reversed(deep):
            os.rmdir(path)


def test_a_pattern_gives_each_file_once(folder):
    (folder / "a" / "loop").symlink_to(folder)
    images = ["a-b.png", "a/deep/y.webp", "a/z.jpeg", "b.JPG", "é.gif"]
    assert list(expand(["./**"], Passed())) == [f"./{name}" for name in images]
    assert list(expand(["./b*"], Passed())) == ["./b.JPG"]
    assert list(expand(["**/*.jpeg"], Passed())) == ["a/z.jpeg"]


def test_a_folder_that_cannot_be_listed_is_a_bad_input(folder, monkeypatch):
    real = os.scandir

    def refuse(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert f"{folder}/a/deep" in list(expand([str(folder)], Passed()))


def test_web_addresses_are_not_read_yet():
    with pytest.raises(ResNetsError, match="is a web address"):
        expand(["a.jpg", "https://example.org/cat.jpg"], Passed())


@pytest.mark.parametrize("data", [b"\xff\xd8\xff\xe0\x00\x10JFIF", b"P6\n1 1\n255\nabc", b"BM" + b"\0" * 20, b"\0\1\2"])
def test_an_image_on_stdin(data):
    assert list(expand(["-"], Passed(), io.BytesIO(data + b"\n" * 99))) == [data + b"\n" * 99]


@pytest.mark.timeout(20)
def test_a_path_on_stdin_does_not_wait_for_the_next():
    reading, writing = os.pipe()
    with open(reading, "rb") as stream, open(writing, "wb", buffering=0) as program:
        items = expand(["-"], Passed(), stream)
        for path in ("a.jpg", "b", "a longer path than any image's head.jpg"):
            program.write(path.encode() + b"\n")
            assert next(items) == path


def test_an_image_may_arrive_in_pieces():
    class Slow(io.BytesIO):
        def read1(self, size=-1):
            return super().read1(min(size, 3))

    data = b"\x89PNG\r\n\x1a\n" + b"\0" * 50
    assert list(from_stream(Slow(data))) == [data]


def test_a_stream_that_cannot_be_read_is_one_error(tmp_path):
    with (
        open(tmp_path / "out", "wb") as file,
        open(file.fileno(), "rb", closefd=False) as stream,
        pytest.raises(ResNetsError, match="Standard input cannot be read"),
    ):
        list(from_stream(stream))


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        (b"", []),
        (b"a.jpg", ["a.jpg"]),
        (b"a.jpg\nb\n\nc d.png\r\n", ["a.jpg", "b", "c d.png"]),
        (b"BMW/a very long path to a photograph.jpg\nb.jpg\n", ["BMW/a very long path to a photograph.jpg", "b.jpg"]),
        (b"\xff.jpg\n", ["\udcff.jpg"]),
        (b"a.jpg\0b c.jpg\0", ["a.jpg", "b c.jpg"]),  # find -print0
        (b"a.jpg\0", ["a.jpg"]),
        (b"./a long path to a photograph.jpg\0b\n.jpg\0", ["./a long path to a photograph.jpg", "b\n.jpg"]),
        (b"BMW/a very long path to a photograph.jpg\0b.jpg", ["BMW/a very long path to a photograph.jpg", "b.jpg"]),
    ],
)
def test_a_list_on_stdin(data, paths):
    assert list(from_stream(io.BytesIO(data))) == paths
