"""argv of the verbs that make, move and describe model files goes in; files and tables come out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resnets.cli.results import JSON, RECIPES, apart, show, terminal_width
from resnets.errors import plain

if TYPE_CHECKING:
    from resnets.card import Label

FILE = click.Path(path_type=Path, dir_okay=False)
LABELS = click.option(
    "--labels", "labels_from", metavar="LIST|FILE", help="A shipped list's name, or a file of labels."
)
RECIPE = click.option("--recipe", "recipe_name", metavar="NAME", help=f"How pixels are prepared: {RECIPES}.")
OPSET = click.option("--opset", type=int, help="Of an .onnx file, 7 to 26.  [default: 13]")


def _labels(name_or_path: str | None) -> tuple[Label, ...] | None:
    if name_or_path is None:
        return None
    from resnets.labels import lists

    return lists.read(name_or_path)


def _given(**flags: Any) -> tuple[str, ...]:
    return tuple(f"--{name} {value}" for name, value in flags.items() if value is not None)


@click.command()
@click.argument("architecture")
@click.argument("out", type=FILE)
@click.option("--classes", type=click.IntRange(1), help="Else those of the labels, else 1,000, or 10 for CIFAR names.")
@LABELS
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@OPSET
def create_command(
    architecture: str, out: Path, classes: int | None, labels_from: str | None, seed: int, opset: int | None
) -> None:
    """Write a freshly initialised model of ARCHITECTURE to OUT, in the format of its suffix.

    \b
    resnets create resnet50 fresh.onnx --labels imagenet-1k
    """
    from resnets.initialise import create
    from resnets.network import parameters
    from resnets.weights.files import save

    model = save(create(architecture, classes=classes, labels=_labels(labels_from), seed=seed), out, opset=opset)
    count = parameters(model.architecture)
    said = f"{out}: {architecture}, {model.architecture.classes:,} classes, {count:,} parameters, untrained"
    click.echo(plain(said))


@click.command()
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT", type=FILE)
@OPSET
@click.option("--fold", is_flag=True, help="Fold batch norms into the convolutions before them.")
@click.option("--outputs", metavar="NAME,...", default="", help="More outputs of an .onnx file: features, feature_map.")
@click.option(
    "--names",
    metavar="DIALECT",
    help="Whose names the arrays of OUT get: torchvision, timm, gluoncv, akamaster (.pth, .safetensors), structural,"
    " prefixed, exported, gluoncv (.params), exported (.onnx), nn, cudnn (.t7).",
)
@LABELS
@RECIPE
@click.option("--architecture", metavar="NAME", help="The network of IN, where its file does not say all of it.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of images to compare both on, in place of the photographs in the package.",
)
@JSON
@click.option("--force", is_flag=True, help="Write OUT even where it would lose something, or differs.")
@click.option("--quiet", is_flag=True, help="Print nothing but the result and errors.")
def convert_command(
    source: str,
    target: Path,
    opset: int | None,
    fold: bool,
    outputs: str,
    names: str | None,
    labels_from: str | None,
    recipe_name: str | None,
    architecture: str | None,
    data: Path | None,
    json_to: str | None,
    force: bool,
    quiet: bool,
) -> int:
    """Write the model IN in the format of OUT's suffix, and prove that it still computes the same.

    IN and OUT are .onnx, .safetensors, PyTorch's .pth (.pt, .th), Torch7's .t7 or MXNet's .params files. An OUT that
    exists is replaced.

    \b
    resnets convert best.safetensors best.onnx --opset 17 --fold
    resnets convert resnet-18.t7 resnet-18.onnx --recipe fb --labels imagenet-1k
    """
    from resnets.catalog import find
    from resnets.cli.downloads import resumable
    from resnets.convert import convert, report
    from resnets.weights.names import resolve
    from resnets.weights.options import Options

    apart(json_to, source, target)
    with resumable(source):
        model = resolve(source, quiet=quiet)
    done = convert(
        model,
        target,
        Options(opset, tuple(name.strip() for name in outputs.split(",") if name.strip()), names, force),
        fold=fold,
        labels=_labels(labels_from),
        recipe=recipe_name,
        architecture=find(architecture) if architecture else None,
        given=_given(labels=labels_from, recipe=recipe_name, architecture=architecture),
        data=data,
        quiet=quiet,
    )
    show(*report(done, source, target), json_to)
    return 0 if done.holds else 1


@click.command()
@click.argument("model", metavar="FILE|NAME")
@click.option("--layers", is_flag=True, help="One line for each step of the network.")
@JSON
def show_command(model: str, layers: bool, json_to: str | None) -> None:
    """Show what a model file holds (card, parameters, inputs, outputs, digests), or what a name stands for.

    NAME is an architecture's, or that of published weights, of which it tells what they are, who says so, and where
    their file lies or would lie. Nothing is downloaded.

    \b
    resnets show best.onnx --layers
    resnets show resnet50.tv2
    """
    from resnets.describe import describe, page

    apart(json_to, model)
    facts = describe(model, with_layers=layers)
    apart(json_to, facts.get("file"))
    show(facts, page(facts, terminal_width()), json_to)


@click.group()
def card_command() -> None:
    """Change what a model says about itself, in a copy.

    \b
    resnets card set best.onnx named.onnx --labels classes.txt
    """


@card_command.command("set", short_help="Write a copy of a model with another card.")
@click.argument("model")
@click.argument("out", type=FILE)
@LABELS
@RECIPE
@click.option("--size", type=click.IntRange(1), help="Pixels of the recipe's resized side.")
@click.option("--crop", type=click.IntRange(1), help="Pixels of the recipe's crop.")
@click.option("--temperature", type=float, help="What logits are divided by before the softmax.")
@click.option("--licence", help="The licence of the weights.")
def set_command(
    model: str,
    out: Path,
    labels_from: str | None,
    recipe_name: str | None,
    size: int | None,
    crop: int | None,
    temperature: float | None,
    licence: str | None,
) -> None:
    """Write a copy of MODEL to OUT with those fields of its card changed; graph and arrays stay as they are.

    \b
    resnets card set best.onnx named.onnx --labels classes.txt --crop 256
    """
    from resnets.cli.downloads import resumable
    from resnets.convert import recard
    from resnets.weights.names import resolve

    with resumable(model):
        source = resolve(model)
    changes = {"temperature": temperature, "licence": licence, "size": size, "crop": crop}
    recard(
        source,
        out,
        labels=_labels(labels_from),
        recipe=recipe_name,
        given=_given(labels=labels_from, recipe=recipe_name, size=size, crop=crop),
        **changes,
    )
    click.echo(plain(f"{out}: the model of {model} with another card"))
