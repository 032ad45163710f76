"""Erasure in the log: the content keys of the entries that an erasure names are destroyed.

Rules:
- The erasure's entry is durable before the keys are destroyed. Opening the log destroys them again,
  so a crash in between loses nothing.
- Entries, commitments and ciphertexts stay, and every proof holds.
"""

from collections.abc import Iterator
from typing import cast

from appliance.audit import store
from appliance.audit.entry import LogEntry
from appliance.audit.erasures import KIND, named
from appliance.audit.keyring import Keyring
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.segments import Log


def texts_of(reader: LogReader, request_id: str) -> Iterator[LogEntry]:
    """The entries of a request that keep a text."""
    after: int | None = -1
    while after is not None:
        page = reader.search(Query(request_id=request_id, after=after, limit=1_000))
        yield from (e for e in page.entries if e.kind != KIND and key_of(e) is not None)
        after = page.resume


def key_of(entry: LogEntry) -> str | None:
    """The content key that an entry names."""
    content = entry.body.get("content")
    return cast("str | None", content.get("key")) if isinstance(content, dict) else None


def destroy(log: Log, keyring: Keyring, entries: list[int]) -> None:
    """Destroy the content keys of these entries."""
    ids = []
    for seq in entries:
        for row in store.leaves(log, seq, seq + 1):
            key_id = key_of(LogEntry.parse(row[3]))
            if key_id is not None:
                ids.append(key_id)
    keyring.destroy(ids)


def destroy_again(log: Log, keyring: Keyring) -> None:
    """Destroy every text whose erasure is on record."""
    entries = list(named(log))
    if entries:
        destroy(log, keyring, entries)
