"""Read access to documents. Pure.

Rules: an access list names API keys, groups of keys, groups of verified people or "everyone"; an
empty list is readable by no app. A caller's rights are made for one query and never kept.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from appliance.errors import CollectionRefused
from appliance.types import PEOPLE

EVERYONE: Final = "everyone"
"""The grantee that stands for every API key."""
MOST_GRANTEES: Final = 500
_GRANTEE: Final = re.compile(
    r"everyone|key:[A-Za-z0-9_-]{1,64}|(?:group|people):[a-z0-9][a-z0-9._-]{0,63}"
)


@dataclass(frozen=True)
class AccessSet:
    """One caller's read access.

    Attributes:
        grantees: the caller's names on access lists.
        all: an admin, who reads every document.
    """

    grantees: frozenset[str]
    all: bool = False


ADMIN: Final = AccessSet(frozenset(), all=True)


def of_key(key_id: str, groups: Iterable[str], people: Iterable[str] = ()) -> AccessSet:
    """A key's access; its groups are those of now.

    Args:
        people: groups of the verified person for whom it asks.
    """
    named = (*(f"group:{name}" for name in groups), *(PEOPLE + name for name in people))
    return AccessSet(frozenset({EVERYONE, f"key:{key_id}", *named}))


def checked(grantees: Iterable[str]) -> tuple[str, ...]:
    """Sorted and without repetition. Raises CollectionRefused (`access_invalid`)."""
    found = sorted(set(grantees))
    for grantee in found:
        if not _GRANTEE.fullmatch(grantee):
            raise CollectionRefused("access_invalid", f"{grantee[:80]!r} is no key, group or all.")
    if len(found) > MOST_GRANTEES:
        message = f"{len(found)} names on one access list; {MOST_GRANTEES} are the most."
        raise CollectionRefused("access_invalid", message)
    return tuple(found)


def may_read(access: AccessSet, grantees: Collection[str]) -> bool:
    """True if a document with this access list is readable."""
    return access.all or not access.grantees.isdisjoint(grantees)
