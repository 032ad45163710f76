"""Verification entry by entry and head by head. Pure: rows in, findings out.

Rules:
- A finding names the entry that is wrong, not the one where it shows: when entry n+1 does not
  follow entry n, the blame goes to the one whose other neighbour disagrees too, or that no valid
  head has covered yet.
- One cause, one finding: after a finding about the tree, differing roots stay silent until a root
  holds again.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Final, TypeAlias, cast

from appliance.audit.entry import decode
from appliance.audit.merkle import Frontier, leaf_hash
from appliance.audit.store import LeafRow
from appliance.audit.verification.bulk import Fields
from appliance.audit.verification.epochs import EpochCheck
from appliance.audit.verification.findings import Findings
from appliance.audit.verification.second_process import Ahead
from appliance.errors import AuditRefused

Body: TypeAlias = dict[str, Any]
"""A decoded body; `decode` has checked the types of what is read here."""
Event: TypeAlias = tuple[int, int, str]
"""An outcome: seq, intent, request; a start: seq, `_START`, nothing."""
_GENESIS: Final = "genesis"
_START: Final = -(1 << 60)  # no body holds such a number


class ChainCheck:
    """Body, place, chain and tree of entries in order.

    Attributes:
        frontier: edge of the tree so far.
        covered: entries below this are proved by a valid head.
    """

    def __init__(
        self, findings: Findings, frontier: Frontier, before: bytes | None, epochs: EpochCheck
    ) -> None:
        self.frontier = frontier
        self._epochs = epochs
        self.expected = self.covered = frontier.size
        self._found = findings
        # Leaf hashes that the next entry may name as `prev`; two when a stored hash is wrong.
        self._before: tuple[str, ...] = () if before is None else (before.hex(),)
        self._shift = 0
        self._suspect: int | None = None
        self._unsigned: str | None = None
        self._boot: tuple[str, int] = ("", 0)

    def row(
        self, seq: int, prev: bytes, stored: bytes, raw: bytes
    ) -> tuple[Body | None, list[tuple[int, int, bytes]]]:
        """Check one row; the decoded body if it is an entry, and its completed inner nodes."""
        if seq != self.expected:
            self.missing(seq)
        leaf = leaf_hash(raw)
        if leaf != stored:
            self._found.entry(seq, "leaf_mismatch", f"Entry {seq} is not the one that was hashed.")
        shift = self._shift
        body = self._body(seq, prev, raw)
        follows = prev.hex() if body is None else body["prev"]
        if leaf.hex() not in self._before:  # a second copy says itself that it is misplaced
            self._link(seq, follows, self._shift - shift)
        self._before = (stored.hex(), leaf.hex()) if leaf != stored else (stored.hex(),)
        self.expected = seq + 1
        return body, self.frontier.append(leaf)

    @property
    def settled(self) -> bool:
        """True if no finding waits for the next entry."""
        return self._suspect is None and self._unsigned is None and not self._shift

    @property
    def before(self) -> str | None:
        """Leaf hash of the last entry, in hex, if there is no doubt about it."""
        return self._before[0] if len(self._before) == 1 else None

    @property
    def moment(self) -> tuple[str, int]:
        return self._boot

    def adopt(self, found: Ahead) -> None:
        """Continue after a range that another process checked from this place."""
        self._time(self.expected, *found.began)
        self._boot = found.ended
        self.expected = self.covered = found.end.size
        self.frontier = Frontier(found.end.size, map(bytes.fromhex, found.end.peaks))
        self._before = (found.end.before,)

    def plain(self, rows: Sequence[LeafRow], bodies: Sequence[Fields]) -> list[bytes] | None:
        """The leaf hashes of consecutive rows in which `row` would find nothing; None when it
        might.

        Keys and heads are not checked.
        """
        seqs, prevs, stored, raws = zip(*rows, strict=True)
        leaves = [sha256(b"\0" + raw).digest() for raw in raws]
        holds = (
            self.settled
            and leaves == list(stored)
            and self._before == (prevs[0].hex(),)
            and prevs[1:] == stored[:-1]
            and seqs == tuple(range(self.expected, self.expected + len(rows)))
            and [body.seq for body in bodies] == list(seqs)
            and [body.prev for body in bodies] == [prev.hex() for prev in prevs]
            and _GENESIS not in [body.kind for body in bodies[seqs[0] == 0 :]]
            and self._in_time(bodies)
        )
        return leaves if holds else None

    def take(self, leaves: Sequence[bytes], last: Fields) -> list[tuple[int, int, bytes]]:
        """Take in rows whose leaf hashes `plain` gave; the inner nodes that they completed."""
        self.expected += len(leaves)
        self._before = (leaves[-1].hex(),)
        self._boot = (last.boot_id, last.mono_us)
        return self.frontier.extend(leaves)

    def missing(self, next_seq: int) -> None:
        gap = f"Entries {self.expected} to {next_seq - 1} are missing."
        self._found.entry(self.expected, "entry_missing", gap)
        self._epochs.missing()
        self._settle()
        self._before = ()

    def head(self, size: int, note: bytes) -> None:
        checkpoint = self._epochs.head(size, note)
        if checkpoint is None:
            return
        if checkpoint.size != size:
            message = f"The head stored for size {size} speaks of size {checkpoint.size}."
            self._found.add(size - 1, "checkpoint_invalid", message)
        elif checkpoint.root == self.frontier.root():
            self.covered = size
            self._found.tree = False  # whatever was found, these are the signed entries
        elif not self._found.tree:
            # The next entry may tell which one it is.
            self._found.tree = True
            self._unsigned = f"Entries {self.covered} to {size - 1} are not those that were signed."

    def end(self, size: int) -> None:
        if self.expected < size:
            self.missing(size)
        self._settle()
        if self.covered < size and not self._found.tree:
            message = f"Entries {self.covered} to {size - 1} are covered by no valid head."
            self._found.entry(self.covered, "unsigned", message)

    def _body(self, seq: int, prev: bytes, raw: bytes) -> Body | None:
        try:
            body: Body = decode(raw)
        except AuditRefused as error:
            self._found.entry(seq, "body_invalid", f"Entry {seq}: {error.message}")
            return None
        shift = body["seq"] - seq
        if shift and shift != self._shift:
            message = f"Entry {seq} says that it is entry {body['seq']}."
            self._found.entry(seq, "seq_mismatch", message)
        self._shift = shift
        if body["prev"] != prev.hex():
            message = f"Entry {seq} is filed under another predecessor than it names."
            self._found.entry(seq, "prev_mismatch", message)
        if seq and body["kind"] == _GENESIS:
            self._found.add(seq, "genesis_mismatch", f"Entry {seq} begins a log within a log.")
        self._epochs.entry(seq, body)
        self._time(seq, body["boot_id"], body["mono_us"])
        return body

    def _in_time(self, bodies: Sequence[Fields]) -> bool:
        boot, mono = bodies[0].boot_id, [body.mono_us for body in bodies]
        one = [body.boot_id for body in bodies].count(boot) == len(bodies)
        falls = boot == self._boot[0] and mono[0] < self._boot[1]
        return one and not falls and mono == sorted(mono)

    def _time(self, seq: int, boot: str, mono: int) -> None:
        if boot == self._boot[0] and mono < self._boot[1]:
            self._found.add(seq, "time_fell", f"Entry {seq} is older than the one before it.")
        self._boot = (boot, mono)

    def _link(self, seq: int, follows: str, shifted: int) -> None:
        if not self._before or follows in self._before:
            self._settle()
        elif self._suspect == seq - 2:
            self._blame(seq - 1)  # it disagrees with both neighbours
        elif shifted < 0 or self._unsigned is not None:
            self._blame(seq - 1)  # a head does not know it, or it pushed the others back
        elif self.covered > seq - 1:
            self._blame(seq)  # the one before is proved
        elif not {seq - 1, seq} & {*self._found.recent}:
            self._suspect = seq - 1

    def _settle(self) -> None:
        if self._suspect is not None:
            self._blame(self._suspect)
        elif self._unsigned is not None:
            self._found.entry(self.covered, "root_mismatch", self._unsigned)
        self._unsigned = None

    def _blame(self, seq: int) -> None:
        self._suspect = self._unsigned = None
        if seq not in self._found.recent:
            message = f"Entry {seq} is not the one that its neighbours knew."
            self._found.entry(seq, "chain_broken", message)


class LinkCheck:
    """Intents and outcomes, both ways.

    Attributes:
        open: request id of each intent without an outcome so far.
        ahead: number of open ones in an adopted range.
    """

    def __init__(
        self,
        findings: Findings,
        earlier: Callable[[int], str | None],
        begin: int = 0,
        foreign: list[Event] | None = None,
    ) -> None:
        """Check links from `begin` on.

        Args:
            earlier: gives the request id of an intent before the range, or None.
            begin: intents before this were pruned, so nothing is known of them.
            foreign: takes outcomes of intents before the range, and starts, unjudged.
        """
        self._foreign = foreign
        self.ahead = 0
        self.open: dict[int, str] = {}
        self._found, self._earlier, self._begin = findings, earlier, begin

    def entries(self, first: int, bodies: Sequence[Fields]) -> None:
        for seq, body in enumerate(bodies, first):
            kind = body.kind
            if kind == "intent":
                self.open[seq] = cast(str, body.request_id)
            elif kind == "outcome":
                intent, request = cast(int, body.intent), cast(str, body.request_id)
                if self.open.get(intent) == request:
                    del self.open[intent]
                else:
                    self._outcome(seq, intent, request)
            elif kind == "start":
                self._start(seq)

    def entry(self, seq: int, body: Body) -> None:
        kind = body["kind"]
        if kind == "intent":
            self.open[seq] = body["request_id"]
        elif kind == "outcome":
            self._outcome(seq, body["intent"], body["request_id"])
        elif kind == "start":
            self._start(seq)

    def adopt(self, found: Ahead) -> None:
        """Judge what another process could not, and add its open intents."""
        for seq, intent, request_id in found.events:
            if intent == _START:
                self._start(seq)
            else:
                self._outcome(seq, intent, request_id)
        self.ahead = found.open_intents

    def _start(self, seq: int) -> None:
        if self._foreign is not None:
            self._foreign.append((seq, _START, ""))
        for intent in self.open:
            message = f"Intent {intent} has no outcome, though the server started anew."
            self._found.add(intent, "outcome_missing", message)
        self.open.clear()

    def _outcome(self, seq: int, intent: int, request_id: str) -> None:
        if self._foreign is not None and intent not in self.open:
            self._foreign.append((seq, intent, request_id))
            return
        asked = self.open.pop(intent) if intent in self.open else self._earlier(intent)
        if 0 <= intent < self._begin:
            return
        if asked is None:
            message = f"Outcome {seq} belongs to no open intent."
            self._found.add(seq, "outcome_orphan", message)
        elif asked != request_id:
            message = f"Outcome {seq} and its intent {intent} name different requests."
            self._found.add(seq, "outcome_mismatch", message)


def ciphertexts(body: Body) -> dict[str, str]:
    """SHA-256 of each ciphertext that an entry names, by name of the text."""
    content = body.get("content")
    if content is None or content["mode"] != "encrypted":
        return {}
    return {name: part["ciphertext"] for name, part in content["parts"].items()}
