import io
import struct
import zipfile

import pytest

from resnets.errors import ResNetsError
from resnets.weights import files
from resnets.weights.source import Source

CONV = (  # a tensor of one number and four dimensions, kept as 2
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ"
    b"K\0(K\x01K\x01K\x01K\x01t(K\x01K\x01K\x01K\x01t\x89)tRq\x020"
)
LONG = b"X" + struct.pack("<I", 4000) + b"a" * 4000


def read(pickle, constants=b"\x80\x02)."):
    """Zeros fill the file, as weights would."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        entries = {"data.pkl": pickle, "data/0": bytes(4), "data/1": bytes(200_000)}
        for name, data in (entries | ({"constants.pkl": constants} if constants else {})).items():
            file.writestr(f"archive/{name}", data)
    return files.read(Source.of(out.getvalue(), "m.pth"))


def scripted(modules):
    """A TorchScript pickle of one tensor, in every one of so many modules behind a name of 4,000 letters."""
    inner = b"".join(b"X\x06\0\0\0m%05dh\x00)\x81}X\x01\0\0\0wh\x02sb" % number for number in range(modules))
    outer = b"h\x00)\x81}" + LONG + b"h\x00)\x81}(" + inner + b"ubsb."
    return b"\x80\x02c__torch__\nM\nq\x000" + CONV + outer


def nested(dictionaries):
    """The pickle of as many state dicts behind such a name."""
    inner = b"".join(b"X\x06\0\0\0m%05d}X\x03\0\0\0c.wh\x02s" % number for number in range(dictionaries))
    return b"\x80\x02" + CONV + b"}" + LONG + b"}(" + inner + b"us."


def test_names_of_modules_cost_no_more_than_the_file():
    with pytest.raises(ResNetsError, match="are not those of a residual network"):
        read(scripted(20))
    with pytest.raises(ResNetsError, match="the names of its modules are longer than any network's"):
        read(scripted(2000))


def test_names_of_state_dicts_cost_no_more_than_the_file():
    with pytest.raises(ResNetsError, match="are not those of a residual network"):
        read(nested(20), b"")
    with pytest.raises(ResNetsError, match="the names that lead to its arrays"):
        read(nested(2000), b"")
