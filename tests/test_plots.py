"""Convergence charts: drawn from results.csv, of one run or several."""

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from PIL import Image

from resnets.errors import ResNetsError
from resnets.plots import convergence, read_results

HEADER = "epoch,train_loss,train_top1_error,val_top1_error,val_top5_error,learning_rate,images_per_second\n"


def write(run: Path, errors: list[float]) -> Path:
    run.mkdir()
    rows = "".join(f"{i},{2 / i},{e + 5},{e},{e / 9},0.1,1000\n" for i, e in enumerate(errors, 1))
    (run / "results.csv").write_text(HEADER + rows)
    return run


def test_every_run_is_a_line_of_the_chart(tmp_path: Path) -> None:
    first, second = write(tmp_path / "first", [60, 40, 30]), write(tmp_path / "second", [50, 20])
    convergence([first], tmp_path / "one.png")
    convergence([first, second], tmp_path / "two.png")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert one.size == two.size == (880, 990)

        def colours(image: Image.Image) -> int:
            counts = image.convert("RGB").getcolors(1 << 20) or []
            return sum(1 for count, (r, g, b) in counts if count > 60 and max(r, g, b) - min(r, g, b) > 100)

        assert colours(two) > colours(one) > 0


def test_a_chart_is_called_png(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [60])
    for name in ("x.jpg", "x"):
        with pytest.raises(ResNetsError, match="is a PNG image"):
            convergence([run], tmp_path / name)
        assert not (tmp_path / name).exists()
    convergence([run], tmp_path / "x.PNG")


def test_columns_are_numbers(tmp_path: Path) -> None:
    assert read_results(write(tmp_path / "run", [60, 40]))["val_top1_error"] == [60, 40]


def test_a_line_is_called_what_the_folder_of_its_run_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    labels: list[str] = []
    drawn = Axes.legend

    def note(axes: Axes) -> object:
        labels.extend(axes.get_legend_handles_labels()[1])
        return drawn(axes)

    monkeypatch.setattr(Axes, "legend", note)
    runs = [write(tmp_path / "first", [60]), write(tmp_path / "second", [50])]
    convergence([runs[0] / "results.csv", runs[1]], tmp_path / "out.png")
    assert [label.split(":")[0] for label in labels] == ["first", "first", "second", "second"]


@pytest.mark.parametrize("text", ["", HEADER, HEADER + "1,x,2\n", "a,b\n1,2\n"])
def test_a_file_without_results_is_one_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text(text)
    with pytest.raises(ResNetsError, match="holds no results"):
        convergence([tmp_path], tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
