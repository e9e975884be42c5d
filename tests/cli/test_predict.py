"""Real processes, but for what one process can show alone."""

import csv
import io
import json
import os
import select
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [sys.executable, "-c", "from resnets.cli.main import main; main()"]


def run(*arguments, stdin=None, cwd=None):
    return subprocess.run([*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photos):
    """Photographs, a torn one among them, an empty one, and what is no image."""
    root = tmp_path_factory.mktemp("holiday")
    (root / "deep").mkdir()
    for name, photo in photos.items():
        (root / f"{name}.JPG").write_bytes(photo.read_bytes())
    (root / "deep" / "torn.jpg").write_bytes(photos["cat"].read_bytes()[:2000])
    (root / "empty.png").touch()
    (root / "notes.txt").write_text("not an image")
    return root


def test_jsonl_has_one_object_an_input_in_order_and_nothing_else(folder, tiny_model):
    done = run(
        "classify", folder, "missing.jpg", folder / "notes.txt", "-m", tiny_model, "--format", "jsonl", "--top", 9
    )
    assert done.returncode == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    names = [os.path.relpath(row["file"], folder) for row in rows[:-2]]
    assert names == ["camera.JPG", "cat.JPG", "coffee.JPG", "deep/torn.jpg", "empty.png", "rocket.JPG"]
    assert [row["file"] for row in rows[-2:]] == ["missing.jpg", str(folder / "notes.txt")]
    for row in rows:
        assert set(row) == {"file", "error", "predictions"}
        assert bool(row["error"]) == (not row["predictions"])
    assert [bool(row["error"]) for row in rows] == [False, False, False, True, True, False, True, True]
    good = rows[0]["predictions"]
    assert {p["label"] for p in good} == {"cat", "coffee", "rocket"}  # --top is clamped to the classes
    assert set(good[0]) == {"index", "id", "label", "probability"}
    assert sum(p["probability"] for p in good) == pytest.approx(1)
    assert b"passed over, no images by their suffix: 1 file (.txt 1)\n" in done.stderr
    assert b"4 of 8 images have an error in the place of an answer" in done.stderr


def test_csv_has_a_line_a_prediction(folder, tiny_model):
    done = run("classify", folder, "-m", tiny_model, "--format", "csv", "--top", 2, "--quiet")
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert len(rows) == 4 * 2 + 2
    assert [row["rank"] for row in rows[:2]] == ["1", "2"]
    assert [row["error"] for row in rows if not row["rank"]][1] == "The file is empty."


def test_the_table_names_the_file_and_its_classes(photos, tiny_model):
    done = run("classify", photos["cat"], "-m", tiny_model)
    lines = done.stdout.decode().splitlines()
    assert lines[0] == str(photos["cat"])
    assert len(lines) == 5  # three classes and an empty line
    assert done.stderr == b""
    assert done.returncode == 0
    one = run("classify", photos["cat"], "-m", tiny_model, "--top", 1).stdout.decode()
    assert one.count("\n") == 1
    assert one.endswith(f"{photos['cat']}\n")


def test_names_from_anywhere_do_not_reach_the_terminal(tiny_model, tmp_path):
    done = run("classify", "\x1b[31mred\n.jpg", "-m", tiny_model, cwd=tmp_path)
    assert b"\x1b" not in done.stdout
    assert b"\\x1b[31mred\\n.jpg" in done.stdout
    raw = b"\xff.jpg"
    done = run("classify", os.fsdecode(raw), "-m", tiny_model, "--format", "csv", cwd=tmp_path)
    assert raw in done.stdout
    done = run("classify", os.fsdecode(raw), "-m", tiny_model, "--format", "jsonl", cwd=tmp_path)
    assert os.fsencode(json.loads(done.stdout)["file"]) == raw


def test_below_the_threshold_the_answer_is_unknown(photos, tiny_model):
    done = run("classify", photos["cat"], "-m", tiny_model, "--threshold", 1, "--format", "jsonl")
    (prediction,) = json.loads(done.stdout)["predictions"]
    assert (prediction["index"], prediction["id"], prediction["label"]) == (None, None, "unknown")
    assert 0.3 < prediction["probability"] < 1


def test_the_reason_is_the_arguments_own(photos, tiny_model, tmp_path):
    done = run("classify", "im/*.nothing", "", "gone.jpg", "-", "-m", tiny_model, "--format", "jsonl", stdin=b"\0\1\2")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    reasons = ["No file matches the pattern.", "The name is empty.", "There is no such file."]
    assert [row["error"] for row in rows[:3]] == reasons
    assert rows[3]["error"].endswith("nor a list of paths, one a line.")
    assert [row["file"] for row in rows] == ["im/*.nothing", "", "gone.jpg", "-"]


def test_stdin_is_an_image_or_a_list(photos, tiny_model):
    image = run("classify", "-", "-m", tiny_model, "--format", "jsonl", stdin=photos["cat"].read_bytes())
    assert json.loads(image.stdout)["file"] == "-"
    listed = run("classify", "-", "-m", tiny_model, "--format", "jsonl", stdin=f"{photos['cat']}\nnone.jpg\n".encode())
    rows = [json.loads(line) for line in listed.stdout.splitlines()]
    assert rows[0]["predictions"][0] == pytest.approx(json.loads(image.stdout)["predictions"][0])
    assert rows[1]["error"] == "There is no such file."
    nothing = run("classify", "-", "-m", tiny_model, stdin=b"")
    assert nothing.returncode == 2


def test_a_program_may_wait_for_each_answer(photos, tiny_model):
    process = start("classify", "-", "-m", tiny_model, "--format", "jsonl", stdin=subprocess.PIPE)
    for photo in ("cat", "coffee", "rocket", "cat"):
        process.stdin.write(f"{photos[photo]}\n".encode())
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 20)[0], "no answer"
        assert json.loads(os.read(process.stdout.fileno(), 1 << 16))["file"] == str(photos[photo])
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_nothing_to_do_is_misuse(tmp_path, tiny_model, photos):
    (tmp_path / "notes.txt").touch()
    done = run("classify", tmp_path, "-m", tiny_model, "--format", "csv")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(f"error: There are no images in {tmp_path}, only 1 file (.txt 1).\n")
    assert run("classify").returncode == 2
    assert run("classify", "https://example.org/cat.jpg", "-m", tiny_model).returncode == 2
    assert run("classify", photos["cat"], "-m", tiny_model, "--crops", 10, "--flip").returncode == 2


