"""The host key: it encrypts the appliance's own key files; a passphrase, token or TPM opens it.

Rules:
- `keys/host.json` has the key, with AES-256-GCM under scrypt of the passphrase, or in another
  lock. Without it key files are plain. While it is locked, no key file is read.
- A plain file in a protected directory, left by a crash, is read; the next `protect` encrypts it.
- A new host key stays in `keys/host.next.json` until every file is under it.
- A replaced file is overwritten in place. Flash and copy-on-write file systems may keep old blocks.

Sources: RFC 7914 (scrypt), NIST SP 800-38D (GCM).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol, TypeAlias

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Meta, Struct

from appliance.errors import Refused, StateRefused

CREDENTIAL: Final = "appliance.passphrase"
"""Name of the systemd credential that unlocks a service."""
MIN_WORDS: Final = 12
BYTES: Final = 32
FILE: Final = "keys/host.json"
_NEXT: Final = "keys/host.next.json"
_MAGIC: Final = b"appliance wrapped key v1\n"
_NONCE: Final = 12
_COST, _BLOCK, _LANES = 1 << 15, 8, 1
_UNLOCKED: Final[dict[Path, tuple[bytes, ...]]] = {}
"""The keys of a directory, the newest last."""
Cost = Annotated[int, Meta(ge=2, le=1 << 20)]


class KeyWrapping(Protocol):
    """Makes and reads the key's file; `unwrap` raises ValueError."""

    def wrap(self, key: bytes, /) -> bytes: ...

    def unwrap(self, file: bytes, /) -> bytes: ...


Lock: TypeAlias = str | KeyWrapping
"""A passphrase, or another lock."""


class _HostKeyFile(Struct, frozen=True, forbid_unknown_fields=True):
    salt: bytes
    wrapped: bytes
    n: Cost = _COST
    r: Annotated[int, Meta(ge=1, le=32)] = _BLOCK
    p: Annotated[int, Meta(ge=1, le=16)] = _LANES
    format: Literal[1] = 1

    def cipher(self, passphrase: str) -> AESGCM:
        words = passphrase.encode()
        return AESGCM(Scrypt(self.salt, BYTES, self.n, self.r, self.p).derive(words))


