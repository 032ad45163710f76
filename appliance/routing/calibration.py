"""The calibration of a route as a job: a look that certifies what its first stage may answer.

Rules:
- A route that open items show cannot be certified takes no look.
- The digest of function, thresholds and start is in the entry of the look, which is durable before
  the split is answered.
- The stages answer through the path of apps, at batch priority. An item that failed for a reason of
  ours is asked again, then counts nowhere.
- Items stay encrypted; shares of the sealed split are rounded to the point.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from appliance.clock import iso
from appliance.datasets import ledger as ledgers
from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused
from appliance.evals import pairs, scoring
from appliance.evals.asking import ASKER, PADDED, as_it_is, asked_again, outcome
from appliance.jobs.kind import Context
from appliance.looks import replay
from appliance.looks.answers import answered
from appliance.looks.look import Judgement, SealedLook
from appliance.looks.lost_items import OURS, interruption
from appliance.looks.subject import YEAR_US, Specified, envelope_of, needs_engine
from appliance.reports.page import render
from appliance.routing import certifying, confidence, report
from appliance.routing import subject as subjects
from appliance.routing.certifying import (
    CertificationPlan,
    CertificationTerms,
    Observed,
    Origin,
    SealedVerdict,
    Uncertifiable,
    parse,
)
from appliance.routing.confidence import MILLION, Confidence
from appliance.routing.route_findings import numbers, outward, terms_of
from appliance.routing.rules import unclaimed
from appliance.routing.subject import CalibrationParts, Drawn, RouteSubject, subject_of
from appliance.serving.inference import Inference
from appliance.statistics.power import GroupsNeeded, groups_without_error
from appliance.tasks.loaded import LoadedTask
from appliance.trust.bytes import strict_json
from appliance.trust.statements import route as statements
from appliance.trust.statements.route import ACCEPTED, CalibrationFound, Circumstances
from appliance.types import GenerationRequest, Principal, TaskNeeds
from appliance.wire.admin.results import CalibrationResult

DEV: Final = "dev.sealed"
SEALED: Final = "certify.sealed"
DOUBTFUL: Final = "in doubt"
_AT_ONCE: Final = 2


class Calibration(SealedLook[RouteSubject, CalibrationResult]):
    """The job of a calibration."""

    name: ClassVar[str] = "route"
    noun: ClassVar[str] = "route"
    more: ClassVar[str] = "reason"
    told = CalibrationResult

    def __init__(self, parts: CalibrationParts) -> None:
        super().__init__(parts.look, parts.certificates, statements.RouteSpecification, subject_of)
        self._calibration = parts

    def engine(self, params: Specified) -> bool:
        wanted = statements.RouteSpecification.open(envelope_of(params)).said
        return needs_engine(self.parts, *filter(None, (wanted.small, wanted.larger)))

    async def judgement(self, job: Context, subject: RouteSubject) -> Judgement[CalibrationResult]:
        part, number = subject.split.part, await job.in_thread(self._number, subject)
        terms = terms_of(subject.signed.said, number, company=subject.company)
        items = tuple(i for i in subject.split.dataset.splits["dev"] if i.labelled)
        subjects.check_items(subject, items)
        drawn = await job.in_thread(subjects.check_sealed, self.parts, subject)
        await job.in_thread(self._begin, job, subject)
        open_ = Drawn(items, Counter(item.group for item in items))
        every = await self._observed(job, subject, DEV, open_)
        if why := _interruption(subject, every):
            raise EvaluationRefused("gate_interrupted", f"{why} No look was taken.")
        dev = [each for each in every if each.counts]
        reach = len(drawn.items) / part.groups * len(dev) / max(1, len(every))
        groups, effective = round(part.groups * reach), drawn.effective(terms.weight)
        fixed = await job.in_thread(certifying.plan, dev, terms, groups, subject.noise, effective)
        if isinstance(fixed, Uncertifiable):
            return _refused(subject, _in_all(fixed, reach), dev)
        plan = plan_digest(fixed)
        look, number = await job.in_thread(self.take, job, subject, plan_sha256=plan)
        seen = await self._observed(job, subject, SEALED, drawn)
        await job.in_thread(self._check_seen, job, subject, seen)
        return await job.in_thread(
            _concluded,
            self._calibration,
            subject,
            look.entry,
            number,
            fixed,
            dev,
            seen,
            drawn,
        )

    def over(self, job: Context) -> None:
        self._calibration.changed()

    def _number(self, subject: RouteSubject) -> int:
        behind = ledgers.spent(self.parts.ledger.looks(subject.split.part.marks))
        mine = [look for look in behind if look.id == subject.signed.id]
        return mine[0].number if mine else min(len(behind) + 1, ledgers.LOOKS)

    def _begin(self, job: Context, subject: RouteSubject) -> None:
        """Forget answers of another release or engine, unless the look's plan binds them.

        Raises:
            EvaluationRefused: `gate_interrupted`.
        """
        files, ledger = self.files(job), self.parts.ledger
        looks = ledger.looks(subject.split.part.marks)
        taken = any(look.id == subject.signed.id and not look.verdict for look in looks)
        if taken and (before := files.others(self.answering)):
            message = f"{before} answered, and {self.answering} serves. The look counts."
            self.interrupt(job, subject, message)
        files.begin(self.answering)

    def _check_seen(self, job: Context, subject: RouteSubject, seen: Sequence[Observed]) -> None:
        heard = any(each.told or each.larger_told for each in seen)
        self.check_asked(job, subject, *_lost(subject, seen), heard)

    async def _observed(
        self, job: Context, subject: RouteSubject, name: str, drawn: Drawn
    ) -> list[Observed]:
        """Observations before a stop are kept.

        Where too many open items could not be asked, these are asked again: no look was taken then.
        """
        files = await job.in_thread(self.files, job)
        sealed, phase = name == SEALED, name.partition(".")[0]
        ask = partial(
            observe,
            self._stages(subject),
            f"route-{job.id}-{phase}",
            p_true=subject.route.small.p_true,
            named=files.alias if sealed else as_it_is,
            asker=PADDED if sealed else ASKER,
            patient=True,
        )

        async def one(item: Item) -> Observed:
            if not subjects.reaches(subject, item):
                found = Observed(item.id, item.group, item.time or "", None, False, ruled=True)
            else:
                found = await ask(item)
            return replace(found, size=drawn.sizes[item.group])

        def again(kept: Mapping[str, Observed]) -> set[str]:
            if sealed or not _interruption(subject, kept.values()):
                return set()
            return {item for item, seen in kept.items() if seen.unasked}

        def report(done: int) -> None:
            job.report(phase, done, len(drawn.items))

        file = files.answers(name, parse)
        asked = drawn.items, one, _AT_ONCE, report, again
        done = await answered(job, file.read, file.append, *asked)
        return sorted(done, key=lambda o: o.item)

    def _stages(self, subject: RouteSubject) -> list[tuple[LoadedTask, Inference]]:
        found = []
        for stage, loaded in zip(
            (subject.route.small, *subject.route.larger),
            filter(None, (subject.small, subject.larger)),
            strict=False,
        ):
            if stage.kind == "upstream":
                named = subjects.under(loaded, stage.upstream or "")
                found.append((named, self.parts.inference(self._calibration.upstream(stage))))
            else:
                found.append((loaded, self.parts.inference(self.parts.tasks(loaded))))
        return found


async def observe(
    stages: Sequence[tuple[LoadedTask, Inference]],
    label: str,
    item: Item,
    *,
    p_true: bool,
    named: Callable[[str], str] = as_it_is,
    asker: Principal = ASKER,
    patient: bool = False,
) -> Observed:
    """Observe the stages on one item.

    Args:
        label: names the requests in the log.
        p_true: also ask the first whether its answer is right.
        named: an item's id as the log has it.
        patient: report a stage that is away after all tries, instead of ending the job.
    """
    found: list[tuple[bool, int, str, Any]] = []
    lost = ""
    for number, (loaded, inference) in enumerate(stages):
        task = loaded.task
        sent = msgspec.json.encode(scoring.input_of(task, item)).decode()
        turn = {"role": "user", "content": sent}
        request = GenerationRequest(
            model=task.id,
            messages=(turn,),
            task=TaskNeeds(decisions=not number, p_true=p_true and not number),
        )
        entry = f"{label}-{number}-{named(item.id)}"
        told = await asked_again(inference, entry, request, asker=asker, patient=patient)
        lost = lost or (told.failure if told.failure in OURS else "")
        scored = outcome(task, item, told.text, told)
        right = scored.micros == MILLION
        answer = "" if told.failure in OURS else replay.digest(scored)
        found.append((right, scored.microseconds, answer, told.about))
    small, about = found[0], found[0][3]
    larger = found[1] if len(found) > 1 else None
    return Observed(
        item=item.id,
        group=item.group,
        time=item.time or "",
        features=None if about is None else confidence.features(about),
        small=small[0],
        larger=None if larger is None else larger[0],
        small_us=small[1],
        larger_us=0 if larger is None else larger[1],
        told=small[2],
        larger_told="" if larger is None else larger[2],
        unasked=lost,
    )


def _lost(subject: RouteSubject, seen: Iterable[Observed]) -> tuple[dict[str, int], int]:
    asked_for = [each for each in seen if not each.ruled]
    return {subject.signed.said.route: sum(bool(each.unasked) for each in asked_for)}, len(
        asked_for
    )


def _interruption(subject: RouteSubject, seen: Iterable[Observed]) -> str:
    return interruption(*_lost(subject, seen))


def replayed(
    seen: Observed, function: Confidence, thresholds: Sequence[int], *, larger: bool
) -> list[str]:
    """Digests of an item's answers and acceptance, which another engine must repeat.

    Args:
        thresholds: falling; the index of the first that accepts the answer is reported.
        larger: whether the second stage is computed here, too.
    """
    score = seen.score(function)
    place = next((str(n) for n, level in enumerate(thresholds) if score >= level), DOUBTFUL)
    return [seen.told, place, seen.larger_told if larger else ""]


def at_place(replayed: Sequence[str], place: int) -> list[str]:
    """Digests at one threshold, by its index; older ones have only acceptance."""
    told, first, larger = replayed
    accepted = first == ACCEPTED or (first.isdigit() and int(first) <= place)
    return [told, ACCEPTED if accepted else DOUBTFUL, larger]


def _replay(
    subject: RouteSubject, plan: CertificationPlan, found: CalibrationFound, dev: Sequence[Observed]
) -> str:
    """The replay of open items as JSON, by their ids; "" where nothing is certified.

    Enough items that the same answers keep the certificate's findings, or as many as may be asked.
    """
    threshold, wanted = found.threshold_micros, subject.signed.said
    if threshold is None:
        return ""
    stage = next(iter(subject.route.larger), None)
    larger = stage is not None and stage.kind == "task"
    told = {o.item: replayed(o, plan.function, plan.thresholds, larger=larger) for o in dev}
    delta, place = wanted.delta_micros / MILLION, plan.thresholds.index(threshold)
    fewest = {
        name: groups_without_error(room / MILLION, delta) if room > 0 else replay.MOST_ITEMS
        for name, room in statements.rooms(wanted, found).items()
        if room < MILLION
    }
    then = {item: at_place(each, place) for item, each in told.items()}
    open_ = subjects.open_answers(subject.split.dataset.splits["dev"], then, wanted)
    kept = {item.id: told[item.id] for item in replay.chosen(open_, fewest)}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"))


def plan_digest(plan: CertificationPlan) -> str:
    """Hex SHA-256 of what is fixed before the look."""
    fixed = {
        "function": plan.function.document(),
        "thresholds": list(plan.thresholds),
        "doubtful": plan.doubtful,
    }
    return hashlib.sha256(strict_json.dump(fixed)).hexdigest()


def found_of(
    plan: CertificationPlan,
    verdict: SealedVerdict,
    terms: CertificationTerms,
    seen: Sequence[Observed],
    drawn: Drawn,
) -> CalibrationFound:
    """The certificate's content: shares of the sealed split outward to the point."""
    reach = sum(not each.ruled for each in seen) / len(seen)
    most, least = MILLION, -MILLION
    if verdict.certified:
        most, least = round(terms.error * MILLION), 1 - round(terms.margin * MILLION)
    coverage, limit, low = numbers(verdict, most, least)
    return CalibrationFound(
        reason=verdict.reason,
        threshold_micros=verdict.threshold,
        coverage_micros=coverage,
        limit_micros=limit,
        groups=verdict.groups,
        groups_needed=verdict.needed and verdict.needed.likely,
        function=plan.function.document(),
        doubtful=plan.doubtful,
        low_micros=low,
        merkle_root=pairs.root(sorted(seen, key=lambda o: o.item)),
        reach_micros=outward(reach, round),
        interval="" if verdict.difference is None else "tango",
        company=terms.company,
        thresholds=plan.thresholds,
        effective=math.floor(drawn.effective(terms.weight)),
        largest=max(drawn.sizes.values()) if terms.weight == "answers" else 0,
        unasked=sum(bool(each.unasked) for each in seen),
    )


