"""Signed heads: the C2SP examples, one spelling, and refusal of everything else."""

import base64
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from appliance.audit.checkpoint import Checkpoint, VerifierKey, check_origin, parse, sign, verify
from appliance.errors import AuditRefused

ORIGIN = "appliance.example/audit/1"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = VerifierKey(ORIGIN, KEY.public_key().public_bytes_raw())
HEAD = Checkpoint(ORIGIN, 42, bytes(range(32)))
NOTE = sign(HEAD, KEY)

# The example in C2SP tlog-checkpoint.
C2SP_NOTE = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5"
    "/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
# The verifier key of the Go checksum database, and what it signed (golang.org/x/mod/sumdb).
GO_KEY = b"sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"


def test_what_is_signed_verifies() -> None:
    assert verify(NOTE, PUBLIC) == HEAD


def test_the_bytes_of_a_note() -> None:
    text = f"{ORIGIN}\n42\n{base64.b64encode(HEAD.root).decode()}\n"
    head, _, line = NOTE.decode().partition("\n\n")
    assert head + "\n" == text
    found = re.fullmatch(f"\u2014 {re.escape(ORIGIN)} (\\S+)\n", line)
    assert found is not None
    value = base64.b64decode(found[1])
    assert value[:4] == PUBLIC.key_id
    Ed25519PublicKey.from_public_bytes(PUBLIC.public).verify(value[4:], text.encode())


def test_the_c2sp_example_parses() -> None:
    note = parse(C2SP_NOTE.encode())
    assert note.checkpoint.origin == "example.com/behind-the-sofa"
    assert note.checkpoint.size == 20_852_163
    assert note.checkpoint.text() == C2SP_NOTE.partition("\n\n")[0] + "\n"
    # Its key id is that of the key of the Go checksum database.
    assert note.signatures[0].key_id.hex() == "033de0ae"


def test_key_ids_are_those_of_the_go_implementation() -> None:
    key = VerifierKey.parse(GO_KEY)
    assert (key.name, key.key_id.hex()) == ("sum.golang.org", "033de0ae")
    assert key.encode().encode() == GO_KEY


def test_a_verifier_key_round_trips() -> None:
    line = PUBLIC.encode().encode()
    assert VerifierKey.parse(line) == VerifierKey.parse(line + b"\n") == PUBLIC


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"a+b+c",
        PUBLIC.encode().encode() + b"\n\n",
        PUBLIC.encode().replace("audit/1", "audit/2").encode(),
        PUBLIC.encode().encode()[:-4],
        PUBLIC.encode().encode().replace(b"+A", b"+B", 1),
        b"\xff" + PUBLIC.encode().encode(),
        b"x" * 1_000_000,
        GO_KEY.replace(b"sum.golang.org", b"sum.golang org"),
    ],
)
def test_other_key_lines_are_refused(line: bytes) -> None:
    with pytest.raises(AuditRefused) as caught:
        VerifierKey.parse(line)
    assert caught.value.code == "audit_key_invalid"


def refused(note: bytes, key: VerifierKey = PUBLIC) -> str:
    with pytest.raises(AuditRefused) as caught:
        verify(note, key)
    assert caught.value.code == "checkpoint_invalid"
    return caught.value.message


LINE = NOTE.split(b"\n\n")[1]
TEXT = NOTE.split(b"\n\n")[0] + b"\n"


@pytest.mark.parametrize(
    "note",
    [
        b"",
        TEXT,
        TEXT + b"\n",
        NOTE[:-1],
        NOTE + b"\n",
        b"\n" + NOTE,
        NOTE.replace(b"\n", b"\r\n"),
        NOTE.replace(b"\n42\n", b"\n042\n"),
        NOTE.replace(b"\n42\n", b"\n+42\n"),
        NOTE.replace(b"\n42\n", b"\n4_2\n"),
        NOTE.replace(b"\n42\n", "\n4\u0662\n".encode()),
        NOTE.replace(b"\n42\n", b"\n99999999999999999999\n"),
        NOTE.replace(b"\n42\n", b"\n43\n"),
        NOTE.replace(b"AAEC", b"AAED"),
        TEXT[:-1] + b"\nextension\n\n" + LINE,
        TEXT + b"\n" + LINE.replace("\u2014".encode(), b"--"),
        TEXT + b"\n" + LINE.replace(b"audit/1", b"audit/2"),
        TEXT + b"\n" + LINE[:-5] + b"\n",
        TEXT + b"\n" + LINE[:-2] + b"==\n",
        TEXT + b"\n" + LINE + b"junk\n",
        TEXT + b"\n" + LINE * 40,
        b"\xff" + NOTE,
        NOTE * 2_000,
    ],
)
def test_other_notes_are_refused(note: bytes) -> None:
    assert note != NOTE
    refused(note)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_bytes_break_the_parser(note: bytes) -> None:
    refused(note)


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_no_changed_byte_verifies(place: int, change: int) -> None:
    refused(NOTE[:place] + bytes([NOTE[place] ^ change]) + NOTE[place + 1 :])


def test_root_in_another_base64_spelling_is_refused() -> None:
    root = base64.b64encode(HEAD.root)
    loose = root[:-2] + bytes([root[-2] + 1]) + b"="
    assert base64.b64decode(loose) == HEAD.root
    refused(NOTE.replace(root, loose))


def test_a_signature_by_another_key_is_not_enough() -> None:
    other = sign(HEAD, Ed25519PrivateKey.from_private_bytes(bytes(32)))
    assert "not signed by the log's key" in refused(other)


def test_signatures_of_others_beside_ours_are_ignored() -> None:
    other = sign(HEAD, Ed25519PrivateKey.from_private_bytes(bytes(32)))
    witness = f"\u2014 witness.example {base64.b64encode(bytes(76)).decode()}\n".encode()
    note = NOTE + other.split(b"\n\n")[1] + witness
    assert verify(note, PUBLIC) == HEAD
    assert len(parse(note).signatures) == 3


def test_a_false_signature_under_our_key_id_spoils_the_note() -> None:
    forged = base64.b64encode(PUBLIC.key_id + bytes(64)).decode()
    line = f"\u2014 {ORIGIN} {forged}\n".encode()
    assert "does not hold" in refused(NOTE + line)
    assert "does not hold" in refused(TEXT + b"\n" + line + LINE)


def test_a_head_of_another_log_is_refused_even_under_our_key() -> None:
    foreign = sign(Checkpoint("other.example/log", 42, HEAD.root), KEY)
    assert "another log" in refused(foreign)


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\x7fb", "x" * 201])
def test_names_that_cannot_be_an_origin(origin: str) -> None:
    with pytest.raises(AuditRefused) as caught:
        check_origin(origin)
    assert caught.value.code == "audit_origin_invalid"