def plain(path: Path) -> bool:
    """True of a file that no host key encrypts. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) != _MAGIC


def protected(data: Path) -> bool:
    """True if a data directory has a host key."""
    return (data / FILE).exists()


def locked(data: Path) -> bool:
    """True if it has one that this process has not unlocked."""
    return protected(data) and data.resolve() not in _UNLOCKED


def make(data: Path, under: Lock) -> None:
    """Make and unlock a host key. Raises Refused (`passphrase_refused`)."""
    key = os.urandom(BYTES)
    _keep(data / FILE, key, under)
    take(data, key)


def unlock(data: Path, under: Lock) -> None:
    """Unlock it for this process.

    Raises:
        Refused: `passphrase_refused`.
        StateRefused: `host_key_damaged`.
    """
    there = [data / _NEXT] if (data / _NEXT).exists() else []
    take(data, b"".join(_opened(path, under) for path in (data / FILE, *there)))


def _opened(path: Path, under: Lock) -> bytes:
    try:
        stored = path.read_bytes()
        if not isinstance(under, str):
            return under.unwrap(stored)
        found = msgspec.json.decode(stored, type=_HostKeyFile)
        nonce, sealed = found.wrapped[:_NONCE], found.wrapped[_NONCE:]
        return found.cipher(under).decrypt(nonce, sealed, _MAGIC)
    except (OSError, ValueError, MemoryError) as error:
        raise StateRefused("host_key_damaged", f"{path.name}: {error}.") from error
    except InvalidTag as error:
        raise Refused("passphrase_refused", f"{path.name} does not open with it.") from error


def take(data: Path, keys: bytes) -> None:
    """Unlock with the keys that another process of this program got from `held`."""
    _UNLOCKED[data.resolve()] = tuple(each(keys))


def each(keys: bytes) -> list[bytes]:
    """The keys that lie one after the other."""
    return [keys[at : at + BYTES] for at in range(0, len(keys), BYTES)]


def lock(data: Path) -> None:
    """Forget it in this process."""
    _UNLOCKED.pop(data.resolve(), None)


def held(data: Path) -> bytes:
    """The unlocked keys, for a process of this program; empty where there are none."""
    return b"".join(_UNLOCKED.get(data.resolve(), ()))


def change(data: Path, under: Lock) -> None:
    """Put the unlocked key under another passphrase or token.

    Raises:
        Refused: `passphrase_refused`.
        StateRefused: `host_key_locked`; `host_key_renewing` until a `renew` is done.
    """
    if (data / _NEXT).exists():
        raise StateRefused("host_key_renewing", f"{_NEXT} is there: a renewal was cut short.")
    _keep(data / FILE, _keys(data)[-1], under)


def renew(data: Path, under: Lock, files: list[Path]) -> None:
    """Put these files under a new host key in the same lock; repeat it after a crash.

    Raises:
        Refused: `passphrase_refused`.
        StateRefused: `host_key_damaged`.
    """
    unlock(data, under)
    if not (data / _NEXT).exists():
        _keep(data / _NEXT, os.urandom(BYTES), under)
        unlock(data, under)
    finish(data, files)
    unlock(data, under)


def finish(data: Path, files: list[Path]) -> None:
    """End a renewal that was begun: then these files are under the new key.

    Who opened the old key has the new one, too.
    """
    if (data / _NEXT).exists():
        for path in files:
            replace(path, sealed(path, read(path)))
        rename(data / _NEXT, data / FILE)


def protect(data: Path, files: list[Path]) -> None:
    """Encrypt the plain ones of these files. Raises StateRefused (`host_key_locked`)."""
    for path in filter(plain, files):
        replace(path, sealed(path, path.read_bytes()))


def unprotect(data: Path, files: list[Path]) -> None:
    """Write these files in plain, then remove the key. Raises StateRefused (`host_key_locked`)."""
    for path in files:
        replace(path, read(path))
    for path in (data / _NEXT, data / FILE):
        if path.exists():
            _overwrite(path)
            path.unlink()
    lock(data)


def read(path: Path) -> bytes:
    """The content of a key file of the data directory.

    Raises:
        OSError: it cannot be read.
        StateRefused: `host_key_locked`; `host_key_damaged` for one of another host key.
    """
    data = path.read_bytes()
    if not data.startswith(_MAGIC):
        return data
    body = data.removeprefix(_MAGIC)
    for key in _keys(_data_of(path)):
        with suppress(InvalidTag, ValueError):
            return AESGCM(key).decrypt(body[:_NONCE], body[_NONCE:], _MAGIC)
    message = f"{path.name} was encrypted under another host key, or is damaged."
    raise StateRefused("host_key_damaged", message)


def sealed(path: Path, content: bytes) -> bytes:
    """The stored bytes of a key file with this content. Raises StateRefused (`host_key_locked`)."""
    data = _data_of(path)
    if not protected(data):
        return content
    nonce = os.urandom(_NONCE)
    return _MAGIC + nonce + AESGCM(_keys(data)[-1]).encrypt(nonce, content, _MAGIC)


@contextmanager
def plain_file(path: Path) -> Iterator[Path]:
    """A key file for a library that takes a path: itself, or its content in memory."""
    content = read(path)
    if not protected(_data_of(path)):
        yield path
        return
    descriptor = os.memfd_create("key", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _data_of(path: Path) -> Path:
    return next(filter(protected, path.absolute().parents), path.parent.parent)


def _keys(data: Path) -> tuple[bytes, ...]:
    try:
        return _UNLOCKED[data.resolve()]
    except KeyError as error:
        message = f"The key files of {data} are under a passphrase."
        raise StateRefused("host_key_locked", message) from error


def _keep(path: Path, key: bytes, under: Lock) -> None:
    content = _under_passphrase(key, under) if isinstance(under, str) else under.wrap(key)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    replace(path, content)


def _under_passphrase(key: bytes, passphrase: str) -> bytes:
    if len(passphrase) < MIN_WORDS:
        problem = f"A passphrase takes at least {MIN_WORDS} characters."
        raise Refused("passphrase_refused", problem)
    salt, nonce = os.urandom(16), os.urandom(_NONCE)
    wrapped = nonce + _HostKeyFile(salt, b"").cipher(passphrase).encrypt(nonce, key, _MAGIC)
    return msgspec.json.encode(_HostKeyFile(salt, wrapped))


def replace(path: Path, content: bytes) -> None:
    """Replace a file, whole or not at all, and overwrite the old one."""
    part = path.with_name(path.name + ".part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(part, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    rename(part, path)


def rename(part: Path, path: Path) -> None:
    """Give a file another one's name, and overwrite that one."""
    old = path.open("rb+") if path.exists() else None
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fsync(folder)
    os.close(folder)
    if old is not None:
        with old:
            _zero(old.fileno())


def tidy(data: Path, files: list[Path]) -> None:
    """Destroy what a crash left beside these files and the key, perhaps in plain."""
    for path in (*files, data / FILE, data / _NEXT):
        part = path.with_name(path.name + ".part")
        if part.is_file():
            _overwrite(part)
            part.unlink()


def _overwrite(path: Path) -> None:
    with path.open("rb+") as file:
        _zero(file.fileno())


def _zero(descriptor: int) -> None:
    os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
    os.fsync(descriptor)