_V = TypeVar("_V", Uncertifiable, SealedVerdict)


def _in_all(found: _V, reach: float) -> _V:
    if found.needed is None or not reach:
        return replace(found, needed=None)
    low, likely, high = found.needed
    scaled = GroupsNeeded(
        math.ceil(low / reach), math.ceil(likely / reach), high and math.ceil(high / reach)
    )
    return replace(found, needed=scaled)


def _more(subject: RouteSubject, needed: GroupsNeeded | None) -> str:
    if needed is None or needed.likely <= subject.split.part.groups:
        return ""
    low = max(1, needed.low - subject.split.part.groups)
    if needed.high is None:
        return f"At least {low} more independent groups may do."
    return f"{low} to {needed.high - subject.split.part.groups} more independent groups may do."


def _blank(subject: RouteSubject, needed: GroupsNeeded | None) -> CalibrationResult:
    wanted = subject.signed.said
    return CalibrationResult.model_validate({
        "verdict": "not_certifiable", "answer": "", "certificate": None, "reason": "",
        "route": wanted.route, "small": wanted.small, "larger": wanted.larger or None,
        "alpha": wanted.error_micros / MILLION, "delta": wanted.delta_micros / MILLION,
        "margin": wanted.margin_micros / MILLION, "noise": round(subject.noise, 4),
        "unclaimed": sorted(unclaimed(subject.route)), "company": subject.company,
        "weight": wanted.weight or "groups", "group_from": subject.route.group_from,
        "groups": subject.split.part.groups, "groups_needed": needed and needed.likely,
        "groups_needed_range": needed and [needed.low, needed.high],
        "threshold": None, "coverage": 0.0, "reach": None, "effective": None, "doubtful": None,
        "origins": [], "difference": None, "avoided": None, "ablation": {}, "curve": [],
    })  # fmt: skip


