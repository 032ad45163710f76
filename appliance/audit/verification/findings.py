"""What a verification found: bounded in what is kept, complete in what is counted."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

MAX_FINDINGS: Final = 100


@dataclass(frozen=True)
class Problem:
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

    kept: list[Problem] = field(default_factory=list)
    count: int = 0
    tree: bool = False
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=4))

    def add(self, seq: int, code: str, message: str) -> None:
        """Note a problem."""
        self.count += 1
        if len(self.kept) < MAX_FINDINGS:
            self.kept.append(Problem(seq, code, message))

    def entry(self, seq: int, code: str, message: str) -> None:
        """Note a problem of an entry that makes later roots differ."""
        self.add(seq, code, message)
        self.tree = True
        self.recent.append(seq)


@dataclass(frozen=True)
class Report:
    """The verdict.

    Attributes:
        entries: how many were checked, from `first` to `last` (rounded up to a signed head).
        root: hex root of the tree that ends with `last`.
        problems: the first of them; `problem_count` counts all.
        open_intents: intents in the range whose outcome is not there yet.
        unwitnessed: entries that no independent witness has countersigned. A tail cut off
            together with HEAD shows only against a witness, a receipt or a proof.
    """

    entries: int
    first: int
    last: int
    root: str
    problems: tuple[Problem, ...]
    problem_count: int
    open_intents: int
    unwitnessed: int

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.problem_count
