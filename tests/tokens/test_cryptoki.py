"""The functions of a module, called in a process of their own."""

import ctypes
import subprocess
import sys

import pytest

from appliance.tokens import cryptoki
from tests.tokens.softhsm import PIN, SoftToken, needs_softhsm, soft_token

_CODE = """
import sys
from appliance.tokens import cryptoki as c
module = c.Cryptoki(sys.argv[1])
(token,) = [t for t in module.tokens() if t.label == "site"]
module.log_in(token.slot, sys.argv[2])
both = {c.TOKEN: True, c.LABEL: b"k" * 300, c.ID: bytes(range(256))}
curve = {c.EC_PARAMS: bytes.fromhex("06082a8648ce3d030107")}
pair = module.generate({**both, **curve}, {**both, c.SIGN: True})
(found,) = module.find({c.CLASS: c.PRIVATE_KEY, c.LABEL: b"k" * 300})
print(module.read(found, c.ID) == bytes(range(256)), len(module.sign(found, b"\\0" * 32, None)))
module.destroy(pair)
print(module.find({c.CLASS: c.PRIVATE_KEY}))
"""


@needs_softhsm
def test_objects_are_made_found_read_and_removed(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    token: SoftToken = soft_token(tmp_path_factory.mktemp("hsm") / "t", monkeypatch)
    command = [sys.executable, "-c", _CODE, str(token.module), PIN]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "64", "[]"]


def test_structures_are_as_long_as_the_standard_says() -> None:
    assert ctypes.sizeof(cryptoki._TokenInfo) == 208
    assert ctypes.sizeof(cryptoki._Attribute) == ctypes.sizeof(cryptoki._Mechanism) == 24


def test_a_file_that_is_no_module() -> None:
    with pytest.raises(OSError, match="none"):
        cryptoki.Cryptoki("/none.so")
