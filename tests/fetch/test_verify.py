"""What a file is held against, and what is said of it."""

import hashlib
from dataclasses import replace

import pytest

from resnets.fetch import verify
from resnets.published.row import Digest
from resnets.published.table import PUBLISHED

MD5 = hashlib.md5(b"x").hexdigest()
ROW = PUBLISHED["resnet18.fb"]


@pytest.mark.parametrize(
    "text",
    [
        MD5,
        f"{MD5.upper()}\r\n",
        f"{MD5}  resnet-18.t7\n",
        f"{MD5} *models/resnet-18.t7",
        f"MD5 (resnet-18.t7) = {MD5}",
        f"{'0' * 32}  other.t7\n{MD5}  resnet-18.t7\n",
        f"\ufeff{MD5}",
        f"resnet-18.t7: {MD5}",
        f"{MD5}  -\n",
        f"MD5 = {MD5}",
        f"MD5(stdin)= {MD5}",
        f"{MD5},resnet-18.t7",
        f"The MD5 of resnet-18.t7 is {MD5}.",
        f"{MD5}\n{MD5}\n",
    ],
)
def test_the_md5_of_a_file_is_found_in_every_form(text):
    assert verify.md5_told(text, "resnet-18.t7") == MD5


@pytest.mark.parametrize("text", ["", "<html>", MD5[:-1], f"x{MD5}", f"{MD5}{MD5}  resnet-18.t7"])
def test_no_md5_is_none(text):
    assert verify.md5_told(text, "resnet-18.t7") is None


@pytest.mark.parametrize(
    "text",
    [
        f"{MD5}  other.t7",
        f"{MD5} *other",
        f"MD5 (other.t7) = {MD5}",
        f"MD5 (other) = {MD5}",
        f"{MD5},other.t7",
        f"other.t7\n{MD5}",
        f"{MD5}  resnet-18.t7.gz",
        f"{MD5}  my-resnet-18.t7",
        f"{MD5}\n{'0' * 32}",
        f"{MD5}  resnet-18.t7\n{'0' * 32}  resnet-18.t7",
    ],
)
def test_md5s_of_which_none_is_told_to_be_of_the_file_are_refused(text):
    with pytest.raises(verify.UnclearError, match=r"which MD5 of [12] in it is that of resnet-18\.t7"):
        verify.md5_told(text, "resnet-18.t7")


def test_every_contradiction_is_told_at_once():
    row = replace(ROW, size=3, digests=(Digest("sha256", "0" * 64, "A"), Digest("sha1", "00", "B")))
    found = {"sha256": "1" * 64, "sha1": "2" * 40}
    assert verify.mismatches(row, found, 4) == [
        "it has 4 bytes where 3 are expected",
        f"its sha256 is {'1' * 64}, but the expected one is {'0' * 64} (A)",
        f"its sha1 is {'2' * 40}, but the expected one begins with 00 (B)",
    ]
    assert verify.mismatches(row, {"sha256": "0" * 64, "sha1": "00" + "2" * 38}, 3) == []


def test_digests_of_a_member_say_nothing_of_its_archive():
    row = replace(ROW, member=".params", digests=(Digest("sha1", "00", "B", member=True),))
    assert verify.algorithms(row) == ("sha256",)
    assert verify.algorithms(row, member=True) == ("sha1", "sha256")
    assert verify.mismatches(row, {"sha256": "1"}, 4) == []
    assert len(verify.mismatches(row, {"sha1": "1"}, member=True)) == 1


def test_what_a_file_was_checked_against():
    pinned = "no digest is known, so its sha256 is pinned"
    assert verify.checked(replace(ROW, size=None, digests=()), None) == f"nothing: {pinned}"
    assert verify.checked(replace(ROW, size=3, digests=()), None) == f"its size alone: {pinned}"
    several = (Digest("sha256", "0" * 64, "A"), Digest("sha1", "00", "B", member=True))
    assert verify.checked(replace(ROW, digests=several), MD5) == (
        "the sha256 (A); the first 2 digits of the sha1 of the model inside (B); the MD5 beside the file"
    )
