"""Looks at sealed splits over the appliances of a site: a majority of the listed ones knows each.

Rules (ADR 0087):
- Of two looks the later one sees the other: a majority registers one, durably, and then tells.
- After a start, or with another list, a member is silent until it heard enough others to know again
  what it had registered.
- A registered look that was not taken counts: no other member can know.
"""

import hashlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from appliance.datasets.ledger import LedgerLook
from appliance.datasets.marks import SplitMarks
from appliance.errors import StateRefused

REGISTER: Final = "register"
READ: Final = "read"


@dataclass(frozen=True)
class RegisteredLook:
    """A look, and the marks of what it sees."""

    look: LedgerLook
    marks: SplitMarks


@dataclass(frozen=True)
class LooksTold:
    """All looks that a member knows, under its list of members."""

    listed: str
    looks: tuple[RegisteredLook, ...]


@dataclass(frozen=True)
class VoteAsked:
    """A question to another member, by the hint of its key; it must have the same list."""

    member: str
    kind: Literal["register", "read"]
    listed: str
    one: RegisteredLook


Answer: TypeAlias = "tuple[LedgerLook, ...] | None"
"""The looks that share what is asked about; None of a member that is away or refuses."""


class LookRegistry(Protocol):
    """Registered looks, durable when a method returns."""

    def add(self, one: RegisteredLook) -> None: ...

    def all(self) -> Iterable[RegisteredLook]: ...

    def sharing(self, marks: SplitMarks) -> Iterable[LedgerLook]:
        """The looks that a split with these marks inherits."""
        ...

    def heard(self, listed: str) -> frozenset[str]:
        """Members that were heard under this list."""
        ...

    def hear(self, listed: str, member: str) -> None:
        """Note that a member was heard under this list."""
        ...


class LookVoter:
    """One member.

    Args:
        hint: of its own key.
        members: hints of the keys that the policy lists now.
    """

    def __init__(
        self, registry: LookRegistry, hint: str, members: Callable[[], frozenset[str]]
    ) -> None:
        self._registry, self._hint, self._members = registry, hint, members
        self._heard: set[tuple[str, str]] = set()

    @property
    def listed(self) -> str:
        return hashlib.sha256("\n".join(sorted(self._members())).encode()).hexdigest()

    @property
    def majority(self) -> int:
        return len(self._members()) // 2 + 1

    @property
    def ready(self) -> bool:
        """True if this member knows every look that it may have to report."""
        listed, members = self.listed, self._members()
        others = members - {self._hint}
        since = {member for of, member in self._heard if of == listed} & others
        enough = len(since) >= len(members) - self.majority + 1
        return self._hint in members and enough and self._registry.heard(listed) >= others

    def has_heard(self, member: str) -> bool:
        """True if a member was heard under the present list, since the start."""
        return (self.listed, member) in self._heard

    def tell(self) -> LooksTold:
        """Everything that is known here, also before this member is ready."""
        return LooksTold(self.listed, tuple(self._registry.all()))

    def hear(self, member: str, told: LooksTold) -> None:
        for one in told.looks:
            self._registry.add(one)
        if told.listed == self.listed:
            self._registry.hear(told.listed, member)
            self._heard.add((told.listed, member))

    def answer(self, asked: VoteAsked) -> tuple[LedgerLook, ...]:
        """Register a look, or read those that share its split.

        Raises:
            StateRefused: `looks_unagreed` before this member is ready, or under another list.
        """
        if not self.ready or asked.listed != self.listed:
            raise StateRefused("looks_unagreed", "This appliance has not heard enough others yet.")
        if asked.kind == REGISTER:
            self._registry.add(asked.one)
        return tuple(self._registry.sharing(asked.one.marks))

    def agree(self, one: RegisteredLook) -> Generator[VoteAsked, Answer, list[LedgerLook]]:
        """Register a look with a majority; then the looks that it must be counted with.

        Yields:
            Questions to other members; their answers are sent back.

        Raises:
            StateRefused: `looks_unagreed` without a majority; the look was not permitted.
        """
        listed, seen = self.listed, dict[str, LedgerLook]()
        others = sorted(self._members() - {self._hint})
        for kind in (REGISTER, READ):
            own = VoteAsked(self._hint, kind, listed, one)
            answers: list[Answer] = [self.answer(own)]
            for member in others:
                answers.append((yield VoteAsked(member, kind, listed, one)))
            got = [answer for answer in answers if answer is not None]
            if len(got) < self.majority or listed != self.listed:
                message = f"{len(got)} of {self.majority} appliances that it takes agreed."
                raise StateRefused("looks_unagreed", message)
            seen = {look.id: look for answer in got for look in answer}
        return [look for look in seen.values() if look.id != one.look.id]
