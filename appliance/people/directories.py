"""Rights of people from the site's directory: Active Directory, or another LDAP server.

Rules:
- An answer holds for a minute. While the directory is away, known people keep their last rights for
  the grace; others are refused.
- A person is the one entry whose attribute is the name, but for the case of ASCII letters: the
  server's own likeness is not enough.
- Nested groups: Active Directory's rule in chain, elsewhere a walk ten groups deep. A person in too
  many is refused.
- An unreadable answer about one person is that person's failure; an unreached or slow directory is
  away for all.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from appliance.auth import certificates
from appliance.auth.secret_file import read_secret
from appliance.clock import Clock
from appliance.config import LdapConfig
from appliance.errors import ApplianceError, Forbidden, Unavailable
from appliance.people import ldap_messages as ldap
from appliance.people.ldap_session import LdapSession, ServiceAccount, session
from appliance.people.names import cleaned

HOLDS_S: Final = 60.0
SECONDS: Final = 5.0
"""Time for all that one host is asked about a person."""
MOST_GROUPS: Final = 2_000
DEEPEST: Final = 10
"""Groups in groups in groups."""
MOST_KNOWN: Final = 10_000
_PORT: Final = 636
_DIRECTORY: Final = ""
"""Stands for all of it among the people for whom it failed."""
_AGAIN_S: Final = 10.0
_AT_ONCE: Final = 4
_NAMES: Final = 50
"""Names in one filter."""
_US: Final = 1_000_000
_NO_ATTRIBUTES: Final = ("1.1",)
_DISABLED: Final = 2
_NEVER: Final = (0, 0x7FFF_FFFF_FFFF_FFFF)
_1601: Final = 11_644_473_600
"""Seconds from 1601, where the times of Active Directory begin, to 1970."""
_DAY_S: Final = 86_400
_LOCKED_FOR_GOOD: Final = b"000001010000Z"
V = TypeVar("V")
_logger = logging.getLogger("appliance.people")


@dataclass(frozen=True)
class DirectoryPerson:
    """The answer of a directory about a name.

    Attributes:
        name: for people to read.
        groups: distinguished names, folded.
        refused: code and message; None for somebody with rights.
        at: steady time of the question, in seconds.
    """

    name: str
    groups: frozenset[str]
    refused: tuple[str, str] | None
    at: float


class PeopleDirectory:
    """One directory.

    Attributes:
        problem: why no host answered at the last try; "" where one did.

    Args:
        steady: seconds of a clock that does not jump.
    """

    def __init__(
        self,
        name: str,
        config: LdapConfig,
        data: Path,
        clock: Clock,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._config, self._data = name, config, data
        self._clock, self._steady = clock, steady
        self._known: OrderedDict[str, DirectoryPerson] = OrderedDict()
        self._running: dict[str, asyncio.Task[DirectoryPerson | None]] = {}
        self._failed: OrderedDict[str, float] = OrderedDict()
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self.problem = ""
        self._urls = list(config.urls)

    async def find(self, subject: str) -> tuple[DirectoryPerson, float]:
        """A person, and for how many seconds from now on that is good.

        Raises `person_unknown`, `person_disabled`, `people_unavailable`.
        """
        known = self._known.get(subject)
        if known is None or self._steady() - known.at >= HOLDS_S:
            known = await self._look_up(subject) or known
        left = 0.0 if known is None else known.at - self._steady() + HOLDS_S
        if left <= 0:  # it does not answer
            left += self._config.grace_minutes * 60 - HOLDS_S
        if known is None or left <= 0:
            message = f"The directory {self._name} does not answer."
            raise Unavailable("people_unavailable", message)
        if known.refused is not None:
            raise Forbidden(*known.refused)
        return known, left

    async def _look_up(self, subject: str) -> DirectoryPerson | None:
        """Ask the directory, unless it failed a moment ago; others wait for the same answer."""
        running = self._running.get(subject)
        if running is None:
            if self._away(subject):
                return None
            running = asyncio.ensure_future(self._ask(subject))
            self._running[subject] = running
            running.add_done_callback(lambda _: self._running.pop(subject))
        return await asyncio.shield(running)

    async def _ask(self, subject: str) -> DirectoryPerson | None:
        async with self._turn:
            begun, failed, problem = self._steady(), _DIRECTORY, "It has no hosts."
            for url in tuple(self._urls):
                if self._away(subject):
                    return None
                failed = _DIRECTORY
                try:
                    async with await self._session(url) as opened:
                        failed = subject
                        self.problem = ""
                        found = await self._person(opened, subject, begun)
                    return _kept(self._known, subject, found)
                except OSError as error:  # also where it let us in, and then was too slow
                    failed, problem = _DIRECTORY, str(error) or type(error).__name__
                except ApplianceError as error:
                    problem = error.message
                _logger.warning("the directory %s at %s: %s", self._name, url, problem)
                self._urls.append(self._urls.pop(0))
            _kept(self._failed, failed, self._steady())
            self.problem = problem if failed == _DIRECTORY else ""
            return None

    def _away(self, subject: str) -> bool:
        """True if it failed a moment ago, for anybody or for this person."""
        failed = (self._failed.get(one, float("-inf")) for one in (_DIRECTORY, subject))
        return self._steady() - max(failed) < _AGAIN_S

    async def _session(self, url: str) -> AbstractAsyncContextManager[LdapSession]:
        config, parts = self._config, urlsplit(url)
        tls = await asyncio.to_thread(certificates.pinned, self._data, config.ca, "", "")
        password = await asyncio.to_thread(read_secret, self._data, config.password)
        account = ServiceAccount(config.bind, password)
        return session(parts.hostname or "", parts.port or _PORT, tls, account, SECONDS)

    async def _person(self, opened: LdapSession, subject: str, begun: float) -> DirectoryPerson:
        config = self._config
        wanted = ldap.equal(config.person, subject)
        if config.kind == "ad":
            wanted = ldap.every(ldap.equal("objectCategory", "person"), wanted)
        asked = (config.person, "displayName", *_STATE[config.kind])
        found = await opened.search(config.base, wanted, asked, 1)
        alike = [one for one in found if _spelled(one, config.person, subject)]
        if len(found) != 1 or not alike:
            problem = "does not know the person" if not alike else "has two of the name"
            return self._refusal("person_unknown", problem, begun)
        entry = alike[0]
        if disabled(entry, config.kind, self._clock.wall_us() // _US):
            return self._refusal("person_disabled", "says that the account is closed", begun)
        groups = await self._groups(opened, entry.dn)
        if len(groups) > MOST_GROUPS:
            problem = f"has the person in more than {MOST_GROUPS} groups"
            return self._refusal("person_unknown", problem, begun)
        return DirectoryPerson(cleaned(_first(entry, "displayname")), groups, None, begun)

    def _refusal(self, code: str, problem: str, begun: float) -> DirectoryPerson:
        said = (code, f"The directory {self._name} {problem}.")
        return DirectoryPerson("", frozenset(), said, begun)

    async def _groups(self, opened: LdapSession, dn: str) -> frozenset[str]:
        """All groups of somebody, nested ones too; one above the limit where there are more."""
        base, member = self._config.groups or self._config.base, self._config.member
        if self._config.kind == "ad":
            chain = ldap.in_chain(member, dn)
            found = await opened.search(base, chain, _NO_ATTRIBUTES, MOST_GROUPS)
            return frozenset(ldap.folded(one.dn) for one in found)
        seen: set[str] = set()
        level = [dn]
        for _ in range(DEEPEST):
            above: dict[str, str] = {}
            for names in (level[n : n + _NAMES] for n in range(0, len(level), _NAMES)):
                wanted = ldap.either(*(ldap.equal(member, one) for one in names))
                most = MOST_GROUPS - len(seen)
                for one in await opened.search(base, wanted, _NO_ATTRIBUTES, most):
                    above.setdefault(ldap.folded(one.dn), one.dn)
            level = [above[name] for name in above.keys() - seen]
            seen |= above.keys()
            if not level or len(seen) > MOST_GROUPS:
                break
        return frozenset(seen)


_STATE: Final = {
    "ad": ("userAccountControl", "accountExpires"),
    "openldap": ("pwdAccountLockedTime", "shadowExpire", "nsAccountLock"),
}
"""Attributes that say if an account is open, by the kind of directory."""


def disabled(entry: ldap.DirectoryEntry, kind: str, now: int) -> bool:
    """True of a closed account; of Active Directory also without a statement.

    Args:
        now: seconds since 1970.
    """
    if kind == "ad":
        flags = _whole(entry, "useraccountcontrol")
        expires = _whole(entry, "accountexpires") or 0
        over = expires not in _NEVER and expires // 10**7 - _1601 <= now
        return flags is None or bool(flags & _DISABLED) or over
    last = _whole(entry, "shadowexpire")
    return (
        _LOCKED_FOR_GOOD in entry.attributes.get("pwdaccountlockedtime", ())
        or _first(entry, "nsaccountlock").lower() == "true"
        or (last is not None and last >= 0 and last * _DAY_S <= now)
    )


def _kept(known: OrderedDict[str, V], subject: str, value: V) -> V:
    known[subject] = value
    known.move_to_end(subject)
    while len(known) > MOST_KNOWN:
        known.popitem(last=False)
    return value


def _spelled(entry: ldap.DirectoryEntry, attribute: str, subject: str) -> bool:
    values = entry.attributes.get(attribute.lower(), ())
    return _lower(subject.encode()) in map(_lower, values)


def _lower(text: bytes) -> bytes:
    return text.lower()  # of bytes: ASCII letters alone


def _first(entry: ldap.DirectoryEntry, attribute: str) -> str:
    values: Iterable[bytes] = entry.attributes.get(attribute, ())
    return next((one.decode("utf-8", "replace") for one in values), "")


def _whole(entry: ldap.DirectoryEntry, attribute: str) -> int | None:
    text = _first(entry, attribute)
    try:
        return int(text) if text else None
    except ValueError as error:
        raise ldap.DirectoryError(f"{attribute} is no number") from error
