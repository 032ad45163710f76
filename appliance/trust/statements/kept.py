"""Statements as they were signed, in one table of `appliance.db`.

Rules: rows are only added; a statement is verified again under the policy of the day each time that
it counts; one that no longer holds stays as evidence.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy import Engine

from appliance.errors import Refused
from appliance.trust.policy.policy import TrustPolicy
from appliance.types import Held

C = TypeVar("C")


class StatementStore(Generic[C]):
    """The statements of one table.

    Args:
        database: an engine whose migrations include the `TABLES` of the module.
        order: columns by which the oldest is first.
        verify: turns an envelope into what counts, or raises.
        held: ids, or subjects of statements, that count for nothing until a person decides.
    """

    def __init__(
        self,
        database: Engine,
        table: sa.TableClause,
        about: str,
        order: Sequence[str],
        verify: Callable[[bytes, TrustPolicy], C],
        held: Held = frozenset,
    ) -> None:
        self._database, self._table, self.held = database, table, held
        self._about, self._order = table.c[about], [table.c[name] for name in order]
        self._verify = verify

    def envelope(self, statement_id: str) -> bytes | None:
        """None where it is not kept here."""
        asked = sa.select(self._table.c.envelope).where(self._table.c.id == statement_id)
        with self._database.begin() as connection:
            found = connection.execute(asked).scalar()
        return None if found is None else bytes(found)

    def envelopes(self, about: str | None = None) -> list[bytes]:
        """Signed statements about a subject, or about anything, the oldest first."""
        asked = sa.select(self._table.c.envelope).order_by(*self._order)
        if about is not None:
            asked = asked.where(self._about == about)
        with self._database.begin() as connection:
            return [bytes(envelope) for (envelope,) in connection.execute(asked)]

    def holding(self, policy: TrustPolicy, about: str | None = None) -> list[C]:
        """Those whose signers are trusted today, the oldest first."""
        found = []
        for envelope in self.envelopes(about):
            with contextlib.suppress(Refused):
                found.append(self._verify(envelope, policy))
        return found

    def _keep(self, table: sa.TableClause, row: Mapping[str, str | int | bytes]) -> None:
        """Add a row; an existing one with its key stays."""
        with self._database.begin() as connection:
            connection.execute(sa.insert(table).prefix_with("OR IGNORE").values(**row))


class CertificateStore(StatementStore[C]):
    """Certificates, and the answers that another engine must repeat to carry one over.

    Attributes:
        now_us: the latest known time, microseconds since the epoch.
    """

    def __init__(
        self,
        database: Engine,
        table: sa.TableClause,
        replays: sa.TableClause,
        about: str,
        verify: Callable[[bytes, TrustPolicy], C],
        now_us: Callable[[], int],
        held: Held = frozenset,
    ) -> None:
        super().__init__(database, table, about, ("added_us", "id"), verify, held)
        self._replays, self.now_us = replays, now_us

    def verified(self, envelope: bytes, policy: TrustPolicy) -> C:
        """Verify a certificate that may be added."""
        return self._verify(envelope, policy)

    def _added(self, certificate_id: str, about: str, envelope: bytes) -> None:
        row = {"id": certificate_id, self._about.name: about}
        self._keep(self._table, {**row, "envelope": envelope, "added_us": self.now_us()})

    def keep_replay(self, certificate_id: str, answers: bytes) -> None:
        """Keep the answers to open items of a certificate; twice is once."""
        self._keep(self._replays, {"certificate": certificate_id, "answers": answers})

    def _answers(self, certificate_id: str) -> bytes:
        """Empty where there are none."""
        mine = self._replays.c.certificate == certificate_id
        with self._database.begin() as connection:
            found = connection.execute(sa.select(self._replays.c.answers).where(mine)).scalar()
        return bytes(found or b"")