def _refused(
    subject: RouteSubject, why: Uncertifiable, dev: Sequence[Observed]
) -> Judgement[CalibrationResult]:
    more = _more(subject, why.needed)
    said = report.sentence(why.reason, why.message, subject.split.part.groups, more)
    result = _blank(subject, why.needed).having(reason=why.reason, answer=said)
    told = report.RoutePageFacts(subject.signed.said, result, "none", {"dev": str(len(dev))})
    return Judgement(result, render(report.page(told)))


def _concluded(
    parts: CalibrationParts,
    subject: RouteSubject,
    entry: int,
    number: int,
    plan: CertificationPlan,
    dev: Sequence[Observed],
    seen: Sequence[Observed],
    drawn: Drawn,
) -> Judgement[CalibrationResult]:
    look, wanted = parts.look, subject.signed.said
    terms = terms_of(wanted, number, company=subject.company)
    past = certifying.drawn(dev, wanted.seed, terms.weight)
    whole = wanted.delta_micros / MILLION
    counting = [each for each in seen if each.counts]
    verdict = certifying.judge(plan, counting, past, terms, whole)
    verdict = _in_all(verdict, len(counting) / subject.split.part.groups)
    found = found_of(plan, verdict, terms, seen, drawn)
    now = look.clock.wall_us()
    larger = next(iter(subject.route.larger), None)
    claimed = larger is not None and larger.kind == "upstream"
    again = _replay(subject, plan, found, dev)
    at = Circumstances(
        engine=look.engine if subject.small.task.candidate.model else "",
        identity="claimed" if claimed else "attested",
        look=number,
        log=look.log,
        entry=entry,
        issued_us=now,
        valid_until_us=now + YEAR_US,
        replay=hashlib.sha256(again.encode()).hexdigest() if again else "",
    )
    statement = statements.certify(subject.signed, found, at, look.evidence())
    certificate = statements.verify(statement, look.policy()).id
    result = _result(subject, plan, verdict, found, dev, certificate)
    made_of = {
        "route": wanted.route_digest,
        f"first stage {wanted.small}": wanted.small_digest,
        f"second stage {wanted.larger or 'none'}": wanted.larger_digest or "none",
        "dataset": wanted.dataset_digest,
        "specification": subject.signed.id,
        "outcomes": found.merkle_root,
        "engine": at.engine or "none",
        "identity": at.identity,
        "look": f"{number} of {wanted.looks}, entry {at.entry} of {at.log}",
    }
    year = parts.certificates.certified_since(now - YEAR_US, look.policy())
    deltas = [each.wanted.delta_micros for each in year]
    if verdict.certified:
        deltas.append(wanted.delta_micros)
    told = report.RoutePageFacts(wanted, result, iso(now), made_of, tuple(deltas), _told(verdict))
    return Judgement(
        result=result,
        html=render(report.page(told)),
        statement=statement.decode(),
        answers=again or None,
    )


