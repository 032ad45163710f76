"""Names of people as the log has them: cleaned, and with pseudonyms where the site wants them.

A pseudonym is made with a secret of this log; without it, trying names does not find one.
"""

import hmac
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

LONGEST: Final = 256
"""Characters of a name."""
_KEPT: Final = 192
_PSEUDONYM: Final = re.compile(r"p-[0-9a-f]{32}")


def cleaned(text: str) -> str:
    """An app's text as a name: composed, printable only, and bounded.

    A digest replaces the end of one that is too long, so that two of them stay two.
    """
    shown = "".join(c for c in unicodedata.normalize("NFC", text) if c.isprintable()).strip()
    if len(shown) <= LONGEST:
        return shown
    return f"{shown[:_KEPT]}…{sha256(shown.encode()).hexdigest()[:32]}"


@dataclass(frozen=True)
class Aliases:
    """The names in the log.

    Args:
        secret: makes pseudonyms.
        pseudonyms: false keeps names as they are.
    """

    secret: Callable[[], bytes]
    pseudonyms: bool = True

    def of(self, subject: str) -> str:
        if not self.pseudonyms:
            return subject
        made = hmac.digest(self.secret(), subject.encode(), "sha256")
        return f"p-{made[:16].hex()}"

    def resolves(self, asked: str) -> bool:
        """True if a search for this name would reveal whose pseudonym is whose."""
        return self.pseudonyms and _PSEUDONYM.fullmatch(asked) is None
