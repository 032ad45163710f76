"""One look at a sealed split as a job: checked before, in the ledger, judged once, and kept.

Rules:
- Faults are found before the look; no message and no entry reveals anything of a sealed item.
- The look is durable in log and ledger before the split is answered; the log names the judgement
  before anything of it is told. Killed at any step, the job comes to the same verdict.
- Too many items that could not be asked end the look without a verdict; it is spent only if an
  answer was seen.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeAlias, TypeVar

import appliance
from appliance.datasets import ledger as ledgers
from appliance.datasets.ledger import LedgerLook
from appliance.errors import EvaluationRefused, PolicyRefused
from appliance.host import at_rest
from appliance.jobs.kind import Context, ItemJob, digest
from appliance.looks.answers import LookFiles
from appliance.looks.lost_items import interruption
from appliance.looks.subject import LookParts, LookSubject, Specified, envelope_of
from appliance.trust.bytes import durable
from appliance.trust.statements import route, specification
from appliance.trust.statements.evaluations import Evaluations
from appliance.trust.statements.route_certificates import RouteCertificates
from appliance.types import Json
from appliance.wire.admin.results import LookJudged

INTERRUPTED: Final = "interrupted"
REPORT: Final = "report.html"
_IN_LEDGER: Final = {"certified": "pass", "not_certifiable": "underpowered"}
"""Verdicts that the ledger calls otherwise."""
_TOLD: Final = ("person", "dataset", "dataset_digest", "split", "share_micros")
"""Fields of a look that its entry has under their names."""
Terms: TypeAlias = specification.Specification | route.RouteSpecification
U = TypeVar("U", bound=LookSubject[Any])
R = TypeVar("R", bound=LookJudged)


@dataclass(frozen=True)
class Judgement(Generic[R]):
    """The findings of a judge: everything that a job needs to end, however often it is resumed.

    Attributes:
        html: the page.
        statement: as it was signed; "" where no look was taken.
        answers: to open items, by item; None where nothing is kept of them.
        outcomes: hex root of the outcomes, where the log names it.
    """

    result: R
    html: str
    statement: str = ""
    answers: str | None = None
    outcomes: str = ""


class SealedLook(ItemJob[Specified, R], Generic[U, R]):
    """Opens a sealed split once, for a judge.

    Args:
        subject_of: finds every possible fault before the look.

    Attributes:
        noun: what is judged, as the log calls it.
        more: a field of the entry that ends a look, besides those of all looks.
    """

    form = Specified
    malformed = (PolicyRefused, "specification_invalid")
    noun: ClassVar[str]
    more: ClassVar[str]
    told: type[R]

    def __init__(
        self,
        parts: LookParts,
        certificates: Evaluations | RouteCertificates,
        terms: type[Terms],
        subject_of: Callable[[LookParts, bytes], U],
    ) -> None:
        self.parts, self.certificates = parts, certificates
        self._terms, self._subject_of = terms, subject_of

    async def judgement(self, job: Context, subject: U) -> Judgement[R]:
        """The whole look."""
        raise NotImplementedError

    def left_behind(self, made: Judgement[R]) -> dict[str, str]:
        """Files of the job, by name, besides the page."""
        return {}

    def left(self, subject: U, shares: tuple[int, ...]) -> dict[str, float]:
        """Fields of the result with the remaining shares of alpha."""
        return {"looks_left": len(shares)}

    def over(self, job: Context) -> None:
        """Called once the verdict is kept; may be called twice."""

    def given_up(self, job: Context) -> None:
        """Called when a look ends, or has ended, without a verdict; may be called twice."""

    def check(self, params: Specified) -> None:
        """Check the form of the specification; its signer is checked before the look.

        Raises:
            PolicyRefused: `specification_invalid`.
        """
        self._terms.open(envelope_of(params))

    def title(self, params: Specified) -> str:
        wanted = self._terms.open(envelope_of(params)).said
        return f"{getattr(wanted, self.noun)} on {wanted.dataset}"

    def key(self, params: Specified) -> str | None:
        return hashlib.sha256(envelope_of(params)).hexdigest()

    async def run(self, job: Context[Specified]) -> R:
        envelope = envelope_of(job.params)
        subject = await job.in_thread(self._subject_of, self.parts, envelope)
        if "result" not in (job.checkpoint or {}):
            made = await self.judgement(job, subject)
            await job.in_thread(self._keep, job, made)
        return await job.in_thread(self._end, job, subject)

    @property
    def answering(self) -> str:
        """The release and the engine: an answer and its score depend on both."""
        return f"appliance {appliance.__version__}, {self.parts.engine}"

    def files(self, job: Context) -> LookFiles:
        return LookFiles(self.parts.directory / str(job.id), self.parts.kek())

    def take(self, job: Context, subject: U, **more: Json) -> tuple[LedgerLook, int]:
        """Take the look, or find it again; with its number.

        Args:
            more: fields of its entry.

        Raises:
            StateRefused: as `LookLedger.take`; `looks_unagreed`.
            EvaluationRefused: `gate_interrupted` for one that ended before.
        """
        wanted, part, ledger = subject.signed.said, subject.split.part, self.parts.ledger
        look = LedgerLook(
            subject.signed.id, job.id, *self._owner(subject), wanted.dataset,
            wanted.dataset_digest, wanted.split, wanted.name, wanted.alpha_micros,
            self.parts.clock.wall_us(), name=subject.name, version=subject.version,
        )  # fmt: skip

        def record(taken: LedgerLook, number: int) -> int:
            fields: dict[str, Json] = {name: getattr(taken, name) for name in _TOLD}
            return self.parts.record(job, f"{self.name}_look", fields | more | {
                "specification": taken.id, self.noun: taken.task,
                f"{self.noun}_digest": taken.task_digest, "groups": part.groups,
                "marks_sha256": ledgers.marks_digest(part.marks),
                "groups_sha256": ledgers.groups_digest(part.marks),
                "look": number, "looks": ledgers.LOOKS,
            })  # fmt: skip

        schedule, marks = wanted.schedule or ledgers.QUARTERS, part.marks
        resumed = any(known.id == look.id for known in ledger.looks(marks))
        elsewhere = () if resumed else self.parts.agreed(look, marks)
        taken, number = ledger.take(look, marks, record, schedule, elsewhere)
        if taken.verdict:
            self.given_up(job)
        ledgers.check_open(taken)
        return taken, number

    def check_asked(
        self, job: Context, subject: U, lost: Mapping[str, int], items: int, heard: bool
    ) -> None:
        """End a look in which too many items could not be asked: no verdict, no certificate.

        Args:
            lost, items: as `lost_items.interruption`.
            heard: whether an answer was seen, so that the look counts.

        Raises:
            EvaluationRefused: `gate_interrupted`.
        """
        if why := interruption(lost, items):
            counts = "The look counts." if heard else "Nothing was answered: no look was spent."
            verdict = INTERRUPTED if heard else ledgers.UNSPENT
            self.interrupt(job, subject, f"{why} {counts}", verdict)

    def interrupt(self, job: Context, subject: U, message: str, verdict: str = INTERRUPTED) -> None:
        """End a look without a verdict. Raises EvaluationRefused (`gate_interrupted`)."""
        self._record_end(job, subject, verdict, verdict)
        self.parts.ledger.conclude(subject.signed.id, verdict, "")
        self.given_up(job)
        raise EvaluationRefused("gate_interrupted", message)

    def _keep(self, job: Context, made: Judgement[R]) -> None:
        """Keep a judgement; the log names it first."""
        kept = {**(job.checkpoint or {}), **vars(made), "result": made.result.document}
        self.parts.record(job, f"{self.name}_judged", {"checkpoint_sha256": digest(kept)})
        job.save(kept)

    def _end(self, job: Context, subject: U) -> R:
        """Keep the signed statement, then tell it; each step may be repeated."""
        kept = job.checkpoint or {}
        told, outcomes = self.told.model_validate(kept["result"]), kept.get("outcomes", "")
        answers = kept.get("answers", kept.get("replay"))  # a route's, of older versions
        made = Judgement(told, kept["html"], kept["statement"], answers, outcomes)
        envelope = made.statement.encode()
        place = self.parts.directory / str(job.id)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in {REPORT: made.html, **self.left_behind(made)}.items():
            durable.replace(place / name, at_rest.sealed(place / name, text.encode()))
        certificate = told.certificate or ""
        verdict = _IN_LEDGER.get(told.verdict, told.verdict) if envelope else ""
        statement = self.certificates.verified(envelope, self.parts.policy()).id if envelope else ""
        more = made.outcomes or str(getattr(told, self.more, ""))
        self._record_end(job, subject, told.verdict, verdict, certificate, statement, more)
        if envelope:
            self.certificates.add(envelope, self.parts.policy())
            if made.answers is not None:
                self.certificates.keep_replay(statement, made.answers.encode())
            self.parts.ledger.conclude(subject.signed.id, verdict, certificate)
        self.over(job)
        looks, sealed = self.parts.ledger.looks(subject.split.part.marks), subject.split.seal
        of = self._owner(subject)[1], subject.name, subject.version
        left = ledgers.remaining(looks, sealed.schedule, *of)
        return told.having(looks=len(ledgers.spent(looks)), **self.left(subject, left))

    def _owner(self, subject: U) -> tuple[str, str]:
        wanted = subject.signed.said
        return getattr(wanted, self.noun), getattr(wanted, f"{self.noun}_digest")

    def _record_end(
        self,
        job: Context,
        subject: U,
        verdict: str,
        ledger: str,
        certificate: str = "",
        statement: str = "",
        more: str = "",
    ) -> None:
        self.parts.record(job, f"{self.name}_verdict", {
            "specification": subject.signed.id, self.noun: self._owner(subject)[0],
            "verdict": verdict, "certificate": certificate, "statement": statement,
            "ledger_verdict": ledger, self.more: more,
        })  # fmt: skip
