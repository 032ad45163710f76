"""The certificates of routes that an appliance holds, and those that were suspended.

Rules: a certificate is kept as it was signed and verified again under the policy of the day; one
that is suspended never counts again, nor what was carried over from it; rows are only added.
"""

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Engine

from appliance.errors import PolicyRefused, Refused, StateRefused
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import route
from appliance.trust.statements.route import Certificate
from appliance.types import Held

TABLES: Final = """
CREATE TABLE route_certificates (
  id TEXT PRIMARY KEY,
  route_digest TEXT NOT NULL,
  envelope BLOB NOT NULL,
  added_us INTEGER NOT NULL
) STRICT;
CREATE INDEX route_certificates_route ON route_certificates (route_digest);
CREATE TABLE route_suspensions (
  certificate TEXT PRIMARY KEY,
  reason TEXT NOT NULL,
  time_us INTEGER NOT NULL
) STRICT;
"""
"""SQL script for appliance.db; a migration in the sense of `appliance.db`."""

REPLAYS: Final = """
CREATE TABLE route_replays (
  certificate TEXT PRIMARY KEY,
  answers BLOB NOT NULL
) STRICT;
"""
"""A later migration: what the stages of each certified route did with open items, by digest."""

_REPLAYS: Final = sa.table("route_replays", *map(sa.column, ("certificate", "answers")))
_CERTIFICATES: Final = sa.table(
    "route_certificates", *map(sa.column, ("id", "route_digest", "envelope", "added_us"))
)
_SUSPENSIONS: Final = sa.table(
    "route_suspensions", *map(sa.column, ("certificate", "reason", "time_us"))
)


