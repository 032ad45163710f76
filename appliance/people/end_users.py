"""The person behind a request: verified by a source of the site, or claimed by the app.

Rules:
- A claim, which no source verified, permits nothing.
- Where a token's or certificate's source names a directory, only the directory decides groups and
  existence.
- A verified token is known by what is signed, for the API key that brought it first: ECDSA has
  several signatures for that.
- Rights are those of both key and person: groups that are not in `[groups]` give none.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.clock import Clock
from appliance.config import Config, OidcConfig
from appliance.errors import Forbidden, Unauthenticated
from appliance.people.names import Aliases, cleaned
from appliance.types import CLAIM, EndUser, Limits, Principal

if TYPE_CHECKING:
    from appliance.people.directories import PeopleDirectory
    from appliance.people.login_keys import LoginKeys
    from appliance.people.person_certificates import PersonCertificates
    from appliance.people.tokens import PublicKey, TokenRules, UnverifiedToken, VerifiedToken

EVERYTHING: Final = "*"
MOST_KNOWN: Final = 10_000
"""Verified tokens that are remembered."""
_EVER_US: Final = 1 << 62
_SECOND_US: Final = 1_000_000
_MINUTE_US: Final = 60 * _SECOND_US


@dataclass(frozen=True)
class _KnownToken:
    """A verified token: the person, its key, the app that brought it, and the directory of the
    person's rights.
    """

    person: EndUser
    signature: str
    kid: str
    key: "PublicKey"
    app: str
    directory: str


class EndUsers:
    """The people of one appliance.

    Args:
        share: this appliance's part of the limits.
    """

    def __init__(
        self,
        config: Config,
        data: Path,
        aliases: Aliases,
        clock: Clock,
        share: Callable[[Limits], Limits] = lambda limits: limits,
    ) -> None:
        self._share = share
        self.aliases = aliases
        self._required = frozenset(config.people.required)
        self._clock = clock
        self._config, self._data = config, data
        self._groups = {
            name: frozenset(map(self._spelled, group.names))
            for name, group in config.groups.items()
        }
        given = {name: frozenset(group.models) for name, group in config.groups.items()}
        self._given = {name: models for name, models in given.items() if models}
        self._centres = {name: one.cost_centre for name, one in config.groups.items()}
        self._limits = Limits(config.people.rpm or None, config.people.tpm or None)
        self._logins = [_Login(name, one, data) for name, one in config.oidc.items()]
        self._known: OrderedDict[bytes, _KnownToken] = OrderedDict()
        self._directories: dict[str, PeopleDirectory] = {}
        self._cards: dict[str, PersonCertificates] = {}

    @property
    def limits(self) -> Limits:
        """Of each person, here."""
        return self._share(self._limits)

    def claimed(self, text: str) -> EndUser | None:
        name = cleaned(text)
        return EndUser(name, CLAIM, self.aliases.of(name)) if name else None

    async def verified(self, token: str, app: str) -> EndUser:
        """The person of a token; `app` is the id of the API key that brings it.

        Raises:
            Unauthenticated: `person_token_invalid`, `person_token_foreign`, `person_token_expired`,
                `person_token_early`, `person_token_lifetime`, `person_token_bound`,
                `person_token_replayed`.
        """
        signed, _, signature = token.rpartition(".")
        digest = sha256(signed.encode("latin-1", "replace")).digest()
        known = self._known.get(digest)
        if known is not None and not await self._still(known):
            self._known.pop(digest, None)
            known = None
        if known is None or known.signature != signature:
            known = self._known.setdefault(digest, await self._verify(token, app))
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        if known.app != app:
            message = "Another app brought this token before."
            raise Unauthenticated("person_token_replayed", message)
        return await self._with_rights(known.person, known.directory)

    async def certified(self, der: bytes) -> EndUser | None:
        """The person of a client certificate; None where it is not a person's."""
        for name, config in self._config.certificates.items():
            found = await self._card(name).find(der)
            if found is not None:
                said, until = found
                source, until_us = f"certificate:{name}", int(until.timestamp() * _SECOND_US)
                alias = self.aliases.of(said.subject)
                person = EndUser(said.subject, source, alias, until_us=until_us)
                return await self._with_rights(person, config.directory)
        return None

    async def looked_up(self, subject: str, directory: str) -> EndUser:
        """The person of a directory for whose name the host vouches."""
        person = EndUser(subject, f"ldap:{directory}", self.aliases.of(subject), until_us=_EVER_US)
        return await self._with_rights(person, directory)

    def away(self) -> Iterator[tuple[str, str]]:
        """The sources that could not be read at the last try, each with the reason."""
        sources: list[tuple[str, LoginKeys | PeopleDirectory | PersonCertificates]] = [
            *((login.source, login.keys) for login in self._logins if login.asked),
            *((f"ldap:{name}", one) for name, one in self._directories.items()),
            *((f"certificate:{name}", one) for name, one in self._cards.items()),
        ]
        for name, one in sources:
            if one.problem:
                yield name, f"The source of people {name} cannot be read: {one.problem}"

    def limited(self, principal: Principal, person: EndUser) -> Principal:
        """The rights of an app while it asks for a person."""
        granted = None
        if self._given and person.verified:
            granted = frozenset[str]().union(*(self._given.get(g, ()) for g in person.groups))
            granted = None if EVERYTHING in granted else granted
        limits = self.limits if person.verified else Limits()
        return replace(principal, person=person, granted=granted, person_limits=limits)

    def check(self, principal: Principal, name: str) -> None:
        """Refuse a model, task, route or collection (`name`) that is only for verified people
        (`person_required`).
        """
        wanted = principal.for_people or not self._required.isdisjoint({EVERYTHING, name})
        if wanted and principal.known is None:
            raise required(name)

    async def _verify(self, text: str, app: str) -> _KnownToken:
        from appliance.people import tokens  # a site without tokens needs none of it

        token = tokens.read(text)
        login = next((one for one in self._logins if one.config.issuer == token.issuer), None)
        if login is None:
            message = "The token is of a login service that is not configured."
            raise Unauthenticated("person_token_foreign", message)
        found, key = await login.verify(token, self._clock.wall_us())
        alias, name = self.aliases.of(found.subject), cleaned(found.name)
        person = EndUser(found.subject, login.source, alias, name, until_us=found.until_us)
        person = self._placed(person, login.name, found.groups)
        signature = text.rpartition(".")[2]
        return _KnownToken(person, signature, token.kid, key, app, login.config.directory)

    async def _with_rights(self, person: EndUser, directory: str) -> EndUser:
        """The same person with the rights of a directory, where the source names one."""
        if not directory:
            return person
        found, seconds = await self._directory(directory).find(person.subject)
        until = self._clock.wall_us() + int(seconds * _SECOND_US)
        known = replace(
            person,
            name=person.name or found.name,
            groups_from=f"ldap:{directory}",
            until_us=min(person.until_us, until),
        )
        return self._placed(known, directory, found.groups)

    def _placed(self, person: EndUser, source: str, spelled: Iterable[str]) -> EndUser:
        """The person in the groups of `[groups]` for these groups of a source."""
        theirs = {f"{source}/{group}" for group in spelled}
        groups = [name for name, names in self._groups.items() if names & theirs]
        centre = next((one for name in groups if (one := self._centres[name])), "")
        return replace(person, groups=frozenset(groups), cost_centre=centre)

    def _spelled(self, name: str) -> str:
        source, _, group = name.partition("/")
        if source not in self._config.ldap:
            return name
        from appliance.people.ldap_messages import folded

        return f"{source}/{folded(group)}"

    def _directory(self, name: str) -> "PeopleDirectory":
        made = self._directories.get(name)
        if made is None:
            from appliance.people.directories import PeopleDirectory

            made = PeopleDirectory(name, self._config.ldap[name], self._data, self._clock)
            self._directories[name] = made
        return made

    def _card(self, name: str) -> "PersonCertificates":
        made = self._cards.get(name)
        if made is None:
            from appliance.people.person_certificates import PersonCertificates

            config = self._config.certificates[name]
            made = self._cards[name] = PersonCertificates(name, config, self._data, self._clock)
        return made

    async def _still(self, known: _KnownToken) -> bool:
        """True if a token has not ended, and its key is still the service's."""
        if self._clock.wall_us() >= known.person.until_us:
            return False
        login = next(one for one in self._logins if one.source == known.person.source)
        try:
            return await login.keys.find(known.kid) is known.key
        except Unauthenticated:
            return False


