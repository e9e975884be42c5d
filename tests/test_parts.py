import pytest

from resnets import parts
from resnets.errors import ResNetsError
from resnets.parts import Parts


@pytest.fixture(autouse=True)
def _every_row_is_a_part(monkeypatch):
    monkeypatch.setattr(parts, "EVERY", 0.0)


def row(item):
    return f"row of {item}\n".encode()


def write(path, items, job="a", stop_at=None):
    with Parts(path, job) as out:
        for item in out.rest(items):
            if item == stop_at:
                raise KeyboardInterrupt
            out.add(item, row(item), failed=item.startswith("bad"))
    return out


ITEMS = ["x", "bad", "y\udcff", "z"]


def test_an_interrupted_output_is_continued_and_joined(tmp_path):
    path = tmp_path / "out.txt"
    with pytest.raises(KeyboardInterrupt):
        write(path, [*ITEMS[:2], "stop"], stop_at="stop")
    assert not path.exists()
    again = Parts(path, "a")
    assert (again.done, again.failed) == (2, 1)
    drawn = iter([*ITEMS])
    assert list(again.rest(drawn)) == ITEMS[2:]
    write(path, [*"x", "bad", "y", "z"])
    assert path.read_bytes() == b"".join(map(row, ["x", "bad", "y", "z"]))
    assert not again.folder.exists()


def test_rows_since_the_last_part_are_kept_when_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "EVERY", 1000.0)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out.txt", ["x", "y", "stop"], stop_at="stop")
    assert Parts(tmp_path / "out.txt", "a").done == 2


def test_another_jobs_parts_are_not_continued(tmp_path):
    path = tmp_path / "out.txt"
    with pytest.raises(KeyboardInterrupt):
        write(path, ["x", "y", "stop"], stop_at="stop")
    with pytest.raises(ResNetsError, match="unfinished rows of another job"):
        Parts(path, "b")
    with pytest.raises(ResNetsError, match="not those of which"):
        write(path, ["x", "another", "z"])
    with pytest.raises(ResNetsError, match="not those of which"):
        write(path, ["x"])


def test_short_outputs_leave_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "EVERY", 1000.0)
    write(tmp_path / "out.txt", ["x"])
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
    with pytest.raises(ResNetsError, match="does not exist"):
        Parts(tmp_path / "none" / "out.txt", "a")
