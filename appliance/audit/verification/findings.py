"""Findings of a verification: bounded in what is kept, complete in what is counted."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from appliance.audit import store
from appliance.audit.merkle import Frontier

MAX_FINDINGS: Final = 100
DAMAGED: Final = "database_damaged"
"""The finding that explains all others: it is always kept, and comes first."""
MEANINGS: Final = {
    "genesis_mismatch": (
        "entry 0, `genesis.pub` and the believed key disagree, or another entry says that it is "
        "the first"
    ),
    "entry_missing": "entries are gone from here on, at the beginning without a prune entry",
    "entry_unexpected": "a segment holds an entry of another one",
    "seq_mismatch": "the body says that it is another entry",
    "body_invalid": "not canonical, not an entry, or a field is missing",
    "leaf_mismatch": "the body does not have the stored hash",
    "prev_mismatch": "the stored predecessor is not the one in the body",
    "chain_broken": "the entry is not the one that its neighbours name",
    "root_mismatch": "the entries do not have the signed root",
    "checkpoint_invalid": "a head is malformed, of another log, or not signed by the epoch's key",
    "checkpoint_unexpected": "a stored head has a size that its segment does not reach",
    "unsigned": "no valid head covers the entries from here on",
    "epoch_invalid": "the entry names another epoch than the handovers before it",
    "handover_invalid": (
        "a handover that the old key did not sign, or of another epoch or size; a segment "
        "carries another one"
    ),
    "epoch_unclosed": "no head over the handover: the old key does not cover the end of its epoch",
    "time_fell": "time since boot is lower than in the entry before",
    "outcome_orphan": "an outcome closes no open intent",
    "outcome_mismatch": "an outcome and its intent name different requests",
    "outcome_missing": "an intent has no outcome although the server restarted",
    "content_missing": "the ciphertext that the entry names is not stored",
    "content_mismatch": "the stored ciphertext is another one, or its nonce does not have 12 bytes",
    "content_unexpected": "a ciphertext is stored that no entry names",
    "key_missing": (
        "the entry's content key is gone without an `erase` entry; or `kek` cannot be read"
    ),
    "key_mismatch": "the entry's content key does not unwrap, or does not decrypt the text",
    "index_mismatch": (
        "an index or a page of the database hides the entry, or its block's span is another or "
        "too early; an index of the segment from this entry on has entries that are not the "
        "log's"
    ),
    "schema_mismatch": (
        "tables, columns, indexes or triggers of the segment from this entry on, or of "
        "`keys.db`, are not those of the format"
    ),
    "node_mismatch": "a stored inner node is not the tree's, or the tree has no such node",
    "tree_incomplete": "stored hashes before a range are missing",
    "tail_missing": "HEAD has seen more entries than the log has",
    "head_missing": "HEAD is gone",
    "head_invalid": "HEAD is malformed",
    "head_mismatch": "HEAD is not of this log",
    "receipt_mismatch": "a receipt proves another entry than the log has",
    "prune_invalid": "a prune without the approvals of two people, or of something else than went",
    "database_damaged": (
        "SQLite cannot read on from this entry; a database is cut short, no database, or has "
        "other tables; or a rollback journal exists. It comes first, since others may follow "
        "from it"
    ),
}
"""The meaning of each code; docs/audit-format.md lists them."""


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
    """Problems found so far; `kept` holds the first `MAX_FINDINGS`.

    Attributes:
        tree: whether one of them explains differing roots.
    """

    kept: list[LogProblem] = field(default_factory=list)
    count: int = 0
    tree: bool = False
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=4))

    def add(self, seq: int, code: str, message: str) -> None:
        self.count += 1
        if len(self.kept) < MAX_FINDINGS or code == DAMAGED:
            self.kept.append(LogProblem(seq, code, message))

    def damage(self, seq: int, error: Exception, what: str) -> None:
        """Note what SQLite cannot read of `what`.

        Raises `error` if no damage explains it.
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
        """The kept findings by entry; damage to a database first, as it was found."""
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
        open_intents: intents in the range without an outcome yet.
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
        root = Frontier().root().hex()
        return cls(0, first, None, root, found.sorted(), found.count, 0, 0)

    @property
    def ok(self) -> bool:
        return not self.problem_count
