"""Random ways to change a log, by an attacker with the database and perhaps a key."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias

import pysqlite3.dbapi2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.checkpoint import Checkpoint, sign
from appliance.audit.merkle import Frontier, leaf_hash
from tests.audit.logs import INDEXES, ORIGIN, Intruder, Row, consistent, flip, keys_sql

Way: TypeAlias = Callable[[list[Row], random.Random], list[Row]]

_SAID: dict[str, tuple[Any, ...]] = {
    "seq": (0, 3, 12, -1), "epoch": (0, 1, 2, 4, -1), "mono_us": (0, 1, 10**12), "v": (2,),
    "time_us": (0, 1), "boot_id": ("x", "", "unknown"), "prev": ("ab" * 32, "", "AB" * 32),
    "kind": ("genesis", "start", "stop", "admin", "intent", "outcome", "key_handover", "new"),
    "intent": (0, 1, 10, 11, -1, 10**6, None), "request_id": ("", "r0", "b1", "\u00e9", 3),
    "app": ("x", None, 7, {"a": []}), "odd": (1, True, None, [[[1]]], "\ud7ff", "\\"),
    "next_key": ("ab" * 32,),
}  # fmt: skip


def _flipped(rows: list[Row], dice: random.Random) -> list[Row]:
    n = dice.randrange(len(rows))
    field = dice.choice(("body", "hash", "prev"))
    value = getattr(rows[n], field)
    changed: dict[str, Any] = {field: flip(value, dice.randrange(len(value)))}
    rows[n] = replace(rows[n], **changed)
    return rows


def _said(rows: list[Row], dice: random.Random) -> list[Row]:
    n = dice.randrange(len(rows))
    name = dice.choice([*_SAID])
    return [*rows[:n], _with(rows[n], name, dice.choice(_SAID[name])), *rows[n + 1 :]]


def _with(row: Row, name: str, value: Any) -> Row:
    try:
        return consistent(row, **{name: value})
    except ValueError:  # no JSON any more
        return row


def _spelled(rows: list[Row], dice: random.Random) -> list[Row]:
    n = dice.randrange(len(rows))
    body = dice.choice((
        rows[n].body.replace(b'"v":1', b'"v":1,"v":1'), rows[n].body.replace(b'"v":1', b'"v":1.0'),
        rows[n].body + b" ", rows[n].body.replace(b":", b": ", 1), b"", b"{}", b"[]", b"null",
        rows[n].body.replace(b'"v":1', b'"v":01'), rows[n].body + b"," + rows[n].body,
        rows[n].body.replace(b'"kind"', b'"\\u006bind"'), rows[n].body.replace(b"}", b',"w":-0}'),
        rows[n].body.replace(b'"v":1}', '"v":1,"\u00e9":1}'.encode()), rows[n].body[:-1],
    ))  # fmt: skip
    return [*rows[:n], replace(rows[n], body=body, hash=leaf_hash(body)), *rows[n + 1 :]]


def _deleted(rows: list[Row], dice: random.Random) -> list[Row]:
    n = dice.randrange(len(rows))
    return rows[:n] + rows[n + dice.randrange(1, 4) :]


def _swapped(rows: list[Row], dice: random.Random) -> list[Row]:
    a, b = dice.randrange(len(rows)), dice.randrange(len(rows))
    rows[a], rows[b] = replace(rows[b], seq=rows[a].seq), replace(rows[a], seq=rows[b].seq)
    return rows


def _copied(rows: list[Row], dice: random.Random) -> list[Row]:
    n = dice.randrange(len(rows))
    later = [replace(row, seq=row.seq + 1) for row in rows[n:]]
    return [*rows[:n], replace(dice.choice(rows), seq=rows[n].seq), *later]


def _renumbered(rows: list[Row], dice: random.Random) -> list[Row]:
    return [replace(row, seq=n) for n, row in enumerate(rows)]


def _rechained(rows: list[Row], dice: random.Random) -> list[Row]:
    prev = rows[0].prev
    made = []
    for row in rows:
        if b'"prev"' in row.body:
            row = _with(replace(row, prev=prev), "prev", prev.hex())
        made.append(row)
        prev = row.hash
    return made


def _cut(rows: list[Row], dice: random.Random) -> list[Row]:
    return rows[: dice.randrange(1, len(rows) + 1)]


WAYS: tuple[Way, ...] = (
    _flipped, _said, _said, _said, _spelled, _deleted, _swapped, _copied, _renumbered, _rechained,
    _cut,
)  # fmt: skip


_LAST = "= CAST(substr({0}, 1, length({0}) - 1) || x'5a' AS BLOB)"
_COLUMNS = {
    "checkpoint": ("size", "note " + _LAST.format("note")),
    "content": ("seq, name", "ct " + _LAST.format("ct")),
    "node": ("level, idx", "hash " + _LAST.format("hash")),
    "span": ("block", "high_us = high_us + 1"),
    "handover": ("size", "record " + _LAST.format("record")),
}
"""For each table what names a row of it, and how one is changed."""


def change(intruder: Intruder, dice: random.Random, keys: list[Ed25519PrivateKey]) -> str:
    """Do a few things at once; their names."""
    rows, done = intruder.rows(), []
    for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
        way = dice.choice(WAYS)
        rows = way(rows, dice) or rows
        done.append(way.__name__)
    if done:
        unique = {row.seq: row for row in rows}  # a primary key is one
        intruder.write([unique[seq] for seq in sorted(unique)])
    if keys and dice.random() < 0.4:
        done.append(_resigned(intruder, dice, keys))
    for _ in range(dice.choice((0, 0, 1, 2)) if done else 1):
        done.append(_beside(intruder, dice))
    return " ".join(done)


def _resigned(intruder: Intruder, dice: random.Random, keys: list[Ed25519PrivateKey]) -> str:
    """Heads, each signed by its epoch's key as the entries name it, or all by one key."""
    one = dice.choice((None, None, *keys))
    frontier, note = Frontier(), b""
    sizes = {size for (size,) in intruder.all("SELECT size FROM checkpoint")}
    for row in intruder.rows():
        frontier.append(row.hash)
        at = b'"epoch":'
        epoch = int(row.body.partition(at)[2][:1]) if row.body.partition(at)[2][:1].isdigit() else 0
        own = keys[min(epoch, len(keys) - 1)]
        signers = [one or own]
        if row.kind == "key_handover" and epoch + 1 < len(keys) and one is None:
            signers.append(keys[epoch + 1])
        if frontier.size in sizes:
            note = sign(Checkpoint(ORIGIN, frontier.size, frontier.root()), *signers)
            change = f"UPDATE checkpoint SET note = ? WHERE size = {frontier.size}"
            intruder.sql(change, values=(note,))
    if note and dice.random() < 0.7:
        intruder.files.head.write_bytes(note)
    return "signed by one" if one else "signed by each"


