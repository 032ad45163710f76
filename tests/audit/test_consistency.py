"""Consistency proofs as files: true ones hold, forged ones and forked logs do not."""

from pathlib import Path

import pytest

from appliance.audit.consistency import MAGIC, check_consistency
from appliance.audit.reader import LogReader
from appliance.errors import ApplianceError, AuditRefused
from tests.audit.epochs import epochs_log
from tests.audit.logs import admin, ask, copy, open_log


def test_each_earlier_head_is_a_prefix_of_the_newest(tmp_path: Path) -> None:
    directory, _ = epochs_log(tmp_path / "log")
    genesis = (directory / "genesis.pub").read_bytes()
    reader = LogReader(directory)
    heads = {}
    with open_log(directory) as log:
        for number in range(5):
            heads[log.size] = reader.checkpoint().encode()
            ask(log, f"more-{number}")
            if number == 2:
                log.new_epoch().result()
    for size, note in heads.items():
        document = reader.consistency(note)
        result = check_consistency(document, genesis)
        assert (result.old, result.new) == (size, 21)
        for place in range(0, len(document), 7):
            changed = document[:place] + bytes([document[place] ^ 1]) + document[place + 1 :]
            try:  # a second signature, by the next key, is nobody's business here
                assert check_consistency(changed, genesis) == result
            except AuditRefused as error:
                assert error.code == "proof_invalid"
    reader.close()


def test_a_log_that_forked_proves_nothing(victim: Path, tmp_path: Path) -> None:
    twin = copy(victim, tmp_path / "twin")
    for directory, action in ((victim, "a"), (twin, "b")):
        with open_log(directory) as log:
            log.append(admin(action)).result()
    here, there = LogReader(victim), LogReader(twin)
    with pytest.raises(AuditRefused) as caught:
        here.consistency(there.checkpoint().encode())
    assert caught.value.code == "proof_invalid"
    with open_log(twin) as log:
        log.append(admin("c")).result()
    with pytest.raises(ApplianceError) as longer:
        here.consistency(there.checkpoint().encode())
    assert longer.value.code == "not_found"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        MAGIC.encode(),
        MAGIC.encode() + b"\nextra e30=\n\nnote",
        MAGIC.encode() + b"\nextra ?\n\nnote",
        b"\xff\xfe",
    ],
)
def test_no_bytes_break_the_check(pristine: Path, document: bytes) -> None:
    with pytest.raises(AuditRefused) as caught:
        check_consistency(document, (pristine / "genesis.pub").read_bytes())
    assert caught.value.code == "proof_invalid"
