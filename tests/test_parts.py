import os

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


def kept(path, items=()):
    """What an earlier run left: rows, errors among them, and the items that are still to do."""
    with pytest.raises(KeyboardInterrupt), Parts(path, "a") as out:  # noqa: PT012
        found = (out.done, out.failed, list(out.rest(items or ITEMS)))
        raise KeyboardInterrupt
    return found


ITEMS = ["x", "bad", "y\udcff", "z"]


def test_an_interrupted_output_is_continued_and_joined(tmp_path):
    path = tmp_path / "out.txt"
    with pytest.raises(KeyboardInterrupt):
        write(path, [*ITEMS[:2], "stop"], stop_at="stop")
    assert not path.exists()
    assert kept(path) == (2, 1, ITEMS[2:])
    write(path, [*"x", "bad", "y", "z"])
    assert path.read_bytes() == b"".join(map(row, ["x", "bad", "y", "z"]))
    assert os.listdir(tmp_path) == ["out.txt"]


def test_rows_since_the_last_part_are_kept_when_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "EVERY", 1000.0)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out.txt", ["x", "y", "stop"], stop_at="stop")
    assert kept(tmp_path / "out.txt", "xyz") == (2, 0, ["z"])


def test_another_jobs_parts_are_not_continued(tmp_path):
    path = tmp_path / "out.txt"
    with pytest.raises(KeyboardInterrupt):
        write(path, ["x", "y", "stop"], stop_at="stop")
    with pytest.raises(ResNetsError, match="unfinished rows of another job"):
        write(path, [], "b")
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


def test_a_second_command_with_the_same_output_is_refused(tmp_path):
    path = tmp_path / "out.txt"
    with Parts(path, "a") as first:
        first.add("x", row("x"), failed=False)
        with pytest.raises(ResNetsError, match=r"Another process is at work in .*out\.txt\.part"):
            write(path, ["x", "y"])
        first.add("y", row("y"), failed=False)
    assert path.read_bytes() == row("x") + row("y")
    assert os.listdir(tmp_path) == ["out.txt"]
    write(path, ["z"])  # and may come once the first has ended
    assert path.read_bytes() == row("z")


def test_only_parts_of_this_job_are_joined(tmp_path):
    path = tmp_path / "out.txt"
    with pytest.raises(KeyboardInterrupt):
        write(path, ["x", "y", "stop"], stop_at="stop")
    folder = tmp_path / "out.txt.part"
    (folder / f"00000007-1-0-{64 * '0'}.rows").write_bytes(b"from elsewhere\n")
    (folder / "notes.rows").write_bytes(b"from elsewhere\n")
    write(path, ["x", "y", "z"])
    assert path.read_bytes() == b"".join(map(row, "xyz"))
