"""A path, bytes or pixels go in, RGB pixels come out; whatever is made to harm is refused, or costs little."""

import io
import os
import re
import stat
import struct
import threading
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.errors import ResNetsError

Pixels = NDArray[np.uint8]
Source = str | os.PathLike[str] | bytes

MAX_BYTES = 512 << 20
MAX_PIXELS = 178_956_970  # where Pillow itself calls a file a decompression bomb
MAX_SIDE = 65_535  # JPEG's own limit
MAX_ASPECT = 100  # a 1 x 65,535 image whose short side is brought to 256 would need 12 GB
MAX_SCANS = 100  # a progressive JPEG has about ten; each scan costs a pass over the whole image
LARGE = 32_000_000  # pixels: above, one image at a time is decoded, whatever the threads; each takes 8 bytes a pixel
BAND = 1 << 20  # pixels whose colours are converted at once: no whole copy beside what was decoded and the result

# What a file begins with → Pillow's class for it. Chosen here, not by Pillow's guess, because its list has formats that
# start other programs (EPS) and because importing them all takes longer than decoding a photograph.
FORMATS = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG", "JpegImagePlugin", "JpegImageFile"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG", "PngImagePlugin", "PngImageFile"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WebP", "WebPImagePlugin", "WebPImageFile"),
    (re.compile(rb"GIF8[79]a"), "GIF", "GifImagePlugin", "GifImageFile"),
    (re.compile(rb"BM"), "BMP", "BmpImagePlugin", "BmpImageFile"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF", "TiffImagePlugin", "TiffImageFile"),
    (re.compile(rb"P[1-6]\s"), "PPM", "PpmImagePlugin", "PpmImageFile"),
    (re.compile(rb"....ftyp(avif|avis|mif1|msf1)", re.DOTALL), "AVIF", "AvifImagePlugin", "AvifImageFile"),
)
SUFFIXES = frozenset(".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .avif".split())

_UPRIGHT = {  # EXIF orientation → what makes the image upright (CIPA DC-008, 4.6.5)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_ALONE = threading.Lock()


class ImageError(ResNetsError):
    """One image cannot be used. `problem` is the reason, one sentence, without the file's name: rows carry that."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "Mend or leave out that image.")


def decode(source: Source, *, exif: str = "apply", alpha: str = "white") -> Pixels:
    """The image of a path or of a file's bytes: uint8 [h, w, 3], RGB. The first frame, where there are several.

    `exif`: `apply` turns the image upright, `ignore` leaves it. `alpha`: `white` lays it on white, `drop` forgets it.
    Grey becomes RGB, 16 bits are scaled to 8, CMYK is converted. Raises ImageError, whatever is wrong with the image.
    """
    return np.asarray(open_image(source, exif, alpha))


def open_image(source: "Source | Image.Image | NDArray[Any]", exif: str = "apply", alpha: str = "white") -> Image.Image:
    """`decode` before its pixels become an array; takes a Pillow image and an array [h, w] or [h, w, c] too."""
    try:
        if isinstance(source, np.ndarray):
            return _rgb(_from_array(source), "array", alpha)
        if isinstance(source, Image.Image):
            image, kind = source, str(source.format)
        else:
            data = source if isinstance(source, bytes) else _read(Path(source))
            image, kind = _identify(data)
        _check_size(*image.size)
        with _ALONE if image.width * image.height > LARGE else nullcontext():
            image.load()
            # Read after loading: Pillow itself turns TIFF upright when it loads, and then forgets the orientation.
            turn = _orientation(image) if exif == "apply" else None
            image = _rgb(image, kind, alpha)
            return image.transpose(turn) if turn is not None else image
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("The image needs more memory than there is.") from error
    except Exception as error:  # decoders raise anything: OSError, SyntaxError, struct.error, EOFError, ...
        said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        cut = isinstance(error.__cause__ or error, EOFError | IndexError | struct.error) or "truncat" in said.lower()
        reason = "its file is truncated" if cut else f"it is damaged, or of a kind that Pillow cannot read: {said}"
        raise ImageError(f"The image cannot be decoded ({reason}).") from error


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ImageError("It is not a regular file.")
            if found.st_size > MAX_BYTES:
                raise ImageError(f"The file has {found.st_size:,} bytes, more than the limit of {MAX_BYTES:,}.")
            return file.read()
    except IsADirectoryError as error:
        raise ImageError("It is a folder, not an image.") from error
    except FileNotFoundError as error:
        raise ImageError("There is no such file.") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise ImageError(f"The file cannot be read ({getattr(error, 'strerror', None) or error}).") from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # opening a named pipe would wait for its writer


def _identify(data: bytes) -> tuple[Image.Image, str]:
    if not data:
        raise ImageError("The file is empty.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"The file has {len(data):,} bytes, more than the limit of {MAX_BYTES:,}.")
    for magic, kind, module, name in FORMATS:
        if magic.match(data):
            if kind == "JPEG":
                _check_scans(data)
            image: Image.Image = getattr(import_module(f"PIL.{module}"), name)(io.BytesIO(data))
            return image, kind
    kinds = ", ".join(kind for _, kind, _, _ in FORMATS)
    raise ImageError(f"The file is not an image of a kind that is read ({kinds}).")


def _check_size(width: int, height: int) -> None:
    if not width or not height:
        raise ImageError("The image has no pixels.")
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        limits = f"the limit of {MAX_PIXELS:,} pixels and {MAX_SIDE:,} a side"
        raise ImageError(f"The image is {width:,} x {height:,} pixels, more than {limits}.")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(f"The image is {width:,} x {height:,} pixels, longer than {MAX_ASPECT} times its width.")


# A marker that has a length: FF00 is data, 01 (TEM) and D0-D7 (RST) stand alone, and any number of FF may come before.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)


def _check_scans(data: bytes) -> None:
    if data.count(b"\xff\xda") <= MAX_SCANS:  # an upper bound, because metadata may hold those two bytes as well
        return
    scans, at = 0, 2
    while (found := _MARKER.search(data, at)) and found[1] != b"\xd9":
        scans += found[1] == b"\xda"
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    if scans > MAX_SCANS:
        raise ImageError(f"The JPEG has {scans:,} scans, more than the limit of {MAX_SCANS}.")


def _orientation(image: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata says nothing about the pixels
        return None


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,), (4,)):
        raise ImageError(f"An array must be uint8 [h, w] or [h, w, 3 or 4], and this is {array.dtype} {array.shape}.")
    _check_size(array.shape[1], array.shape[0])
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)


def _rgb(image: Image.Image, kind: str, alpha: str) -> Image.Image:
    if image.mode == "RGB" and (alpha == "drop" or "transparency" not in image.info):
        return image
    width, height = image.size
    rows = max(1, BAND // width)
    if height <= rows:
        return _converted(image, kind, alpha)
    rgb = Image.new("RGB", image.size)
    for top in range(0, height, rows):
        rgb.paste(_converted(image.crop((0, top, width, min(top + rows, height))), kind, alpha), (0, top))
    return rgb


def _converted(image: Image.Image, kind: str, alpha: str) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        image = _eight_bits(image)
    if image.mode in ("I", "F"):
        raise ImageError("The image has 32-bit pixels, whose range no one knows.")
    if alpha == "white" and (image.mode.endswith(("A", "a")) or "transparency" in image.info):
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    # By way of RGBA, because Pillow complains when it is to forget a palette's transparency; the colours are the same.
    return (image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips at 255. It reads 16-bit colour by its high byte, at most one level from this.
    grey = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((grey * 255 + 32767) // 65535).clip(0, 255).astype(np.uint8))
