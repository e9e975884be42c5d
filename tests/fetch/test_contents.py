"""What is no model is recognised by its first bytes, and models are not."""

import time

import pytest

from resnets.fetch.contents import mistaken

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 102442450\n"


@pytest.mark.parametrize(
    ("head", "is_"),
    [
        (POINTER, "a Git LFS pointer, the few lines that stand for a file of 102,442,450 bytes which lies elsewhere"),
        (b"\xef\xbb\xbf\n  <!DOCTYPE HTML><html>", "a web page"),
        (
            b"<!-- by a proxy -->\n<HTML><head><title>Sign\n in &amp; go\x1b[2J</title>",
            r"a web page (Sign in & go\x1b[2J)",
        ),
        (b"<?xml version='1.0'?><!doctype html><html>", "a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "an XML text (<?xml version='1.0'?><Error><Code>"),
        (b'{"error": "Repository not found"}', 'a JSON text ({"error": "Repository not found"})'),
    ],
)
def test_what_is_no_model_is_named(head, is_):
    found = mistaken(head, "resnet-18.t7")
    assert found is not None
    assert found.startswith(is_)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x04\0\0\0\x01\0\0\0", "a.t7"),
        (b"4\n1\n3\nV 1\n13\nnn.Sequential", "ascii.t7"),
        (b"\x08\x03\x12\x00", "a.onnx"),
        (b"{\0\0\0\0\0\0\0" + b'{"conv1.weight"', "a.safetensors"),  # a header of 123 bytes
        (b'{"\0\0\0\0\0\0{"conv1.weight"', "b.safetensors"),  # one of 8,827
        (b"PK\x03\x04", "a.pth"),
        (b"\x12\x01\0\0\0\0\0\0", "a.params"),
        (b"\x1f\x8b\x08", "a.tar.gz"),
        (b'{"architectures": ["resnet50"]}', "config.json"),
        (b"<html>", "page.html"),
        (b"0123456789abcdef  resnet18v1.onnx", "resnet18v1-md5.txt"),
        (b"", "a.t7"),
    ],
)
def test_what_may_be_the_file_passes(head, name):
    assert mistaken(head, name, "application/octet-stream") is None


def test_the_type_that_the_server_tells_counts():
    assert mistaken(b"\x08\x03", "a.onnx", "Text/HTML; charset=utf-8") == "a web page"
    assert mistaken(b"<html>", "a-md5.txt") == "a web page"


def test_comments_without_end_cost_nothing():
    began = time.monotonic()
    mistaken(b"<!---->" * 73, "a.onnx")
    assert time.monotonic() - began < 0.1
