"""Proofs across epochs, and proofs that rest on a witness."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.checkpoint import COSIGNATURES, VerifierKey, parse, signature_line
from appliance.audit.cosignature import message
from appliance.audit.log import AuditLog, Draft
from appliance.audit.proof import check_proof, parse_proof
from appliance.audit.reader import LogReader
from appliance.errors import AuditRefused
from appliance.types import Json
from tests.audit.epochs import epochs_log
from tests.audit.logs import ask, open_log

WITNESS = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
KEY = VerifierKey("w.example/witness", WITNESS.public_key().public_bytes_raw(), COSIGNATURES)
OTHER = VerifierKey(KEY.name, bytes(range(32)), COSIGNATURES)


def witnessed(log: AuditLog, directory: Path) -> None:
    reader = LogReader(directory)
    note = reader.checkpoint()
    reader.close()
    head = parse(note.encode()).checkpoint
    value = (5).to_bytes(8) + WITNESS.sign(message(head, 5))
    note += signature_line(KEY.name, KEY.key_id, value)
    fields: dict[str, Json] = {"actor": "x", "key": KEY.encode(), "note": note, "size": head.size}
    log.append(Draft("witness", fields)).result()


def test_each_entry_is_proved_by_its_own_epoch(tmp_path: Path) -> None:
    directory, _ = epochs_log(tmp_path / "log")
    genesis = (directory / "genesis.pub").read_bytes()
    with open_log(directory) as log:
        ask(log, "newest")
    reader = LogReader(directory)
    for seq in range(12):
        document = reader.proof(seq)
        result = check_proof(document, genesis)
        assert (result.seq, result.witnessed) == (seq, None)
        assert result.size == [4, 4, 4, 4, 7, 7, 7, 10, 10, 10, 12, 12][seq]
        assert len(parse_proof(document).handovers) == result.body["epoch"]
    reader.close()


def test_a_chain_that_is_cut_or_swapped_is_refused(tmp_path: Path) -> None:
    directory, _ = epochs_log(tmp_path / "log")
    genesis = (directory / "genesis.pub").read_bytes()
    reader = LogReader(directory)
    proof = parse_proof(reader.proof(8))
    first, second = proof.handovers
    for chain in ((), (first,), (second,), (second, first), (first, second, second)):
        forged = type(proof)(proof.body, proof.index, proof.path, proof.note, chain)
        with pytest.raises(AuditRefused):
            check_proof(forged.encode(), genesis)
    reader.close()


def test_a_witness_shortens_proofs(tmp_path: Path) -> None:
    directory, _ = epochs_log(tmp_path / "log", 6)
    genesis = (directory / "genesis.pub").read_bytes()
    witness = KEY.encode().encode()
    with open_log(directory) as log:
        witnessed(log, directory)
        for number in range(3):
            ask(log, f"later-{number}")
            log.new_epoch().result()
        end = log.size
    reader = LogReader(directory)
    under = reader.proof(7, KEY)
    assert check_proof(under, genesis, witness).witnessed == 5
    assert parse_proof(under).handovers == ()
    for seq in range(20, end):
        later = reader.proof(seq, KEY)
        parsed = parse_proof(later)
        assert parsed.start is not None
        assert len(parsed.handovers) < len(parse_proof(reader.proof(seq)).handovers)
        assert check_proof(later, genesis, witness).seq == seq
        for nobody in (None, OTHER.encode().encode()):
            with pytest.raises(AuditRefused):
                check_proof(later, genesis, nobody)
    with pytest.raises(AuditRefused):
        check_proof(under, genesis)
    # Of a witness that saw nothing there is nothing to rest on: every handover is there.
    assert reader.proof(7, OTHER) == reader.proof(7)
    reader.close()
