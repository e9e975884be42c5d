"""Images that were made to harm: refused in one sentence, or read within bounds of time and memory."""

import io
import os
import struct
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from resnets.images import decode as room
from resnets.images.decode import ImageError, decode


def saved(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def gradient(width=61, height=43):
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([across * 4, down * 5, (across + down) * 2], -1).astype(np.uint8)


def progressive_bomb(scans, before=b""):
    """A progressive JPEG whose last scan is there again and again, each time with some bytes before it."""
    data = saved(Image.fromarray(gradient()), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + (before + data[last:-2]) * scans + data[-2:]


def png_header(width, height):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return head + struct.pack(">I", 4) + b"IDAT"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "The file is empty."),
        (b"hello, this is no image", "not an image of a kind that is read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "not an image of a kind that is read"),
        (saved(Image.fromarray(gradient()), "JPEG")[:-100], r"cannot be decoded \(its file is truncated\)"),
        (saved(Image.fromarray(gradient()), "JPEG")[:300], "cannot be decoded"),
        (saved(Image.fromarray(gradient()))[:-60], "cannot be decoded"),
        (saved(Image.fromarray(gradient()))[:33], r"cannot be decoded \(its file is truncated\)"),
        (b"\xff\xd8\xff" + b"\0" * 50, "it is damaged, or of a kind that Pillow cannot read: "),
        (png_header(100_000, 100_000), "100,000 x 100,000 pixels, more than the limit"),
        (png_header(60_000, 60_000), "60,000 x 60,000 pixels, more than the limit"),
        (png_header(101, 1), "longer than 100 times its width"),
        (progressive_bomb(150), "159 scans, more than the limit of 100"),
    ],
)
def test_what_is_no_image_is_refused_in_one_sentence(data, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        decode(data)
    assert caught.value.problem.count(". ") == 0
    assert caught.value.problem.endswith(".")


@pytest.mark.parametrize("before", [b"\xff\x01", b"\xff\xd3", b"\xff\xff", b"\xff\xff\x01\xff\xff", b"\xff\0\xff"])
def test_scans_do_not_hide_behind_markers_without_a_length(before):
    with pytest.raises(ImageError, match="159 scans, more than the limit of 100"):
        decode(progressive_bomb(150, before))
    assert decode(progressive_bomb(50, before)).shape == (43, 61, 3)


@pytest.mark.timeout(20)
def test_counting_scans_takes_time_by_the_bytes_alone():
    with pytest.raises(ImageError, match="1,000 scans"):
        decode(b"\xff\xd8\xff\xe0\0\2" + b"\xff\xda\0\2" * 1000 + b"\xff" * 1_000_000 + b"\0")


def test_few_scans_pass_and_metadata_is_not_counted():
    assert decode(progressive_bomb(50)).shape == (43, 61, 3)
    plain = saved(Image.fromarray(gradient()), "JPEG")
    comment = b"\xff\xfe" + (402).to_bytes(2, "big") + b"\xff\xda" * 200
    assert np.array_equal(decode(plain[:2] + comment + plain[2:]), decode(plain))


@pytest.mark.parametrize(("large", "most"), [(10_000, 4), (2_000, 1)])
def test_large_images_are_decoded_one_at_a_time(large, most, monkeypatch):
    rgb, at_work, seen = room._rgb, [], []

    def slow(*arguments):
        at_work.append(1)
        seen.append(len(at_work))
        time.sleep(0.05)
        at_work.pop()
        return rgb(*arguments)

    monkeypatch.setattr(room, "_rgb", slow)
    monkeypatch.setattr(room, "LARGE", large)
    data = saved(Image.fromarray(gradient()))
    threads = [threading.Thread(target=decode, args=(data,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 4
    assert max(seen) == most if most == 1 else max(seen) > 1


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of memory is read from /proc")
def test_a_large_palette_takes_what_was_decoded_and_the_result(tmp_path):
    """16 million pixels: 16 MB of palette numbers and 64 MB of Pillow's RGB; RGBA and white would be 192 MB more."""
    palette = Image.new("P", (4000, 4000), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    for name, image in (("large", palette), ("small", palette.crop((0, 0, 9, 9)))):
        image.save(tmp_path / f"{name}.png", transparency=b"\0\x80")
    code = """
import re, sys
from resnets.images.decode import open_image
for name in ("small", "large"):
    size = open_image(f"{sys.argv[1]}/{name}.png").size
    print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)
    before, after = map(int, done.stdout.split())
    assert after - before < 120_000  # KiB


def test_paths_that_hold_no_image(tmp_path, monkeypatch):
    with pytest.raises(ImageError, match=r"^There is no such file\. "):
        decode(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="a folder, not an image"):
        decode(tmp_path)
    with pytest.raises(ImageError, match="cannot be read"):
        decode("zero\0byte.jpg")
    monkeypatch.setattr(room, "MAX_BYTES", 10)
    (tmp_path / "big.jpg").write_bytes(b"x" * 11)
    with pytest.raises(ImageError, match="11 bytes, more than the limit of 10"):
        decode(tmp_path / "big.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    waited = threading.Event()
    rescue = threading.Timer(5, lambda: (waited.set(), os.open(tmp_path / "pipe.jpg", os.O_RDWR)))
    rescue.start()
    with pytest.raises(ImageError, match="not a regular file"):
        decode(tmp_path / "pipe.jpg")
    rescue.cancel()
    assert not waited.is_set()
