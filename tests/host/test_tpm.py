"""Secrets that a TPM opens: with the real commands of `swtpm`, and with answers of a liar."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from appliance.errors import StateRefused
from appliance.host import tpm
from appliance.host.tpm import Pcrs, SealedByTpm
from tests.conftest import need_tool
from tests.host.soft_tpm import SoftTpm

SECRET = bytes(range(32))
OK = bytes.fromhex("8001 0000000a 00000000")


@pytest.fixture
def soft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftTpm]:
    for name in ("swtpm", "tpm2_pcrextend", "tpm2_flushcontext"):
        need_tool(name)
    made = SoftTpm(tmp_path / "tpm", monkeypatch)
    made.chosen()
    with made.running():
        yield made


def code_of(sealed: SealedByTpm) -> str:
    with pytest.raises(StateRefused) as caught:
        tpm.unseal(sealed)
    return caught.value.code


@pytest.mark.parametrize("numbers", [(), (7,), (0, 7, 23)])
def test_it_opens_until_a_chosen_pcr_changes(soft: SoftTpm, numbers: tuple[int, ...]) -> None:
    sealed = tpm.seal(SECRET, Pcrs(numbers))
    assert SECRET not in msgspec.msgpack.encode(sealed)
    soft.extend(8)
    assert tpm.unseal(sealed) == SECRET
    soft.extend(7)
    if numbers:
        assert code_of(sealed) == "host_key_pcrs"
        sealed = tpm.seal(SECRET, Pcrs(numbers))
    assert tpm.unseal(sealed) == SECRET


def test_what_was_changed_opens_nothing(soft: SoftTpm) -> None:
    sealed = tpm.seal(SECRET, Pcrs((7,)))
    soft.extend(7)
    unbound = msgspec.structs.replace(sealed, pcrs=Pcrs())
    assert code_of(unbound) == "host_key_pcrs"
    public, private = bytearray(sealed.public), bytearray(sealed.private)
    public[20] ^= 1  # of the policy
    private[20] ^= 1
    assert code_of(msgspec.structs.replace(sealed, public=bytes(public))) == "host_key_token"
    assert code_of(msgspec.structs.replace(sealed, private=bytes(private))) == "host_key_token"


def test_another_tpm_opens_nothing(
    soft: SoftTpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = tpm.seal(SECRET, Pcrs())
    other = SoftTpm(tmp_path / "other", monkeypatch)
    other.chosen()
    assert code_of(sealed) == "host_key_token"  # none is there
    with other.running():
        assert code_of(sealed) == "host_key_token"
    soft.chosen()
    assert tpm.unseal(sealed) == SECRET


@pytest.mark.parametrize(
    "answer",
    [
        b"", OK[:9], OK, OK[:5] + b"\x0b" + OK[6:], OK + b"x",
        bytes.fromhex("8001 ffffffff 00000000"), bytes.fromhex("8001 0000000a 00000101"),
    ],
)  # fmt: skip
def test_a_tpm_that_answers_with_garbage(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:

        def open_device() -> int:
            ours, theirs = socket.socketpair()
            stack.enter_context(theirs).sendall(answer)
            theirs.shutdown(socket.SHUT_WR)
            return ours.detach()

        monkeypatch.setattr(tpm, "open_device", open_device)
        assert code_of(SealedByTpm(Pcrs(), b"public", b"private")) == "host_key_token"
        with pytest.raises(StateRefused) as caught:
            tpm.seal(SECRET, Pcrs((7,)))
    assert caught.value.code == "host_key_token"


def test_a_bank_that_is_not_there_binds_nothing_and_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    empty = bytes.fromhex("00000000 00000001 000b 03 000000 00000000")
    monkeypatch.setattr(tpm._Tpm, "call", lambda *_: empty)
    monkeypatch.setattr(tpm, "open_device", lambda: os.open(os.devnull, os.O_RDWR))
    with pytest.raises(StateRefused, match="no PCR 7 in its SHA-256 bank"):
        tpm.seal(SECRET, Pcrs((7,)))


def test_a_file_names_pcrs_that_are_there() -> None:
    for numbers in ([24], [-1], ["7"]):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"numbers": numbers}, Pcrs)
