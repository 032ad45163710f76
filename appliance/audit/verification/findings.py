"""Findings of a verification: bounded in what is kept, complete in what is counted."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from appliance.audit import store
from appliance.audit.merkle import Frontier

MAX_FINDINGS: Final = 100
DAMAGED: Final = "database_damaged"
"""The finding that explains all others: it is always kept, and comes first."""


@dataclass(frozen=True)
class LogProblem:
    """Something that does not verify.

    Attributes:
        seq: the entry at fault, or the first that is no longer proved.
        code: one of those in docs/audit-format.md.
    """

    seq: int
    code: str
    message: str


@dataclass
class Findings:
    """Problems found so far.

    Attributes:
        count: all of them; `kept` holds the first `MAX_FINDINGS`.
        tree: whether one of them explains roots that differ.
        recent: entries that the newest ones were about.
    """

    kept: list[LogProblem] = field(default_factory=list)
    count: int = 0
    tree: bool = False
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=4))

    def add(self, seq: int, code: str, message: str) -> None:
        """Note a problem."""
        self.count += 1
        if len(self.kept) < MAX_FINDINGS or code == DAMAGED:
            self.kept.append(LogProblem(seq, code, message))

    def damage(self, seq: int, error: Exception, what: str) -> None:
        """Note what SQLite cannot read of `what`.

        Raises:
            Exception: `error`, if it is no damage and no damage found before explains it.
        """
        known = {found.message for found in self.kept if found.code == DAMAGED}
        if not store.damaged(error):
            if known:
                return
            raise error
        message = f"{what} is damaged ({store.reason(error)})."
        if message not in known:
            self.add(seq, DAMAGED, message)

    def sorted(self) -> tuple[LogProblem, ...]:
        """Sort the kept findings by entry; damage to a database first, as it was found."""
        damage = [found for found in self.kept if found.code == DAMAGED]
        others = [found for found in self.kept if found.code != DAMAGED]
        return (*damage, *sorted(others, key=lambda found: found.seq))

    def entry(self, seq: int, code: str, message: str) -> None:
        """Note a problem of an entry that makes later roots differ."""
        self.add(seq, code, message)
        self.tree = True
        self.recent.append(seq)


@dataclass(frozen=True)
class VerificationReport:
    """The verdict.

    Attributes:
        entries: how many were checked, from `first` to `last` (rounded up to a signed head);
            `last` is None when there were none.
        root: hex root of the tree that ends with `last`.
        problems: the first of them; `problem_count` counts all.
        open_intents: intents in the range whose outcome is not there yet.
        unwitnessed: entries that no independent witness has countersigned. A tail cut off
            together with HEAD shows only against a witness, a receipt or a proof.
    """

    entries: int
    first: int
    last: int | None
    root: str
    problems: tuple[LogProblem, ...]
    problem_count: int
    open_intents: int
    unwitnessed: int

    @classmethod
    def of_nothing(cls, first: int, found: Findings) -> "VerificationReport":
        """The verdict on a log of which no entry can be read."""
        root = Frontier().root().hex()
        return cls(0, first, None, root, found.sorted(), found.count, 0, 0)

    @property
    def ok(self) -> bool:
        """True if everything holds."""
        return not self.problem_count
