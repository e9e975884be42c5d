"""argv of the verbs that make, move and describe model files goes in; files and tables come out."""

from pathlib import Path

import click

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Write a freshly initialised model.")
@click.argument("architecture")
@click.argument("out", type=FILE)
@click.option("--classes", type=click.IntRange(1), help="Classes; else those of the labels, else 1,000, or 10 for CIFAR names.")
@click.option("--labels", "labels_from", help="A shipped list's name, or a file of labels.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--opset", type=int, default=13, show_default=True, help="Of an .onnx file: 7 to 26.")
def create_command(architecture: str, out: Path, classes: int | None, labels_from: str | None, seed: int, opset: int) -> None:
    """Write a freshly initialised model of ARCHITECTURE to OUT (.onnx or .safetensors).

    \b
    resnets create resnet50 fresh.onnx --labels imagenet-1k
    """
    from resnets.initialise import create
    from resnets.network import parameters
    from resnets.weights.files import save

    model = save(create(architecture, classes=classes, labels=_labels(labels_from), seed=seed), out, opset=opset)
    click.echo(f"{out}: {architecture}, {model.architecture.classes:,} classes, {parameters(model.architecture):,} parameters")


def _labels(name_or_path: str | None):  # type: ignore[no-untyped-def]
    if name_or_path is None:
        return None
    from resnets.labels import lists

    return lists.read(name_or_path)
