"""Looks that appliances of the site registered, in `DATA/site_looks.db`, and this one's own.

Rules: a look is named by its specification and its appliance; the own ledger knows more of own
looks than their registration.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from appliance.datasets import ledger as ledgers
from appliance.datasets.ledger import LedgerLook, LookLedger
from appliance.datasets.marks import SplitMarks
from appliance.db import open_database
from appliance.peers.look_votes import RegisteredLook

HEARD = """\
CREATE TABLE heard_members (
  listed TEXT NOT NULL,
  member TEXT NOT NULL,
  PRIMARY KEY (listed, member)
) STRICT, WITHOUT ROWID;
"""
_HEARD = sa.table("heard_members", sa.column("listed"), sa.column("member"))


class KeptLooks:
    """The registry of one appliance: `look_votes.LookRegistry`.

    Args:
        own: the looks that were taken here.
        hint: of the own key.
    """

    def __init__(self, data: Path, own: LookLedger, hint: str) -> None:
        scripts = (ledgers.TABLES, ledgers.SHARES, HEARD)
        self._database = open_database(data / "site_looks.db", scripts)
        self._registered, self._own = LookLedger(self._database), own
        self._mine = f"@{hint}"

    def close(self) -> None:
        self._database.dispose()

    def add(self, one: RegisteredLook) -> None:
        self._registered.note(one.look, one.marks)

    def all(self) -> Iterable[RegisteredLook]:
        found = {look.id: RegisteredLook(look, marks) for look, marks in self._registered.all()}
        for look, marks in self._own.all():
            mine = self._named(look)
            found[mine.id] = RegisteredLook(mine, marks)
        return found.values()

    def sharing(self, marks: SplitMarks) -> Iterable[LedgerLook]:
        found = {look.id: look for look in self._registered.looks(marks)}
        found |= {look.id: look for look in map(self._named, self._own.looks(marks))}
        return found.values()

    def _named(self, look: LedgerLook) -> LedgerLook:
        return replace(look, id=look.id + self._mine)

    def heard(self, listed: str) -> frozenset[str]:
        asked = sa.select(_HEARD.c.member).where(_HEARD.c.listed == listed)
        with self._database.connect() as connection:
            return frozenset(str(member) for (member,) in connection.execute(asked))

    def hear(self, listed: str, member: str) -> None:
        row = {"listed": listed, "member": member}
        with self._database.begin() as connection:
            connection.execute(sa.insert(_HEARD).prefix_with("OR IGNORE").values(row))