class RouteCertificates:
    """The certificates of one data directory.

    Args:
        database: an engine whose migrations include `TABLES`.
        now_us: the latest time that is known, microseconds since the epoch.
        engine: tells name, version and build of the engine that serves.
        held: ids of certificates, and digests of routes, that count for nothing until a person
            decides.
    """

    def __init__(
        self,
        database: Engine,
        now_us: Callable[[], int],
        engine: Callable[[], str],
        held: Held = frozenset,
    ) -> None:
        self._database, self.now_us, self._engine = database, now_us, engine
        self._held = held

    def add(self, envelope: bytes, policy: TrustPolicy) -> Certificate:
        """Verify a certificate and keep it; one that is kept already stays.

        Raises:
            PolicyRefused: what `route.verify` raises.
        """
        found = route.verify(envelope, policy)
        values = {
            "id": found.id,
            "route_digest": found.wanted.route_digest,
            "envelope": envelope,
            "added_us": self.now_us(),
        }
        with self._database.begin() as connection:
            known = sa.select(_CERTIFICATES.c.id).where(_CERTIFICATES.c.id == found.id)
            if connection.execute(known).first() is None:
                connection.execute(sa.insert(_CERTIFICATES).values(values))
        return found

    def envelope(self, certificate_id: str) -> bytes | None:
        """A certificate as it was signed; None where it is not kept here."""
        known = sa.select(_CERTIFICATES.c.envelope).where(_CERTIFICATES.c.id == certificate_id)
        with self._database.begin() as connection:
            found = connection.execute(known).scalar()
        return None if found is None else bytes(found)

    def suspend(self, certificate_id: str, reason: str) -> None:
        """Take a certificate out of use for ever; the first reason stays."""
        values = {"certificate": certificate_id, "reason": reason, "time_us": self.now_us()}
        with self._database.begin() as connection:
            known = _SUSPENSIONS.c.certificate == certificate_id
            if connection.execute(sa.select(_SUSPENSIONS).where(known)).first() is None:
                connection.execute(sa.insert(_SUSPENSIONS).values(values))

    def keep_replay(self, certificate_id: str, answers: bytes) -> None:
        """Keep what the stages of a certified route did with open items; twice is once."""
        values = {"certificate": certificate_id, "answers": answers}
        with self._database.begin() as connection:
            known = _REPLAYS.c.certificate == certificate_id
            if connection.execute(sa.select(_REPLAYS.c.certificate).where(known)).first() is None:
                connection.execute(sa.insert(_REPLAYS).values(values))

    def carriable(
        self, route_digest: str, terms: Mapping[str, int], policy: TrustPolicy
    ) -> tuple[bytes, Certificate, bytes]:
        """The newest certificate, if it would count but for its engine, and what must be repeated.

        Returns:
            Its envelope, itself, and what was given to `keep_replay`.

        Raises:
            PolicyRefused: what `valid` raises; `route_no_replay` where nothing can be repeated, or
                no engine is named.
        """
        found = self._newest(route_digest, policy)
        self._check_suspended(found)
        at = found.circumstances
        route.check_use(found, route_digest, terms, at.engine, self.now_us(), 0)
        replays = sa.select(_REPLAYS.c.answers).where(_REPLAYS.c.certificate == found.origin)
        envelopes = sa.select(_CERTIFICATES.c.envelope).where(_CERTIFICATES.c.id == found.id)
        with self._database.begin() as connection:
            answers = connection.execute(replays).scalar()
            envelope = connection.execute(envelopes).scalar_one()
        if not at.engine or hashlib.sha256(answers or b"").hexdigest() != at.replay:
            raise PolicyRefused("route_no_replay", "Nothing of the certificate can be repeated.")
        return bytes(envelope), found, bytes(answers or b"")

    def of_other_engine(
        self, route_digest: str, terms: Mapping[str, int], policy: TrustPolicy
    ) -> bool:
        """Whether the certificate of a route lacks nothing but being for the engine that serves."""
        try:
            _, found, _ = self.carriable(route_digest, terms, policy)
        except Refused:
            return False
        return found.circumstances.engine != self._engine()

    def of(self, route_digest: str, policy: TrustPolicy) -> list[Certificate]:
        """The certificates of a route that verify, the newest first; suspended ones, too."""
        with self._database.begin() as connection:
            rows = connection.execute(
                sa.select(_CERTIFICATES.c.envelope)
                .where(_CERTIFICATES.c.route_digest == route_digest)
                .order_by(_CERTIFICATES.c.added_us.desc(), _CERTIFICATES.c.id)
            ).all()
        found = []
        for (envelope,) in rows:
            try:
                found.append(route.verify(bytes(envelope), policy))
            except Refused:
                continue
        return sorted(found, key=lambda c: (-c.circumstances.issued_us, c.id))

    def certified_since(self, since_us: int, policy: TrustPolicy) -> list[Certificate]:
        """What calibrations certified since then and is kept here; carried ones count once."""
        with self._database.begin() as connection:
            rows = connection.execute(sa.select(_CERTIFICATES.c.envelope)).scalars().all()
        found = []
        for envelope in rows:
            with contextlib.suppress(Refused):
                certificate = route.verify(bytes(envelope), policy)
                at = certificate.circumstances
                if certificate.found.certified and at.issued_us >= since_us:
                    found += [] if at.carried_from else [certificate]
        return found

    def suspended(self, certificate_id: str) -> str | None:
        """Why a certificate is out of use; None for one that is not."""
        with self._database.begin() as connection:
            row = connection.execute(
                sa.select(_SUSPENSIONS.c.reason).where(_SUSPENSIONS.c.certificate == certificate_id)
            ).first()
        return None if row is None else str(row[0])

    def valid(
        self, route_digest: str, terms: Mapping[str, int], policy: TrustPolicy
    ) -> Certificate:
        """The newest certificate, if it lets the first stage answer now.

        Only the newest counts: a later calibration that certified nothing takes the place of an
        earlier one that did.

        Raises:
            PolicyRefused: `route_not_certified`, `route_suspended`, what `route.check_use` raises.
        """
        newest = self._newest(route_digest, policy)
        self.check(newest, route_digest, terms, policy)
        return newest

    def check(
        self,
        certificate: Certificate,
        route_digest: str,
        terms: Mapping[str, int],
        policy: TrustPolicy,
    ) -> None:
        """Whether a certificate lets the first stage answer now. Raises as `valid`."""
        self._check_suspended(certificate)
        route.check_use(
            certificate, route_digest, terms, self._engine(), self.now_us(), policy.tasks.grace_days
        )

    def why_suspended(self, certificate: Certificate) -> str | None:
        """Why a certificate, or the one that it was carried over from, is out of use."""
        own = self.suspended(certificate.id)
        return self.suspended(certificate.origin) if own is None else own

    def _check_suspended(self, certificate: Certificate) -> None:
        if {certificate.id, certificate.origin, certificate.wanted.route_digest} & self._held():
            raise StateRefused("state_differs", "The certificate is not as the log has it.")
        if (reason := self.why_suspended(certificate)) is not None:
            raise PolicyRefused("route_suspended", f"The certificate is suspended: {reason}.")

    def _newest(self, route_digest: str, policy: TrustPolicy) -> Certificate:
        found = self.of(route_digest, policy)
        if not found:
            raise PolicyRefused("route_not_certified", "The route has no certificate here.")
        return found[0]
