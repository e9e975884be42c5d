"""What is written of a fetched file, and read again; of a damaged receipt, nothing."""

import hashlib
from dataclasses import replace

from resnets.fetch import receipt

SHA = hashlib.sha256(b"").hexdigest()


def test_a_receipt_comes_back_as_it_was_written(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    one = receipt.kept(tmp_path, "a", SHA)
    made = receipt.Receipt("n", "u", "d", "f", 1, SHA, "c", (one,), "a")
    receipt.write(tmp_path, made)
    assert receipt.read(tmp_path) == made
    for path in ("../a", "/a", "b//a", "", "a\0b"):
        receipt.write(tmp_path, replace(made, kept=(replace(one, path=path),), model=path))
        assert receipt.read(tmp_path) is None