def _beside(intruder: Intruder, dice: random.Random) -> str:
    others = ("HEAD", "genesis", "a key", "another row", "an index", "an index")
    what = dice.choice((*others, *_COLUMNS))
    if what in ("HEAD", "genesis"):
        path = intruder.files.head if what == "HEAD" else intruder.files.genesis
        data = path.read_bytes()
        path.write_bytes(
            flip(data, dice.randrange(len(data))) if data and dice.random() < 0.8 else b""
        )
        return what
    if what == "an index":
        return _refiled(intruder, dice)
    if what == "a key":
        return _other_key(intruder, dice)
    if what == "another row":
        statement = dice.choice((
            "INSERT OR REPLACE INTO span VALUES (0, 1, 2)",
            "INSERT OR REPLACE INTO content VALUES (3, 'other', x'00', x'00')",
            "INSERT OR REPLACE INTO checkpoint VALUES (8, x'00')",
            "INSERT OR REPLACE INTO content VALUES (-1, 'other', x'00', x'00')",
            "INSERT OR REPLACE INTO content VALUES (99999, 'other', x'00', x'00')",
            "INSERT OR REPLACE INTO checkpoint VALUES (0, x'00')",
            "INSERT OR REPLACE INTO checkpoint VALUES (99999, x'00')",
            "INSERT OR REPLACE INTO node VALUES (8, 999, zeroblob(32))",
            "INSERT OR REPLACE INTO span VALUES (-1, 1, 2)",
            "UPDATE content SET ct = CAST(nonce || ct AS BLOB), nonce = x'' WHERE seq % 3 = 0",
        ))  # fmt: skip
    else:
        keys, column = _COLUMNS[what]
        rows = intruder.all(f"SELECT {keys} FROM {what}")
        if not rows:
            return "nothing"
        where = " AND ".join(
            f"{k} = {v!r}" for k, v in zip(keys.split(", "), dice.choice(rows), strict=True)
        )
        statement = dice.choice((
            f"UPDATE {what} SET {column} WHERE {where}", f"DELETE FROM {what} WHERE {where}",
        ))  # fmt: skip
    intruder.sql(statement)
    return statement


def _other_key(intruder: Intruder, dice: random.Random) -> str:
    some = f"rowid % {dice.choice((1, 2, 5))} = 0"
    statement = dice.choice((
        f"DELETE FROM dek WHERE {some}", f"UPDATE dek SET wrapped = zeroblob(60) WHERE {some}",
        "UPDATE dek SET wrapped = (SELECT wrapped FROM dek LIMIT 1)", "DROP TABLE dek",
    ))  # fmt: skip
    with suppress(pysqlite3.dbapi2.OperationalError):  # the table is gone already
        keys_sql(intruder.files.directory, statement)
    return statement


def _refiled(intruder: Intruder, dice: random.Random) -> str:
    """An index that lacks entries, or has them under the values of another column."""
    index = f"leaf_{dice.choice([*INDEXES.values()])}"
    if dice.random() < 0.7 or index in ("leaf_intent", "leaf_dek"):  # where values are unique
        how = {"but": dice.choice((
            f"seq = {dice.randrange(40)}", "seq % 3 = 1", "kind = 'outcome'", "app IS NOT NULL",
        ))}  # fmt: skip
    else:
        how = {"under": dice.choice([*INDEXES])}
    try:
        intruder.refile(index, **how)
    except pysqlite3.dbapi2.Error:  # a body that is no JSON cannot be filed
        return f"{index} as it was"
    return f"{index} {how}"
