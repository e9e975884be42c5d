"""A shipped label list's name, or a file of labels, goes in; out come the labels in the order of the network's outputs.

ImageNet-1k: WordNet ids in byte order and their names, as in the ONNX zoo's synset.txt and fb.resnet.torch's list
(timm and torchvision carry the same facts). CIFAR-10 and CIFAR-100: the data sets' own names in their own order.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnets.card import Label
from resnets.errors import ResNetsError, some

SHIPPED = ("imagenet-1k", "cifar10", "cifar100")
LIMIT = 16 << 20  # bytes; ImageNet-21k with all its names has one megabyte

_FORMS = (
    "Use a synset.txt (an id and a name on each line), a classes.txt (a name on each line), a class_to_idx.json or an"
    " id2label.json."
)
_WNID = re.compile(r"(n\d{8})(?:\s+(.*))?")


def read(name_or_path: str | Path) -> tuple[Label, ...]:
    """The labels of a shipped list, or of a file, in the order of the classes.

    Files: `synset.txt` ('n02123045 tabby, tabby cat' on each line), `classes.txt` (a name on each line, its id too),
    and JSON: torchvision's `class_to_idx` ({name: index}), Hugging Face's `id2label` ({"index": name}) or the
    `config.json` that holds it, Keras's class index ({"index": [id, name]}), or a plain list of names.
    Raises ResNetsError for an unknown name, and for a file that is no list of distinct labels.
    """
    if name_or_path in SHIPPED:
        return _from_lines(Path(__file__).with_name(f"{name_or_path}.txt").read_text("utf-8"), str(name_or_path))
    path = Path(name_or_path)
    text = _text(path)
    is_json = path.suffix.lower() == ".json" or text.lstrip()[:1] == "{"
    labels = _from_json(text, path) if is_json else _from_lines(text, str(path))
    _refuse_twins(labels, path)
    return labels


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
    except FileNotFoundError:
        raise ResNetsError(
            f"No label list is called {str(path)!r}, and there is no such file.",
            f"Use {', '.join(SHIPPED)}, or the path of a synset.txt, classes.txt, class_to_idx.json or id2label.json.",
        ) from None
    except OSError as error:
        raise ResNetsError(f"The label list {path} cannot be read ({error.strerror}).", _FORMS) from error
    if len(data) > LIMIT:
        raise ResNetsError(f"{path} is larger than {LIMIT >> 20} MiB and so no label list.", _FORMS)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ResNetsError(f"{path} is not a text file in UTF-8.", _FORMS) from error
    if "\0" in text:
        raise ResNetsError(f"{path} is not a text file in UTF-8.", _FORMS)
    if not text.strip():
        raise ResNetsError(f"The label list {path} is empty.", _FORMS)
    return text


def _from_lines(text: str, source: str) -> tuple[Label, ...]:
    # Not splitlines(): a name may hold a form feed or U+2028, and then every later class would move by one.
    lines = [line.strip() for line in text.rstrip().split("\n")]
    empty = [str(number) for number, line in enumerate(lines, 1) if not line]
    if empty:
        raise ResNetsError(
            f"The label list {source} has empty lines: {some(empty)}.",
            "Delete them, or write the class that is missing.",
        )
    found = [_WNID.fullmatch(line) for line in lines]
    if not any(found):
        return tuple(Label(line, line) for line in lines)
    without = [str(number) for number, match in enumerate(found, 1) if match is None]
    if without:
        raise ResNetsError(
            f"Some lines of the label list {source} begin with a WordNet id, and these do not: {some(without)}.",
            "Give every line an id, or none.",
        )
    return tuple(Label(match[1], match[2] or match[1]) for match in found if match)


def _from_json(text: str, path: Path) -> tuple[Label, ...]:
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise ResNetsError(f"The label list {path} is not valid JSON ({error}).", _FORMS) from error
    if isinstance(value, _Pairs):
        for key, inner in value:  # a Hugging Face config.json holds the list under its name
            if key in ("id2label", "class_to_idx") and isinstance(inner, _Pairs):
                value = inner
    if isinstance(value, _Pairs):
        if value and all(type(content) is int for _, content in value):
            return tuple(_label(name, path) for name in _in_order(value, path))
        if value and all(re.fullmatch(r"0|[1-9]\d{0,6}", key) for key, _ in value):
            contents = _in_order([(content, int(key)) for key, content in value], path)
            return tuple(_label(content, path) for content in contents)
    elif isinstance(value, list) and value:
        return tuple(_label(content, path) for content in value)
    raise ResNetsError(f"The JSON in {path} is no label list.", _FORMS)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs, because a dict would swallow a name that occurs twice."""


def _in_order(pairs: Sequence[tuple[Any, int]], path: Path) -> list[Any]:
    """What the pairs (content, index) hold, by index, which must be 0, 1, 2 … without a gap or a repetition."""
    counts = Counter(index for _, index in pairs)
    wrong = [f"{index} is missing" for index in range(len(pairs)) if index not in counts]
    wrong += [f"{index} is there {count} times" for index, count in sorted(counts.items()) if count > 1]
    wrong += [f"{index} is out of range" for index in sorted(counts) if not 0 <= index < len(pairs)]
    if wrong:
        raise ResNetsError(
            f"The {len(pairs)} classes in {path} are not numbered from 0 to {len(pairs) - 1}: {some(wrong)}.",
            "Number them without gaps, in the order of the network's outputs.",
        )
    return [content for content, _ in sorted(pairs, key=lambda pair: pair[1])]


def _label(content: object, path: Path) -> Label:
    if isinstance(content, str) and _writable(content):
        return Label(content, content)
    if isinstance(content, list) and len(content) == 2 and all(isinstance(x, str) and _writable(x) for x in content):
        return Label(content[0], content[1])
    raise ResNetsError(f"{json.dumps(content)[:80]} in {path} is not a label.", _FORMS)


def _writable(name: str) -> bool:
    """Is there anything in it, and no half of a surrogate pair? JSON can name one, and no file can hold it."""
    return bool(name.strip()) and not any("\ud800" <= c <= "\udfff" for c in name)


def _refuse_twins(labels: Sequence[Label], path: Path) -> None:
    twins = [repr(id_) for id_, count in Counter(label.id for label in labels).items() if count > 1]
    if twins:
        raise ResNetsError(
            f"The label list {path} names some classes more than once: {some(twins)}.",
            "Give each class an id of its own in a synset.txt, or use imagenet-1k if these are ImageNet's classes.",
        )
