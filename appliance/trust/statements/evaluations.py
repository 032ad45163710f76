"""The certificates that an appliance holds, and which of them let a task be approved or served."""

import contextlib
import hashlib
from collections.abc import Callable, Iterable
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Engine

from appliance.clock import iso
from appliance.db import SealedBytes
from appliance.errors import PolicyRefused, Refused, StateRefused
from appliance.facts import TaskFacts
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import evaluation
from appliance.trust.statements.evaluation import GateCertificate
from appliance.trust.statements.kept import CertificateStore
from appliance.types import Held

WARN_DAYS: Final = 30
_DAY_US: Final = 86_400_000_000
_NEXT: Final = "evaluate it again, `appliance eval gate`"

TABLES: Final = """
CREATE TABLE certificates (
  id TEXT PRIMARY KEY,
  task_digest TEXT NOT NULL,
  envelope BLOB NOT NULL,
  added_us INTEGER NOT NULL
) STRICT;
CREATE INDEX certificates_task ON certificates (task_digest);
"""
"""SQL script for appliance.db; a migration in the sense of `appliance.db`."""

REPLAYS: Final = """
CREATE TABLE replays (
  certificate TEXT PRIMARY KEY,
  answers BLOB NOT NULL
) STRICT;
"""
"""The next migration: what each certified candidate answered to open items, by digest."""

_REPLAYS: Final = sa.table("replays", sa.column("certificate"), sa.column("answers", SealedBytes))
TEXTS: Final = _REPLAYS
"""The columns that lie encrypted."""
_CERTIFICATES: Final = sa.table(
    "certificates", *map(sa.column, ("id", "task_digest", "envelope", "added_us"))
)


NAMED: Final = 12
"""Digits of a certificate's id that a person writes to name it."""


def names(text: str, certificate: GateCertificate) -> bool:
    """True if a text names a certificate."""
    return certificate.id[:NAMED] in text