def _result(
    subject: RouteSubject,
    plan: CertificationPlan,
    verdict: SealedVerdict,
    found: CalibrationFound,
    dev: Sequence[Observed],
    certificate: str,
) -> CalibrationResult:
    blank = _blank(subject, verdict.needed)
    curve = certifying.curve(plan.function, dev, subject.signed.said.weight or "groups")
    figures, more = report.figures(verdict, blank.weight), _more(subject, verdict.needed)
    return blank.having(
        verdict="certified" if verdict.certified else "not_certifiable",
        answer=report.sentence(verdict.reason, figures, verdict.groups, more, blank.alpha),
        certificate=certificate if verdict.certified else None,
        reason=verdict.reason,
        groups=verdict.groups,
        threshold=None if verdict.threshold is None else verdict.threshold / MILLION,
        coverage=found.coverage_micros / MILLION,
        reach=(found.reach_micros or 0) / MILLION,
        effective=found.effective,
        unasked=found.unasked,
        limit=found.limit_micros / MILLION,
        doubtful=plan.doubtful,
        difference=verdict.difference and [round(v, 2) for v in verdict.difference],
        avoided=verdict.avoided and [round(v, 3) for v in verdict.avoided],
        origins=[each._asdict() for each in _told(verdict)],
        ablation={name: round(value, 5) for name, value in plan.areas.items()},
        curve=[[round(v, 6) for v in point] for point in curve],
        dev_error=round(plan.error, 4),
    )


def _told(verdict: SealedVerdict) -> tuple[Origin, ...]:
    return tuple(
        o._replace(share=o.share and round(o.share, 3), limit=round(o.limit, 3))
        for o in verdict.origins
    )
