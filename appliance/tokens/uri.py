"""`pkcs11:` URIs: which module, token and key a person means. Pure.

Rules: an unknown attribute is refused, since it would narrow the choice, and so is a PIN, since
others read command lines; a key is named by label, id or both.

Source: RFC 7512.
"""

import re
import urllib.parse
from typing import Final

from msgspec import Struct

from appliance.errors import UsageError

SCHEME: Final = "pkcs11:"
MODULE: Final = "/usr/lib/x86_64-linux-gnu/p11-kit-proxy.so"
"""The module of a URI that names none: p11-kit's, which has all that the host configures."""
_PLAIN: Final = {"token", "manufacturer", "serial", "model", "object"}
_IGNORED: Final = {"type", "library-description", "library-manufacturer", "library-version"}
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class TokenUri(Struct, frozen=True):
    """Names; an empty one matches all.

    Attributes:
        module: path of the PKCS#11 module.
        object: label of the key.
        id: CKA_ID of the key.
    """

    module: str
    token: str = ""
    manufacturer: str = ""
    serial: str = ""
    model: str = ""
    object: str = ""
    id: bytes = b""


def parse(text: str) -> TokenUri:
    """Read a URI.

    Raises:
        UsageError: `token_uri_invalid`.
    """
    if not text.startswith(SCHEME) or "#" in text:
        raise _invalid("it does not begin with pkcs11:, or has a fragment")
    path, _, query = text.removeprefix(SCHEME).partition("?")
    names, asked = _attributes(path, ";"), _attributes(query, "&")
    if asked.keys() & {"pin-value", "pin-source"}:
        raise _invalid("a PIN is typed, or read by --passphrase-file")
    if unknown := (names.keys() - _PLAIN - _IGNORED - {"id"}) | (asked.keys() - {"module-path"}):
        raise _invalid(f"{min(unknown)!r} is not known here")
    if "object" not in names and "id" not in names:
        raise _invalid("it names no key: object= or id=")
    module = _text(asked.get("module-path", MODULE.encode()))
    if not module.startswith("/"):
        raise _invalid("module-path is no absolute path")
    found = {name: _text(value) for name, value in names.items() if name in _PLAIN}
    return TokenUri(module, id=names.get("id", b""), **found)


def _attributes(text: str, separator: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if not equals or not value or name in found or _ESCAPE.search(value):
            raise _invalid(f"{name!r} is empty, repeated or badly escaped")
        found[name] = urllib.parse.unquote_to_bytes(value)
    return found


def _text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise _invalid("a name is not UTF-8") from error
    if not text.isprintable():
        raise _invalid("a name does not print")
    return text


_invalid: Final = UsageError.of("token_uri_invalid", "This is no URI of a key on a token")