def test_without_a_recipe_the_command_is_completed(photos, tiny_model, tmp_path):
    from dataclasses import replace

    from resnets.weights.files import load, save

    model = load(tiny_model)
    save(replace(model, card=replace(model.card, recipe=None)), tmp_path / "bare.onnx")
    done = run("classify", photos["cat"], "-m", tmp_path / "bare.onnx", "--top", 1)
    assert done.returncode == 2
    assert f"classify {photos['cat']} -m {tmp_path}/bare.onnx --top 1 --recipe torchvision" in done.stderr.decode()


def test_an_output_file_is_whole(folder, tiny_model, tmp_path):
    out = tmp_path / "names.jsonl"
    done = run("classify", folder, "-m", tiny_model, "-o", out, "--quiet")
    assert (done.returncode, done.stdout) == (1, b"")
    assert len(out.read_text().splitlines()) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["names.jsonl"]
    table = tmp_path / "names.txt"
    run("classify", folder, "-m", tiny_model, "-o", table, "--quiet")
    assert "\x1b" not in table.read_text()
    refused = run("classify", folder, "-m", tiny_model, "-o", tmp_path / "names.json")
    assert refused.returncode == 2
    assert b"No format belongs to the suffix .json" in refused.stderr
    assert b"as .jsonl" in refused.stderr
    assert b"--format table, csv or jsonl" in refused.stderr
    odd = tmp_path / "names.v2"
    assert run("classify", folder, "-m", tiny_model, "-o", odd, "--format", "csv", "--quiet").returncode == 1
    assert odd.read_text().startswith("file,error,rank")


def start(*arguments, **options):
    return subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_command_ends_at_once_and_is_continued(photos, tiny_model, tmp_path, number, status):
    """Its list never ends, so it is interrupted at work and while it waits for more; what is done stays."""
    out = tmp_path / "names.csv"
    line = ("classify", "-", "-m", tiny_model, "-o", out, "--top", 1)
    process = start(*line, stdin=subprocess.PIPE)
    process.stdin.write(f"{photos['cat']}\n".encode() * 30)
    process.stdin.flush()
    time.sleep(2.5)
    began = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - began < 3
    assert process.returncode == status, errors
    assert not out.exists()
    again = run(*line, stdin=f"{photos['cat']}\n".encode() * 31)
    assert b"rows already: going on from there" in again.stderr
    assert again.returncode == 0
    assert len(out.read_text().splitlines()) == 1 + 31