class Evaluations(CertificateStore[GateCertificate]):
    """The certificates of one data directory."""

    def __init__(
        self,
        database: Engine,
        digest_of: Callable[[str], str | None],
        now_us: Callable[[], int],
        engine_of: Callable[[], str] = str,
        held: Held = frozenset,
    ) -> None:
        super().__init__(
            database, _CERTIFICATES, _REPLAYS, "task_digest", evaluation.verify, now_us, held
        )
        self._digest_of, self.engine_of = digest_of, engine_of

    @property
    def engine(self) -> str:
        return self.engine_of()

    def add(self, envelope: bytes, policy: TrustPolicy) -> GateCertificate:
        """Verify a certificate and keep it; a kept one stays."""
        found = evaluation.verify(envelope, policy)
        self._added(found.id, found.wanted.task_digest, envelope)
        return found

    def carriable(
        self, task_digest: str, facts: TaskFacts, policy: TrustPolicy
    ) -> tuple[bytes, GateCertificate, bytes]:
        """The newest certificate that would be valid but for its engine, and its answers.

        `evaluation_no_replay` where none has answers here.
        """
        found: list[tuple[bytes, GateCertificate, bytes]] = []
        for envelope in self.envelopes(task_digest):
            with contextlib.suppress(Refused):
                certificate = evaluation.verify(envelope, policy)
                at, now = certificate.circumstances, self.now_us()
                evaluation.check_use(
                    certificate, task_digest, facts, at.engine, now, policy, new=True
                )
                self._check_dataset(certificate)
                answers = self._answers(at.carried_from or certificate.id)
                if hashlib.sha256(answers).hexdigest() == at.replay:
                    found.append((envelope, certificate, answers))
        if not found:
            raise PolicyRefused(
                "evaluation_no_replay", "No certificate here has answers that could be given again."
            )
        return max(found, key=lambda each: each[1].circumstances.issued_us)

    def envelope(self, statement_id: str) -> bytes:
        """A certificate as it was signed. Raises PolicyRefused (`evaluation_missing`)."""
        found = super().envelope(statement_id)
        if found is None:
            raise PolicyRefused("evaluation_missing", f"There is no certificate {statement_id}.")
        return found

    def all(self) -> list[tuple[str, bytes]]:
        with self._database.begin() as connection:
            rows = connection.execute(
                sa.select(_CERTIFICATES.c.id, _CERTIFICATES.c.envelope).order_by(
                    _CERTIFICATES.c.added_us, _CERTIFICATES.c.id
                )
            )
            return [(str(name), bytes(envelope)) for name, envelope in rows]

    def valid(
        self, task_digest: str, facts: TaskFacts, policy: TrustPolicy, *, new: bool
    ) -> list[GateCertificate]:
        """The certificates that let a task be approved or served now, the newest first
        (`evaluation_missing`).
        """
        error: Refused = PolicyRefused(
            "evaluation_missing", "The policy asks for an evaluation, and no certificate is here."
        )
        found = []
        for envelope in self.envelopes(task_digest):
            try:
                certificate = evaluation.verify(envelope, policy)
                if {certificate.id, task_digest} & self.held():
                    raise StateRefused("state_differs", "It is not as the log has it.")
                evaluation.check_use(
                    certificate, task_digest, facts, self.engine, self.now_us(), policy, new=new
                )
                self._check_dataset(certificate)
                self._check_carried(certificate, policy)
                found.append(certificate)
            except Refused as problem:
                error = problem
        if not found:
            raise error
        return sorted(found, key=lambda c: (-c.circumstances.issued_us, c.id))

    def of(self, task_digest: str, policy: TrustPolicy) -> list[GateCertificate]:
        """The gates of a task whose signers are still trusted, the oldest first."""
        return self.holding(policy, task_digest)

    def contradicting(self, task_digest: str, policy: TrustPolicy) -> list[GateCertificate]:
        """The gates that a task failed after it last passed one, the oldest first."""
        found = self.of(task_digest, policy)
        passed = [c.circumstances.issued_us for c in found if c.found.verdict == "pass"]
        return [
            c
            for c in found
            if passed and c.found.verdict == "fail" and c.circumstances.issued_us > max(passed)
        ]

    def passed_since(self, since_us: int, policy: TrustPolicy) -> list[GateCertificate]:
        """The gates passed since then and kept here; carried ones count once."""
        return [
            certificate
            for certificate in self.holding(policy)
            if certificate.found.verdict == "pass"
            and certificate.circumstances.issued_us >= since_us
            and not certificate.circumstances.carried_from
        ]

    def alarms(
        self,
        task: str,
        task_digest: str,
        facts: TaskFacts,
        policy: TrustPolicy,
        meanings: Iterable[str] = (),
    ) -> list[str]:
        """The alarms about a task's evaluation now, in sentences.

        Args:
            meanings: of the approvals that count; a failure that one names is decided.
        """
        told, said = [], " ".join(meanings)
        for failed in self.contradicting(task_digest, policy):
            if not names(said, failed):
                told.append(
                    f"A later gate of {task} failed on {failed.wanted.dataset}: suspend the task, "
                    f"or approve it with a meaning that names {failed.id[:NAMED]}."
                )
        return told + self._ending(task, task_digest, facts, policy)

    def _ending(
        self, task: str, task_digest: str, facts: TaskFacts, policy: TrustPolicy
    ) -> list[str]:
        valid = self.valid(task_digest, facts, policy, new=False)
        end = max(certificate.circumstances.valid_until_us for certificate in valid)
        days = (end - self.now_us()) // _DAY_US
        if days >= WARN_DAYS:
            return []
        if days >= 0:
            return [f"The evaluation of {task} expires at {iso(end)}: {_NEXT}."]
        until = iso(end + policy.tasks.grace_days * _DAY_US)
        return [
            f"The evaluation of {task} expired at {iso(end)}; it serves until {until}: {_NEXT}."
        ]

    def _check_dataset(self, certificate: GateCertificate) -> None:
        wanted = certificate.wanted
        here = self._digest_of(wanted.dataset)
        if here not in (None, wanted.dataset_digest):
            raise PolicyRefused(
                "evaluation_other_dataset",
                f"It is for {wanted.dataset} {wanted.dataset_digest}; {here} is stored.",
            )

    def _check_carried(self, certificate: GateCertificate, policy: TrustPolicy) -> None:
        """Check a carried-over certificate against the gate's."""
        origin = certificate.circumstances.carried_from
        if origin and not evaluation.carries(
            certificate, evaluation.verify(self.envelope(origin), policy)
        ):
            raise PolicyRefused(
                "evaluation_inconsistent", f"Certificate: it is not what {origin} says."
            )
