"""Answers that are kept to be given again, encrypted as the texts of the log are.

Rules:
- A text has a random key of its own, stored only wrapped with the log's key-encryption key, and is
  bound to its place; a row shows neither question nor answer.
- A place's name is a keyed digest of key and name, so that no name can be guessed, and no key meets
  the answers of another.
- An answer whose time is over goes at the next look. An erased answer leaves its place behind until
  then, so that it is neither given nor asked again.
- Only texts that the log keeps are kept here.
"""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Engine

from appliance.audit.content import LockedText, lock, unlock
from appliance.clock import Clock
from appliance.errors import Overloaded, StateRefused
from appliance.types import ContentMode, Principal

TABLES: Final = """
CREATE TABLE kept_answers (
  place TEXT PRIMARY KEY,
  key_id TEXT NOT NULL,
  requests TEXT NOT NULL,
  asked TEXT NOT NULL,
  wrapped BLOB,
  nonce BLOB,
  sealed BLOB,
  until_us INTEGER NOT NULL
) STRICT;
CREATE INDEX kept_answers_by_key ON kept_answers (key_id);
CREATE INDEX kept_answers_by_time ON kept_answers (until_us);
"""
"""SQL script for appliance.db; a migration in the sense of `appliance.db`."""

MOST_OF_A_KEY: Final = 10_000
_TEXT: Final = "answer"
_COLUMNS: Final = (
    "place", "key_id", "requests", "asked", "wrapped", "nonce", "sealed", "until_us",
)  # fmt: skip
_ROWS: Final = sa.table("kept_answers", *map(sa.column, _COLUMNS))
_GONE: Final = {"wrapped": None, "nonce": None, "sealed": None, "asked": ""}


@dataclass(frozen=True)
class KeptAnswer:
    """An answer as it is kept.

    Attributes:
        requests: ids of the requests in the log that it is of.
        asked: digest of what was asked.
    """

    requests: tuple[str, ...]
    asked: str
    text: bytes


@dataclass(eq=False)
class KeptAnswers:
    """The answers of all keys. Methods block.

    Attributes:
        database: an engine whose migrations include `TABLES`.
        kek: reads the log's key-encryption key.
        secret: derives a purpose's key from a secret of the appliance.
        content: what the log keeps of texts of keys without a rule of their own.
    """

    database: Engine
    clock: Clock
    kek: Callable[[], bytes]
    secret: Callable[[bytes], bytes]
    content: ContentMode
    _changing: threading.RLock = field(init=False, default_factory=threading.RLock)
    _erased: set[str] = field(init=False, default_factory=set)

    def keeps(self, principal: Principal) -> bool:
        """True if texts of this key are kept at all."""
        return (principal.content or self.content) == "encrypted"

    def digest(self, *parts: bytes) -> str:
        made = hmac.new(self.secret(b"kept answers"), digestmod=hashlib.sha256)
        for part in parts:
            made.update(len(part).to_bytes(8, "big") + part)
        return made.hexdigest()

    def find(self, place: str) -> KeptAnswer | None:
        """The answer of a place (`erased`)."""
        with self.database.begin() as connection:
            over = _ROWS.c.until_us <= self.clock.wall_us()
            connection.execute(sa.delete(_ROWS).where(over))
            row = connection.execute(sa.select(_ROWS).where(_ROWS.c.place == place)).first()
        if row is None:
            return None
        if row.sealed is None:
            raise StateRefused("erased", "The answer was erased.")
        locked = LockedText(row.wrapped, row.nonce, row.sealed)
        text = unlock(self.kek(), place, _TEXT, locked)
        return KeptAnswer(tuple(json.loads(row.requests)), row.asked, text)

    def check_room(self, key_id: str) -> None:
        """Refuse a key that has too many."""
        asked = sa.select(sa.func.count()).where(_ROWS.c.key_id == key_id)
        with self.database.begin() as connection:
            count = connection.execute(asked.select_from(_ROWS)).scalar_one()
        if count >= MOST_OF_A_KEY:
            raise Overloaded("kept_answers_full", f"{count} answers of this key are kept.")

    def keep(
        self,
        place: str,
        key_id: str,
        answer: KeptAnswer,
        seconds: int,
        *,
        replacing: bool = False,
    ) -> None:
        """Keep an answer for a while; durable when this returns.

        Args:
            replacing: in place of one; where that was removed or erased, nothing is kept.
        """
        row = {
            "place": place,
            "key_id": key_id,
            "requests": json.dumps(answer.requests),
            "asked": answer.asked,
            **vars(lock(self.kek(), place, _TEXT, answer.text)),
            "until_us": self.clock.wall_us() + seconds * 1_000_000,
        }
        with self._changing, self.database.begin() as connection:
            if not self._erased.isdisjoint(answer.requests):  # while this one was being made
                row |= _GONE
            over = _ROWS.c.until_us <= self.clock.wall_us()
            connection.execute(sa.delete(_ROWS).where(over))
            there = (_ROWS.c.place == place) & (_ROWS.c.sealed.is_not(None) if replacing else True)
            gone = connection.execute(sa.delete(_ROWS).where(there))
            if replacing and not gone.rowcount:
                return
            connection.execute(sa.insert(_ROWS).values(row))

    def change(
        self, place: str, key_id: str, change: Callable[[KeptAnswer], KeptAnswer], seconds: int
    ) -> None:
        """Keep a changed answer in place of one, changes one after another; nothing if none is.

        Raises `erased`.
        """
        with self._changing:
            found = self.find(place)
            if found is not None:
                self.keep(place, key_id, change(found), seconds, replacing=True)

    def remove(self, place: str) -> bool:
        with self.database.begin() as connection:
            gone = connection.execute(sa.delete(_ROWS).where(_ROWS.c.place == place))
        return bool(gone.rowcount)

    def holds(self, ids: Collection[str]) -> Mapping[str, int]:
        found = len(self._of(ids))
        return {"": found} if found else {}

    def erase(self, ids: Collection[str]) -> None:
        """Destroy answers; their places stay until they are over."""
        with self._changing:
            self._erased.update(ids)
            of_them = sa.update(_ROWS).where(_ROWS.c.place.in_(self._of(ids)))
            with self.database.begin() as connection:
                connection.execute(of_them.values(**_GONE))

    def _of(self, ids: Collection[str]) -> list[str]:
        kept = sa.select(_ROWS.c.place, _ROWS.c.requests).where(_ROWS.c.sealed.is_not(None))
        with self.database.begin() as connection:
            rows = connection.execute(kept).all()
        return [place for place, requests in rows if not set(json.loads(requests)).isdisjoint(ids)]
