"""The entries whose texts were erased, according to the log.

Rules: a content key that is gone without an `erase` entry for its entry, or a `prune` entry, is
missing, not erased. A missing key is looked up again in newer entries.
"""

from collections.abc import Iterator
from typing import Final, cast

from appliance.audit import pruning, store
from appliance.audit.entry import LogEntry
from appliance.audit.segments import Log
from appliance.errors import AuditRefused

KIND: Final = "erase"


class Erasures:
    """The entries whose content keys may be gone; `in` reads again what was recorded since."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._entries: set[int] = set()
        self._newest: dict[str, int | None] = {}
        self._pruned = 0

    def __contains__(self, seq: int) -> bool:
        if seq not in self._entries and seq >= self._pruned:
            self._read()
        return seq in self._entries or seq < self._pruned

    def _read(self) -> None:
        newest = {kind: store.newest_of_kind(self._log, kind) for kind in (KIND, pruning.KIND)}
        if newest == self._newest:
            return
        self._newest = newest
        self._entries.update(named(self._log))
        self._pruned = max((prune.before for prune in pruning.prunes(self._log)), default=0)


def named(log: Log) -> Iterator[int]:
    """The entries that erasures name."""
    for raw in store.of_kind(log, KIND):
        try:
            yield from cast("list[int]", LogEntry.parse(raw).body["entries"])
        except AuditRefused:
            continue  # a changed entry is the verifier's to report
