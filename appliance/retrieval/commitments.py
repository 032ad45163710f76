"""Commitments in the log to passages and citations, opened only by a nonce. Pure.

Rules:
- A digest of a short text can be guessed. So an entry has HMACs under a random nonce of one search.
- The nonce goes to the app with its answer. The appliance keeps it, with the ids and digests, as a
  text of the entry: encrypted, and erased with the other texts.

The formats are in docs/audit-format.md. Source: RFC 2104 (HMAC).
"""

import hmac
import json
import secrets
from collections.abc import Iterable
from typing import Final

from appliance.types import Citation, Json, Passage

NONCE_BYTES: Final = 32
TEXT: Final = "retrieved"
"""Name of the text that keeps the nonce."""


def fresh() -> str:
    """A new nonce, in hex."""
    return secrets.token_hex(NONCE_BYTES)


def passage(nonce: str, passage_id: str, sha256: str) -> str:
    """In hex."""
    return _committed(nonce, "passage", passage_id, sha256)


def citation(nonce: str, cited: Citation) -> str:
    """In hex."""
    place = (cited.passage, cited.text_sha256, str(cited.start), str(cited.end))
    return _committed(nonce, "citation", *place, cited.sha256)


def passages(nonce: str, found: Iterable[Passage]) -> list[Json]:
    """Commit to passages, in order."""
    return [{"commitment": passage(nonce, one.id, one.sha256)} for one in found]


def text(nonce: str, found: Iterable[Passage]) -> bytes:
    """Opens the entry's commitments."""
    opened = [{"id": one.id, "sha256": one.sha256} for one in found]
    return json.dumps({"nonce": nonce, "passages": opened}).encode()


def nonce_of(kept: bytes) -> str:
    """The nonce in such a text."""
    found: str = json.loads(kept)["nonce"]
    return found


def _committed(nonce: str, what: str, *said: str) -> str:
    words = "|".join((f"appliance {what} v1", *said))
    return hmac.digest(bytes.fromhex(nonce), words.encode(), "sha256").hex()
