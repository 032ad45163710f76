"""A secret that only this host's TPM 2.0 opens, while chosen PCRs keep their values.

Rules: the SHA-256 bank counts; another TPM, or this one after a reset, opens nothing; the bus is
not encrypted. The kernel frees what a connection made.

Source: TCG, TPM 2.0 Library, parts 2 and 3.
"""

import contextlib
import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

from appliance.errors import StateRefused

LAST_PCR: Final = 23
DEVICE: Final = "/dev/tpmrm0"
_PLAIN, _WITH_SESSION, _HEAD, _MOST = 0x8001, 0x8002, 10, 4096
_OWNER, _NULL, _EMPTY_PASSWORD = 0x40000001, 0x40000007, 0x40000009
_CREATE_PRIMARY, _CREATE, _LOAD, _UNSEAL = 0x131, 0x153, 0x157, 0x15E
_START_SESSION, _READ_PCR, _POLICY_PCR, _OF_POLICY = 0x176, 0x17E, 0x17F, 1
_SHA256, _AES, _CFB, _NONE, _P256, _ECC, _KEYED_HASH = 0x0B, 0x06, 0x43, 0x10, 0x03, 0x23, 0x08
_PARENT, _SEALED = 0x30472, 0x412
"""Attributes: fixed to this TPM and parent, without lockout; the second opens by policy only."""
_POLICY_FAILED, _PCRS_CHANGED, _FAILURE = 0x9D, 0x128, 0xBF
_PCR_ANSWER, _DIGEST = 52, 32
_NO_CREATION: Final = bytes(6)
"""Of creation: no data of the caller, no PCRs."""
_Part = Annotated[bytes, Meta(max_length=1024)]


class Pcrs(Struct, frozen=True):
    """Chosen PCRs, in order."""

    numbers: tuple[Annotated[int, Meta(ge=0, le=LAST_PCR)], ...] = ()


class SealedByTpm(Struct, frozen=True, forbid_unknown_fields=True):
    """A secret, in the TPM's own structures."""

    pcrs: Pcrs
    public: _Part
    private: _Part


class _TpmFailure(Exception):
    """A command failed; its return code."""


def seal(secret: bytes, pcrs: Pcrs) -> SealedByTpm:
    """Seal at most 128 bytes. Raises StateRefused (`host_key_token`)."""
    with _connected() as tpm:
        public = struct.pack(">HHI", _KEYED_HASH, _SHA256, _SEALED) + _sized(_policy(tpm, pcrs))
        public += struct.pack(">HH", _NONE, 0)
        asked = _sized(_sized(b"") + _sized(secret)) + _sized(public) + _NO_CREATION
        made = tpm.call(_CREATE, (_parent(tpm),), asked, _EMPTY_PASSWORD)[4:]
        private, made = _sized_first(made)
        return SealedByTpm(pcrs, _sized_first(made)[0], private)


def unseal(sealed: SealedByTpm) -> bytes:
    """The secret. Raises StateRefused (`host_key_pcrs`, `host_key_token`)."""
    with _connected() as tpm:
        given = _sized(sealed.private) + _sized(sealed.public)
        loaded = _handle(tpm.call(_LOAD, (_parent(tpm),), given, _EMPTY_PASSWORD))
        asked = _sized(os.urandom(_DIGEST)) + struct.pack(">HBHH", 0, _OF_POLICY, _NONE, _SHA256)
        session = _handle(tpm.call(_START_SESSION, (_NULL, _NULL), asked))
        tpm.call(_POLICY_PCR, (session,), _sized(b"") + _selection(sealed.pcrs.numbers))
        return _sized_first(tpm.call(_UNSEAL, (loaded,), b"", session)[4:])[0]


def open_device() -> int:
    """Raises OSError."""
    return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)


class _Tpm:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def call(
        self, code: int, handles: Sequence[int], given: bytes = b"", session: int | None = None
    ) -> bytes:
        """The answer behind its header; `session` is the first handle's."""
        body = b"".join(handle.to_bytes(4) for handle in handles)
        if session is not None:
            body += struct.pack(">IIHBH", 9, session, 0, 0, 0)
        body += given
        tag = _PLAIN if session is None else _WITH_SESSION
        os.write(self._descriptor, struct.pack(">HII", tag, _HEAD + len(body), code) + body)
        answer = os.read(self._descriptor, _MOST)
        if len(answer) < _HEAD:
            raise ValueError("its answer is cut off")
        _, size, failure = struct.unpack_from(">HII", answer)
        while len(answer) < min(size, _MOST) and (more := os.read(self._descriptor, _MOST)):
            answer += more
        if len(answer) != size:
            raise ValueError("its answer is of another length")
        if failure:
            raise _TpmFailure(failure)
        return answer[_HEAD:]


@contextlib.contextmanager
def _connected() -> Iterator[_Tpm]:
    try:
        descriptor = open_device()
        try:
            yield _Tpm(descriptor)
        finally:
            os.close(descriptor)
    except _TpmFailure as error:
        (code,) = error.args
        if code & _FAILURE == _POLICY_FAILED or code == _PCRS_CHANGED:
            message = "The TPM does not open the host key in this state of the machine."
            raise StateRefused("host_key_pcrs", message) from error
        raise StateRefused("host_key_token", f"The TPM answers {code:#x}.") from error
    except (OSError, ValueError) as error:
        raise StateRefused("host_key_token", f"The TPM: {error}.") from error


def _parent(tpm: _Tpm) -> int:
    public = struct.pack(">HHIH", _ECC, _SHA256, _PARENT, 0)
    public += struct.pack(">HHHHHHHH", _AES, 128, _CFB, _NONE, _P256, _NONE, 0, 0)
    asked = _sized(_sized(b"") + _sized(b"")) + _sized(public) + _NO_CREATION
    return _handle(tpm.call(_CREATE_PRIMARY, (_OWNER,), asked, _EMPTY_PASSWORD))


def _policy(tpm: _Tpm, pcrs: Pcrs) -> bytes:
    """The digest of PolicyPCR with their present values.

    Each is read: a bank that is not there would bind nothing.
    """
    values = hashlib.sha256()
    for number in pcrs.numbers:
        answer = tpm.call(_READ_PCR, (), _selection((number,)))
        if len(answer) != _PCR_ANSWER:
            raise ValueError(f"it has no PCR {number} in its SHA-256 bank")
        values.update(answer[-_DIGEST:])
    command = _POLICY_PCR.to_bytes(4) + _selection(pcrs.numbers)
    return hashlib.sha256(bytes(_DIGEST) + command + values.digest()).digest()


def _selection(numbers: Sequence[int]) -> bytes:
    bits = sum(1 << number for number in set(numbers))
    return struct.pack(">IHB", 1, _SHA256, 3) + bits.to_bytes(3, "little")


def _handle(answer: bytes) -> int:
    if len(answer) < 4:
        raise ValueError("its answer names nothing")
    return int.from_bytes(answer[:4])


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def _sized_first(data: bytes) -> tuple[bytes, bytes]:
    end = 2 + int.from_bytes(data[:2])
    if not 2 < end <= len(data):
        raise ValueError("a length in its answer is wrong")
    return data[2:end], data[end:]
