"""The pointers of an appliance: which task answers under each name, now and before.

Rules: rows are only added, so a rollback is one more pointer; the newest is verified again under
the policy of the day; its entry in the log is durable before its row.
"""

from collections.abc import Callable
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from appliance.errors import StateRefused
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements.kept import StatementStore
from appliance.trust.statements.pointer import TaskPointer
from appliance.trust.statements.statement import Signed
from appliance.types import Held

TABLES: Final = """
CREATE TABLE task_pointers (
  name TEXT NOT NULL,
  position INTEGER NOT NULL,
  id TEXT NOT NULL,
  envelope BLOB NOT NULL,
  PRIMARY KEY (name, position)
) STRICT;
"""
"""SQL script for appliance.db; a migration in the sense of `appliance.db`."""

_POINTERS: Final = sa.table(
    "task_pointers", *map(sa.column, ("name", "position", "id", "envelope"))
)


class Pointers(StatementStore[Signed[TaskPointer]]):
    """The pointers of one data directory.

    Args:
        held: names that point nowhere until a person decides.
    """

    def __init__(self, database: Engine, held: Held = frozenset) -> None:
        super().__init__(database, _POINTERS, "name", ("position",), TaskPointer.verify, held)
        self._newest: dict[str, tuple[str, bytes]] | None = None

    def forget(self) -> None:
        self._newest = None

    def names(self) -> list[str]:
        return sorted(self._all())

    def newest(self, name: str) -> tuple[str, bytes] | None:
        """Id and envelope of the newest pointer of a name, if any, unverified."""
        return self._all().get(name)

    def current(self, name: str, policy: TrustPolicy) -> Signed[TaskPointer] | None:
        """The pointer of a name, or None (`state_differs`)."""
        if name in self.held():
            raise StateRefused("state_differs", f"{name} points elsewhere than the log says.")
        found = self.newest(name)
        return None if found is None else TaskPointer.verify(found[1], policy)

    def history(self, name: str) -> list[bytes]:
        return self.envelopes(name)[::-1]

    def flip(
        self,
        signed: Signed[TaskPointer],
        record: Callable[[], object],
        *,
        follows: bool = True,
    ) -> None:
        """Move a name to another target.

        Args:
            record: makes the entry in the log durable; called inside the transaction.
            follows: it must follow the newest one here (`pointer_moved`).
        """
        name, previous = signed.said.name, signed.said.previous
        with self._database.begin() as connection:
            newest = _newest(connection, name)
            before = newest[0] if newest else ""
            if follows and previous != before:
                raise StateRefused(
                    "pointer_moved", f"{name} points elsewhere since this pointer was signed."
                )
            record()
            position = connection.execute(
                sa.select(sa.func.count()).where(_POINTERS.c.name == name)
            ).scalar_one()
            values = {
                "name": name,
                "position": position + 1,
                "id": signed.id,
                "envelope": signed.envelope,
            }
            connection.execute(sa.insert(_POINTERS).values(values))
        self._newest = None

    def _all(self) -> dict[str, tuple[str, bytes]]:
        if self._newest is None:
            with self._database.begin() as connection:
                rows = connection.execute(sa.select(_POINTERS).order_by(_POINTERS.c.position))
                self._newest = {str(r.name): (str(r.id), bytes(r.envelope)) for r in rows}
        return self._newest


def _newest(connection: Connection, name: str) -> tuple[str, bytes] | None:
    row = connection.execute(
        sa.select(_POINTERS.c.id, _POINTERS.c.envelope)
        .where(_POINTERS.c.name == name)
        .order_by(_POINTERS.c.position.desc())
        .limit(1)
    ).first()
    return None if row is None else (str(row[0]), bytes(row[1]))
