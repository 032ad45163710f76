"""Texts at rest: the one cipher of a data directory's columns, lines and files.

Rules: its keys derive from those in `audit/kek`, of which the first encrypts and each decrypts;
without it texts stay plain. AES-SIV (RFC 5297) without a nonce: equal texts look equal, which SQL
needs, and lengths show. A text without `MARK`, of an older release, is read as it is, until the
next write or `appliance protect` encrypts it.
"""

import contextlib
import functools
from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from appliance.errors import StateRefused
from appliance.host import host_key

MARK: Final = b"\1sealed:"
"""No text of a client and no file of ours begins so: JSON, labels and pages print."""
OVERHEAD: Final = len(MARK) + 16
MOST: Final = 1 << 30
"""Bytes of the largest text; a larger file lies as it is."""
DATABASE, COLLECTION, FILE = b"texts of appliance.db", b"texts of collections", b"texts of files"
_KEK: Final = Path("audit", "kek")
_DEPTH: Final = 6
"""Folders above a file that are looked at for the data directory that it is in."""


class TextCipher:
    """Encrypts texts for one purpose.

    Args:
        kek: the key-encryption keys, the newest first; empty where texts lie in plain.
    """

    def __init__(self, kek: bytes = b"", purpose: bytes = b"") -> None:
        self._sivs = [
            AESSIV(b"".join(sha256(purpose + b" %d" % half + key).digest() for half in range(2)))
            for key in host_key.each(kek)
        ]

    def __bool__(self) -> bool:
        return bool(self._sivs)

    def seal(self, content: bytes) -> bytes:
        """The stored form of a text; an empty one stays empty."""
        if not self._sivs or not content or len(content) > MOST:
            return content
        return MARK + self._sivs[0].encrypt(content, None)

    def open(self, kept: bytes) -> bytes:
        """The text. Raises StateRefused (`content_unavailable`) without its key."""
        if not kept.startswith(MARK):
            return kept
        for siv in self._sivs:
            with contextlib.suppress(InvalidTag, ValueError):
                return siv.decrypt(kept[len(MARK) :], None)
        message = "A text of the data directory is encrypted under another key."
        raise StateRefused("content_unavailable", message)

    def seal_line(self, line: bytes) -> bytes:
        """The printable stored form of a text."""
        sealed = self.seal(line)
        return sealed if sealed is line else MARK + b64encode(sealed[len(MARK) :])

    def open_line(self, kept: bytes) -> bytes:
        """The text; raises as `open`."""
        if not kept.startswith(MARK):
            return kept
        try:
            return self.open(MARK + b64decode(kept[len(MARK) :]))
        except ValueError:  # no base64
            return self.open(MARK)


PLAIN: Final = TextCipher()


def cipher_of(path: Path, purpose: bytes = FILE) -> TextCipher:
    """The cipher of a path; for an account that may not read the key, as without one.

    Raises:
        OSError: the key cannot be read.
        StateRefused: `host_key_locked`, `host_key_damaged`.
    """
    place = path.absolute()
    for folder in (place, *place.parents)[: _DEPTH + 1]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            return _cipher(host_key.read(folder / _KEK), purpose)
    return PLAIN


def read(path: Path) -> bytes:
    """The content of a file. Raises OSError, and StateRefused as `cipher_of`."""
    return cipher_of(path).open(path.read_bytes())


def sealed(path: Path, content: bytes) -> bytes:
    """The stored bytes of a file with this content; raises as `cipher_of`."""
    return cipher_of(path).seal(content)


def read_lines(path: Path) -> list[bytes]:
    """The whole lines of a file, without their ends; raises as `read`."""
    cipher = cipher_of(path)
    return [cipher.open_line(line) for line in path.read_bytes().split(b"\n")[:-1] if line]


def sealed_lines(path: Path, lines: Iterable[bytes]) -> bytes:
    """The stored bytes of such lines; raises as `cipher_of`."""
    cipher = cipher_of(path)
    return b"".join(cipher.seal_line(line) + b"\n" for line in lines)


@functools.lru_cache(maxsize=8)
def _cipher(kek: bytes, purpose: bytes) -> TextCipher:
    return TextCipher(kek, purpose)