def test_a_reader_that_leaves_is_no_error(photos, tiny_model):
    process = start("classify", *[photos["cat"]] * 400, "-m", tiny_model, "--format", "csv", "--top", 1)
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=20), errors) == (0, b"")


@pytest.fixture(scope="module")
def measured(photo_data, tiny_model, tmp_path_factory):
    """DATA with a bad file in it, and what evaluate says."""
    import shutil

    root = tmp_path_factory.mktemp("measured") / "data"
    shutil.copytree(photo_data, root)
    (root / "val" / "cat" / "\x1b[31mtorn.jpg").write_bytes(b"\xff\xd8\xff")
    done = run("evaluate", root, "-m", tiny_model, "--json", "-")
    return root, done


def test_evaluate_counts_bad_files_apart(measured, tiny_model):
    from resnets.classify import Classifier

    root, done = measured
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert (found["images"], found["errors"], found["crops"], found["crop"]) == (12, 1, 1, 32)
    assert found["recipe"] == "resnets 32/32"
    classifier = Classifier(tiny_model)
    files = [path for path in sorted(root.glob("val/*/*.jpg")) if "torn" not in path.name]
    wrong = sum(classifier.classify(path)[0].label != path.parent.name for path in files)
    assert found["top1_error"] == pytest.approx(100 * wrong / 12, abs=1e-3)
    assert found["top5_error"] == 0
    assert found["top1_interval"][0] < found["top1_error"] < found["top1_interval"][1]
    assert b"cat/\\x1b[31mtorn.jpg: The image cannot be decoded" in done.stderr


def test_a_broken_network_is_never_right(measured, tiny_model, tmp_path):
    from dataclasses import replace

    import numpy as np

    from resnets.weights.files import load, save

    model = load(tiny_model)
    weights = {**model.weights, "fc.weight": np.full_like(model.weights["fc.weight"], 3e38)}
    save(replace(model, weights=weights), tmp_path / "broken.onnx")
    done = run("evaluate", measured[0], "-m", tmp_path / "broken.onnx", "--json", "-", "--quiet")
    found = json.loads(done.stdout)
    assert (found["images"], found["not_finite"], found["errors"]) == (12, 12, 1)
    assert (found["top1_error"], found["top5_error"]) == (100, 100)
    assert done.returncode == 1
    assert b"12 of 12 answers were not finite numbers, and count as wrong\n" in done.stderr
    assert done.stderr.count(b"\n") == 3  # that line, the torn file, and how many those are


def test_evaluate_takes_the_folder_itself_as_well(measured, tiny_model, tmp_path):
    root, done = measured
    again = run("evaluate", root / "val", "-m", tiny_model, "--json", tmp_path / "r.json", "--quiet", "--flip")
    assert "top-1 error" in again.stdout.decode()
    assert "top-5" not in again.stdout.decode(), "of three classes"
    assert "12 images, the centre crop and its mirror image of 32, recipe resnets 32/32\n" in again.stdout.decode()
    found = json.loads((tmp_path / "r.json").read_text())
    assert (found["crops"], found["data"]) == (2, json.loads(done.stdout)["data"])


def test_folders_that_are_no_classes_are_named_before_any_work(measured, tiny_model, tmp_path):
    root, _ = measured
    (tmp_path / "d").mkdir()
    for name in ("cat", "Coffee", "dog"):
        (tmp_path / "d" / name).symlink_to(root / "val" / "cat")
    done = run("evaluate", tmp_path / "d", "-m", tiny_model)
    assert done.returncode == 2
    assert b"Coffee, dog (2: no class of the model)" in done.stderr
    assert b"classes without a folder: coffee, rocket" in done.stderr
    assert run("evaluate", tmp_path / "none", "-m", tiny_model).returncode == 2
    assert run("evaluate", root / "train" / "cat", "-m", tiny_model).returncode == 2
