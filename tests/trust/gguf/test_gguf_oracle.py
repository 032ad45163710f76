"""On mutated files we reject everything that `modelvet` rejects; tests/fuzz/README.md would argue
exceptions.
"""

import base64
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import GgufRejected
from appliance.trust.gguf.gguf import vet
from tests.oracle import Oracle
from tests.trust.forge import Gguf
from tests.trust.gguf import test_gguf

pytestmark = pytest.mark.slow
MUTATIONS = 20_000
EDGES = [base + d for base in (0, 32, 256, 1 << 20, 1 << 31, 1 << 63) for d in (-1, 0, 1)]


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    made = Oracle("gguf.py")
    yield made
    made.close()


def theirs(oracle: Oracle, data: bytes) -> tuple[bool, str]:
    told = oracle.ask(data=base64.b64encode(data).decode())
    return told["ok"], told["error"]


def ours(data: bytes) -> bool:
    try:
        vet(data)
    except GgufRejected:
        return False
    return True


def mutated(chance: random.Random, base: bytes) -> bytes:
    data = bytearray(base)
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.randrange(len(data) - 8)
        how = chance.randrange(4)
        if how == 0:
            data[place] ^= 1 << chance.randrange(8)
        elif how == 1:
            data[place : place + 8] = (chance.choice(EDGES) % (1 << 64)).to_bytes(8, "little")
        elif how == 2:
            data[place : place + 4] = chance.randrange(14).to_bytes(4, "little")
        else:
            del data[place : place + chance.choice((1, 4, 8))]
    return bytes(data)


def test_what_modelvet_rejects_we_reject(oracle: Oracle) -> None:
    chance, base = random.Random(20261124), Gguf().build()
    assert theirs(oracle, base)[0] and ours(base)
    accepted = 0
    for _ in range(MUTATIONS):
        data = mutated(chance, base)
        if ours(data):
            accepted += 1
            good, violation = theirs(oracle, data)
            assert good, violation
    assert accepted > MUTATIONS // 100  # the control: the comparison was made


def test_our_hand_made_files_too(oracle: Oracle) -> None:
    for change in test_gguf.ACCEPTED.values():
        gguf = Gguf()
        change(gguf)
        assert theirs(oracle, gguf.build())[0]


def test_the_default_model_is_accepted_by_both(oracle: Oracle, default_model_path: Path) -> None:
    data = default_model_path.read_bytes()
    assert ours(data) and theirs(oracle, data)[0]
