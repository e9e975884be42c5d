"""Files appear whole or not at all."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from resnets.errors import ResNetsError
from resnets.files import alone, whole, write_whole


def test_a_file_takes_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")
    with whole(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["model"]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012, SIM117
        with whole(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model"]


def test_two_writers_of_one_file_do_not_mix_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with whole(path) as first:
        first.write(b"first" * 1000)
        with whole(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
        first.write(b"end")
    assert path.read_bytes() == b"first" * 1000 + b"end"
    assert os.listdir(tmp_path) == ["model"]


def test_what_a_killed_writer_left_goes_and_nothing_else(tmp_path: Path) -> None:
    code = """
import os, sys, pathlib
from resnets.files import whole
writer = whole(pathlib.Path(sys.argv[1]))
writer.__enter__()
os._exit(9)
"""
    for name in ("model", "model", "other"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=False)
    assert len([name for name in os.listdir(tmp_path) if name.startswith(".model.")]) == 1  # the first one's is gone
    with whole(tmp_path / "model"):
        write_whole(tmp_path / "model", b"new")  # takes the dead one's, not the one that is being written
        assert len([name for name in os.listdir(tmp_path) if name.startswith(".model.")]) == 1
    assert [name for name in os.listdir(tmp_path) if name.startswith(".other.")]


def test_what_is_no_file_is_refused_and_stays_what_it_was(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link, Path("/dev/null")):
        with pytest.raises(ResNetsError, match="is a device or a pipe"):
            write_whole(path, b"new")
    with pytest.raises(ResNetsError, match="is a folder"):
        write_whole(tmp_path, b"new")
    assert pipe.is_fifo()
    assert Path("/dev/null").is_char_device()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_a_link_leads_to_the_file_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there" / "model")
    write_whole(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "there" / "model").read_bytes() == b"new"


def limit_files_to_a_kilobyte() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))


def test_a_system_that_refuses_more_bytes_is_one_error(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from resnets.errors import ResNetsError
from resnets.files import whole
try:
    with whole(Path(sys.argv[1])) as file:
        file.write(bytes(10_000))
except ResNetsError as error:
    print(error)
"""
    path = tmp_path / "model"
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        preexec_fn=limit_files_to_a_kilobyte,
        capture_output=True,
        text=True,
    )
    assert f"{path} cannot be written (File too large)" in run.stdout, run.stderr
    assert not os.listdir(tmp_path)


def test_a_missing_folder_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ResNetsError, match="does not exist"), whole(tmp_path / "nowhere" / "model") as file:
        file.write(b"x")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "config"
    with alone(path, "runs/a"), pytest.raises(ResNetsError, match="at work in runs/a"), alone(path, "runs/a"):
        pass
    with alone(path, "runs/a"):
        pass


def test_a_lock_that_its_holder_removed_holds_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with alone(path, "a"):
        path.unlink()
        with alone(path, "a"), pytest.raises(ResNetsError, match="at work in a"), alone(path, "a"):
            pass
