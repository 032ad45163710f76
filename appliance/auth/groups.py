"""Groups of API keys, by which access lists name several keys at once.

Rules: groups live in memory next to the database, so that a change holds from the next request on;
a group without keys does not exist.
"""

import re
import threading
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Engine, column, delete, insert, select, table

from appliance.auth.key import KEYS
from appliance.errors import StateRefused
from appliance.types import Held

TABLES: Final = """
CREATE TABLE key_groups (
  name TEXT NOT NULL,
  key_id TEXT NOT NULL REFERENCES api_keys (id),
  PRIMARY KEY (name, key_id)
) STRICT, WITHOUT ROWID;
"""
MOST_MEMBERS: Final = 10_000
_MEMBERS: Final = table("key_groups", column("name"), column("key_id"))
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class KeyGroups:
    """The groups of one appliance.

    Args:
        database: an engine whose migrations include `TABLES`.
        held: `GROUP/KEY` of members who do not count until a person decides.
    """

    def __init__(self, database: Engine, held: Held = frozenset) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._groups: dict[str, frozenset[str]] = {}
        self._held = held
        self.read()

    def read(self) -> None:
        with self._lock, self._database.connect() as connection:
            self._groups.clear()
            for name, key_id in connection.execute(select(_MEMBERS)):
                self._groups[name] = self._groups.get(name, frozenset()) | {key_id}

    def all(self) -> dict[str, tuple[str, ...]]:
        """The ids of the keys in each group."""
        with self._lock:
            return {name: tuple(sorted(keys)) for name, keys in sorted(self._groups.items())}

    def of(self, key_id: str) -> tuple[str, ...]:
        held = self._held()
        with self._lock:
            mine = (name for name, keys in self._groups.items() if key_id in keys)
            return tuple(sorted(name for name in mine if f"{name}/{key_id}" not in held))

    def check(self, name: str, add: Sequence[str]) -> None:
        """Refuse an impossible change (`invalid_value` for an invalid name, `unknown_key_id`)."""
        if not _NAME.fullmatch(name):
            raise StateRefused("invalid_value", f"{name[:80]!r} is no name of a group.")
        with self._database.connect() as connection:
            for key_id in add:
                known = connection.execute(select(KEYS.c.id).where(KEYS.c.id == key_id))
                if known.scalar() is None:
                    message = f"No key has the id {key_id[:80]!r}."
                    raise StateRefused("unknown_key_id", message)

    def change(self, name: str, add: Sequence[str], remove: Sequence[str]) -> tuple[str, ...]:
        """Put keys, by id, into a group and take others out; its keys now.

        Raises as `check`; `invalid_value` for more keys than a group may have.
        """
        self.check(name, add)
        with self._lock:
            keys = (self._groups.get(name, frozenset()) | set(add)) - set(remove)
            if len(keys) > MOST_MEMBERS:
                raise StateRefused("invalid_value", f"A group has at most {MOST_MEMBERS} keys.")
            with self._database.begin() as connection:
                connection.execute(delete(_MEMBERS).where(_MEMBERS.c.name == name))
                for key_id in sorted(keys):
                    connection.execute(insert(_MEMBERS).values(name=name, key_id=key_id))
            if keys:
                self._groups[name] = keys
            else:
                self._groups.pop(name, None)
            return tuple(sorted(keys))
