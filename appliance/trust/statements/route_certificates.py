"""The certificates of routes that an appliance holds, and those that were suspended.

Rules: a suspended certificate never counts again, nor what was carried over from it.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Engine

from appliance.db import SealedBytes
from appliance.errors import PolicyRefused, Refused, StateRefused
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import route
from appliance.trust.statements.kept import CertificateStore
from appliance.trust.statements.route import RouteCertificate
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

_REPLAYS: Final = sa.table(
    "route_replays", sa.column("certificate"), sa.column("answers", SealedBytes)
)
TEXTS: Final = _REPLAYS
"""The columns that lie encrypted."""
_CERTIFICATES: Final = sa.table(
    "route_certificates", *map(sa.column, ("id", "route_digest", "envelope", "added_us"))
)
_SUSPENSIONS: Final = sa.table(
    "route_suspensions", *map(sa.column, ("certificate", "reason", "time_us"))
)


class RouteCertificates(CertificateStore[RouteCertificate]):
    """The certificates of one data directory."""

    def __init__(
        self,
        database: Engine,
        now_us: Callable[[], int],
        engine: Callable[[], str],
        held: Held = frozenset,
    ) -> None:
        super().__init__(
            database, _CERTIFICATES, _REPLAYS, "route_digest", route.verify, now_us, held
        )
        self._engine = engine

    def add(self, envelope: bytes, policy: TrustPolicy) -> RouteCertificate:
        """Verify a certificate and keep it; a kept one stays."""
        found = route.verify(envelope, policy)
        self._added(found.id, found.wanted.route_digest, envelope)
        return found

    def suspend(self, certificate_id: str, reason: str) -> None:
        """Suspend a certificate for good; the first reason stays."""
        given = {"certificate": certificate_id, "reason": reason}
        self._keep(_SUSPENSIONS, {**given, "time_us": self.now_us()})

    def carriable(
        self, route_digest: str, terms: Mapping[str, int], policy: TrustPolicy
    ) -> tuple[bytes, RouteCertificate, bytes]:
        """The newest certificate, if it would count but for its engine, and what must be repeated.

        `route_no_replay` without answers, or a named engine.
        """
        found = self._newest(route_digest, policy)
        self._check_suspended(found)
        at = found.circumstances
        route.check_use(found, route_digest, terms, at.engine, self.now_us(), 0)
        envelope, answers = self.envelope(found.id), self._answers(found.origin)
        if not at.engine or envelope is None or hashlib.sha256(answers).hexdigest() != at.replay:
            raise PolicyRefused("route_no_replay", "Nothing of the certificate can be repeated.")
        return envelope, found, answers

    def of_other_engine(
        self, route_digest: str, terms: Mapping[str, int], policy: TrustPolicy
    ) -> bool:
        """True if the route's certificate lacks nothing but being for the engine that serves."""
        try:
            _, found, _ = self.carriable(route_digest, terms, policy)
        except Refused:
            return False
        return found.circumstances.engine != self._engine()

    def of(self, route_digest: str, policy: TrustPolicy) -> list[RouteCertificate]:
        """The certificates of a route that verify, suspended ones included, the newest first."""
        found = self.holding(policy, route_digest)
        return sorted(found, key=lambda c: (-c.circumstances.issued_us, c.id))

    def certified_since(self, since_us: int, policy: TrustPolicy) -> list[RouteCertificate]:
        """Certificates issued since then and kept here; carried ones count once."""
        return [
            certificate
            for certificate in self.holding(policy)
            if certificate.found.certified
            and certificate.circumstances.issued_us >= since_us
            and not certificate.circumstances.carried_from
        ]

    def suspensions(self) -> dict[str, str]:
        """Reasons by certificate."""
        with self._database.begin() as connection:
            asked = sa.select(_SUSPENSIONS.c.certificate, _SUSPENSIONS.c.reason)
            return {row.certificate: row.reason for row in connection.execute(asked)}

    def suspended(self, certificate_id: str) -> str | None:
        """The reason of a suspension; None for a certificate in use."""
        return self.suspensions().get(certificate_id)

    def valid(
        self, route_digest: str, terms: Mapping[str, int], policy: TrustPolicy
    ) -> RouteCertificate:
        """The newest certificate, if it lets the first stage answer now (`route_not_certified`,
        `route_suspended`).

        Only the newest counts: a later calibration that certified nothing replaces an earlier one
        that did.
        """
        newest = self._newest(route_digest, policy)
        self.check(newest, route_digest, terms, policy)
        return newest

    def check(
        self,
        certificate: RouteCertificate,
        route_digest: str,
        terms: Mapping[str, int],
        policy: TrustPolicy,
    ) -> None:
        self._check_suspended(certificate)
        route.check_use(
            certificate, route_digest, terms, self._engine(), self.now_us(), policy.tasks.grace_days
        )

    def why_suspended(self, certificate: RouteCertificate) -> str | None:
        """The reason of its suspension, or of the certificate it was carried over from."""
        own = self.suspended(certificate.id)
        return self.suspended(certificate.origin) if own is None else own

    def _check_suspended(self, certificate: RouteCertificate) -> None:
        if {certificate.id, certificate.origin, certificate.wanted.route_digest} & self.held():
            raise StateRefused("state_differs", "The certificate is not as the log has it.")
        if (reason := self.why_suspended(certificate)) is not None:
            raise PolicyRefused("route_suspended", f"The certificate is suspended: {reason}.")

    def _newest(self, route_digest: str, policy: TrustPolicy) -> RouteCertificate:
        found = self.of(route_digest, policy)
        if not found:
            raise PolicyRefused("route_not_certified", "The route has no certificate here.")
        return found[0]
