"""Records of upstreams, and the approvals of their hosts, in `appliance.db`."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy import Engine

from appliance.errors import StateRefused
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import approvals
from appliance.trust.statements.approval import ApprovalStatement, UpstreamSubject, ValidApproval
from appliance.trust.statements.kept import StatementStore
from appliance.trust.statements.statement import Signed
from appliance.trust.statements.upstream import UpstreamRecord
from appliance.types import Held

TABLES: Final = """
CREATE TABLE upstream_fingerprints (
  name TEXT PRIMARY KEY,
  fingerprint BLOB NOT NULL
) STRICT;
CREATE TABLE upstream_approvals (
  digest TEXT NOT NULL,
  key TEXT NOT NULL,
  envelope BLOB NOT NULL,
  PRIMARY KEY (digest, key)
) STRICT;
"""
"""SQL script for appliance.db; a migration in the sense of `appliance.db`."""
AGREEMENTS: Final = """
CREATE TABLE upstream_agreements (
  digest TEXT PRIMARY KEY,
  instance TEXT NOT NULL,
  time_us INTEGER NOT NULL
) STRICT;
"""
"""A later one: which process at a host agreed with what was learnt, and when it did last."""

_FINGERPRINTS: Final = sa.table("upstream_fingerprints", *map(sa.column, ("name", "fingerprint")))
_AGREEMENTS: Final = sa.table(
    "upstream_agreements", *map(sa.column, ("digest", "instance", "time_us"))
)
_APPROVALS: Final = sa.table("upstream_approvals", *map(sa.column, ("digest", "key", "envelope")))


class UpstreamRecords(StatementStore[Signed[ApprovalStatement]]):
    """The two tables."""

    def __init__(self, database: Engine, held: Held = frozenset) -> None:
        super().__init__(database, _APPROVALS, "digest", ("key",), ApprovalStatement.verify, held)

    def fingerprint(self, name: str) -> bytes | None:
        asked = sa.select(_FINGERPRINTS.c.fingerprint).where(_FINGERPRINTS.c.name == name)
        with self._database.begin() as connection:
            row = connection.execute(asked).first()
        return None if row is None else bytes(row[0])

    def learn(self, name: str, fingerprint: bytes) -> None:
        """Replace an earlier fingerprint."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(_FINGERPRINTS).where(_FINGERPRINTS.c.name == name))
            row = {"name": name, "fingerprint": fingerprint}
            connection.execute(sa.insert(_FINGERPRINTS).values(row))

    def agreed(self, digest: str) -> tuple[str, int] | None:
        """The process that agreed last at the host of a record, and when in microseconds of Unix
        time; None where none did, or a later one differed.
        """
        asked = sa.select(_AGREEMENTS.c.instance, _AGREEMENTS.c.time_us)
        with self._database.begin() as connection:
            row = connection.execute(asked.where(_AGREEMENTS.c.digest == digest)).first()
        return None if row is None else (str(row[0]), int(row[1]))

    def agree(self, digest: str, agreed: tuple[str, int] | None) -> None:
        with self._database.begin() as connection:
            connection.execute(sa.delete(_AGREEMENTS).where(_AGREEMENTS.c.digest == digest))
            if agreed is not None:
                row = {"digest": digest, "instance": agreed[0], "time_us": agreed[1]}
                connection.execute(sa.insert(_AGREEMENTS).values(row))

    def approvals(self, record: UpstreamRecord, policy: TrustPolicy) -> list[ValidApproval]:
        """The approvals of a record that count today, one for each person, by time."""
        return approvals.valid(self.envelopes(record.digest), policy, UpstreamSubject.of(record))

    def check(self, record: UpstreamRecord, policy: TrustPolicy) -> None:
        """Refuse a record without enough approvals (`not_approved`, `state_differs`)."""
        if {record.name, record.digest} & self.held():
            raise StateRefused("state_differs", f"{record.name} is not as the log has it.")
        policy.check_approvals([given.name for given in self.approvals(record, policy)])

    def acceptable(
        self, record: UpstreamRecord, envelope: bytes, policy: TrustPolicy
    ) -> ValidApproval:
        """Check that one more approval counts; nothing is kept."""
        earlier = self.envelopes(record.digest)
        return approvals.accept(envelope, earlier, policy, UpstreamSubject.of(record))

    def keep(self, record: UpstreamRecord, given: ValidApproval, envelope: bytes) -> None:
        row = {"digest": record.digest, "key": given.key, "envelope": envelope}
        with self._database.begin() as connection:
            connection.execute(sa.insert(_APPROVALS).prefix_with("OR REPLACE").values(row))
