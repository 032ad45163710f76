"""Names of people as the log has them: cleaned, and with pseudonyms where the site wants them.

Rules: a name is compared as it is spelled, so that one which only looks alike is another person; a
pseudonym is made with a secret of this log, the same for the same name; trying names finds it only
with that secret.
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
    """Words of an app as a name: composed, without what does not print, and bounded.

    Of one that is too long a digest stands for the end, so that two of them stay two.
    """
    shown = "".join(c for c in unicodedata.normalize("NFC", text) if c.isprintable()).strip()
    if len(shown) <= LONGEST:
        return shown
    return f"{shown[:_KEPT]}…{sha256(shown.encode()).hexdigest()[:32]}"


@dataclass(frozen=True)
class Aliases:
    """The names in the log.

    Args:
        secret: what pseudonyms are made with.
        pseudonyms: false keeps names as they are.
    """

    secret: Callable[[], bytes]
    pseudonyms: bool = True

    def of(self, subject: str) -> str:
        """The name of a person in the log."""
        if not self.pseudonyms:
            return subject
        made = hmac.digest(self.secret(), subject.encode(), "sha256")
        return f"p-{made[:16].hex()}"

    def resolves(self, asked: str) -> bool:
        """True if a search for this name would tell whose pseudonym is whose."""
        return self.pseudonyms and _PSEUDONYM.fullmatch(asked) is None