class _Login:
    """One configured login service; the verifying libraries are imported when needed."""

    def __init__(self, name: str, config: OidcConfig, data: Path) -> None:
        self.name, self.config, self.source = name, config, f"oidc:{name}"
        self._data = data
        self._made: tuple[LoginKeys, TokenRules] | None = None

    @property
    def asked(self) -> bool:
        return self._made is not None

    @property
    def keys(self) -> "LoginKeys":
        return self._parts()[0]

    async def verify(
        self, token: "UnverifiedToken", now_us: int
    ) -> "tuple[VerifiedToken, PublicKey]":
        """The person of a token, and the key that vouched."""
        from appliance.people import tokens

        keys, rules = self._parts()
        tokens.check_algorithm(token, rules)
        key = await keys.find(token.kid)
        return tokens.verify(token, key, rules, now_us), key

    def _parts(self) -> "tuple[LoginKeys, TokenRules]":
        if self._made is None:
            from appliance.people.login_keys import LoginKeys
            from appliance.people.tokens import TokenRules

            rules = TokenRules(
                self.config.issuer,
                self.config.audience,
                frozenset(self.config.algorithms),
                self.config.subject,
                self.config.groups,
                self.config.longest_minutes * _MINUTE_US,
            )
            self._made = LoginKeys(self.name, self.config, self._data), rules
        return self._made


def required(name: str) -> Forbidden:
    """The refusal without a verified person."""
    message = f"{name} is answered only for a verified person."
    return Forbidden("person_required", message)
