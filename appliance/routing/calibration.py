"""The calibration of a route as a job: one look at a sealed split, and the certificate of it.

Rules:
- What is wrong with specification, route, stages, dataset or an item is found before the look, and
  what open items say cannot be certified takes no look. No entry of the log tells a sealed item.
- Function, thresholds and start are fixed on `dev`, and their digest stands in the entry of the
  look, which is durable before the split is opened.
- The items that the rules of the route let reach its first stage are what is certified. The stages
  answer them through the path of apps, at batch priority. What could not be asked for a reason of
  ours is asked again, then counts nowhere; too many of them end the look without a verdict.
- Killed at any step, the job keeps its look, resumes at the item and comes to the same verdict.
- Items stay encrypted; shares of the sealed split leave to the point.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from appliance.audit.log import Draft
from appliance.clock import iso
from appliance.datasets import ledger as ledgers
from appliance.datasets.items import Item
from appliance.datasets.ledger import Look
from appliance.errors import EvaluationRefused
from appliance.evals import pairs, replay, scoring
from appliance.evals.asking import (
    ASKER,
    OURS,
    PADDED,
    as_it_is,
    asked_again,
    interruption,
    outcome,
    side_by_side,
)
from appliance.evals.gate_subject import needs_engine
from appliance.evals.sealed_lines import SealedLines, alias, key_of
from appliance.evals.store import OutcomeFiles
from appliance.jobs.kind import Context, JsonObject, Kind, digest
from appliance.reports.page import render
from appliance.routing import certifying, confidence, report
from appliance.routing import subject as subjects
from appliance.routing.certifying import Observed, Plan, Terms, Uncertifiable, Verdict
from appliance.routing.confidence import MILLION, Confidence
from appliance.routing.rules import unclaimed
from appliance.routing.subject import (
    CalibrationParts,
    Drawn,
    Subject,
    envelope_of,
    subject_of,
)
from appliance.serving.inference import Inference
from appliance.statistics.power import GroupsNeeded
from appliance.tasks.backends import TaskBackends
from appliance.tasks.catalogue import Drafts
from appliance.tasks.loaded import LoadedTask
from appliance.trust.bytes import strict_json
from appliance.trust.statements import route as statements
from appliance.trust.statements.route import COARSE, Circumstances, Found
from appliance.types import GenerationRequest, Json, Principal, Role

NAME: Final = "route"
VALID_DAYS: Final = 365
_DAY_US: Final = 86_400_000_000
_BATCH: Final = 32
DEV: Final = "dev.sealed"
SEALED: Final = "certify.sealed"


class Calibration(Kind):
    """Certifies what the first stage of a route may answer."""

    name: ClassVar[str] = NAME
    unit: ClassVar[str] = "items"
    role: ClassVar[Role] = Role.OPERATOR
    heavy: ClassVar[bool] = True
    resumable: ClassVar[bool] = True

    def __init__(self, parts: CalibrationParts) -> None:
        self._parts = parts

    def check(self, params: JsonObject) -> None:
        """The form of the specification; who signed it is asked before the look.

        Raises:
            PolicyRefused: `specification_invalid`.
        """
        statements.unverified(envelope_of(params))

    def title(self, params: JsonObject) -> str:
        """The route and the dataset."""
        wanted = statements.unverified(envelope_of(params))
        return f"{wanted.route} on {wanted.dataset}"

    def key(self, params: JsonObject) -> str | None:
        """One job for one specification."""
        return hashlib.sha256(envelope_of(params)).hexdigest()

    def engine(self, params: JsonObject) -> bool:
        """Classifiers need none."""
        wanted = statements.unverified(envelope_of(params))
        stages = (wanted.small, *((wanted.larger,) if wanted.larger else ()))
        return needs_engine(self._parts.gate, *stages)

    async def run(self, job: Context) -> JsonObject:
        """The verdict, and the certificate of one."""
        gate = self._parts.gate
        subject = await job.in_thread(subject_of, gate, job.params)
        saved = job.checkpoint or {}
        if "result" in saved:
            return await job.in_thread(self._finished, job, subject)
        number = await job.in_thread(self._number, subject)
        terms = terms_of(subject, number)
        open_items = tuple(i for i in subject.dataset.splits["dev"] if i.labelled)
        subjects.check_items(subject, open_items)
        drawn = await job.in_thread(subjects.check_sealed, gate, subject)
        sizes = Counter(item.group for item in open_items)
        every = await self._observed(job, subject, DEV, Drawn(open_items, sizes))
        _check_asked(subject, every, "No look was taken.")
        dev = [each for each in every if each.counts]
        reach = len(drawn.items) / subject.part.groups * len(dev) / max(1, len(every))
        groups, effective = round(subject.part.groups * reach), drawn.effective(terms.weight)
        fixed = await job.in_thread(certifying.plan, dev, terms, groups, subject.noise, effective)
        if isinstance(fixed, Uncertifiable):
            made = _refused(subject, _in_all(fixed, reach), dev)
        else:
            digest = plan_digest(fixed)
            look, number = await job.in_thread(self._look, job, subject, digest)
            seen = await self._observed(job, subject, SEALED, drawn)
            await job.in_thread(self._check_asked, job, subject, look, seen)
            made = await job.in_thread(
                _concluded, self._parts, subject, look, number, fixed, dev, seen, drawn
            )
        await job.in_thread(self._judged, job, made)
        return await job.in_thread(self._finished, job, subject)

    def _number(self, subject: Subject) -> int:
        """The number of the look that is taken now; of the one that was, when resumed."""
        behind = ledgers.spent(self._parts.gate.ledger.looks(subject.part.marks))
        mine = [look for look in behind if look.id == subject.signed.digest]
        return mine[0].number if mine else min(len(behind) + 1, ledgers.LOOKS)

    def _look(self, job: Context, subject: Subject, plan: str) -> tuple[Look, int]:
        """Take the look; found again when the job is resumed."""
        gate, wanted = self._parts.gate, subject.wanted
        look = Look(
            id=subject.signed.digest,
            job=job.id,
            task=wanted.route,
            task_digest=wanted.route_digest,
            dataset=wanted.dataset,
            dataset_digest=wanted.dataset_digest,
            split=wanted.split,
            person=wanted.name,
            alpha_micros=wanted.delta_micros,
            taken_us=gate.clock.wall_us(),
        )

        def record(taken: Look, number: int) -> int:
            fields: dict[str, Json] = {
                "action": "route_look",
                "actor": job.actor,
                "job": job.id,
                "specification": taken.id,
                "person": taken.person,
                "route": taken.task,
                "route_digest": taken.task_digest,
                "dataset": taken.dataset,
                "dataset_digest": taken.dataset_digest,
                "split": taken.split,
                "groups": subject.part.groups,
                "plan_sha256": plan,
                "marks_sha256": ledgers.marks_digest(subject.part.marks),
                "groups_sha256": ledgers.groups_digest(subject.part.marks),
                "look": number,
                "looks": ledgers.LOOKS,
                "share_micros": taken.share_micros,
            }
            return gate.audit.append(Draft("admin", fields)).result()[0].seq

        schedule = wanted.schedule or ledgers.QUARTERS
        taken, number = gate.ledger.take(look, subject.part.marks, record, schedule)
        ledgers.check_open(taken)
        return taken, number

    def _check_asked(
        self, job: Context, subject: Subject, look: Look, seen: Sequence[Observed]
    ) -> None:
        """End a look in which too many items could not be asked: no verdict, no certificate.

        Raises:
            EvaluationRefused: `gate_interrupted`.
        """
        heard = any(each.told or each.larger_told for each in seen)
        verdict = "interrupted" if heard else ledgers.UNSPENT
        counts = "The look counts." if heard else "Nothing was answered: no look was spent."
        try:
            _check_asked(subject, seen, counts)
        except EvaluationRefused:
            self._record_verdict(job, subject, verdict, ledger_verdict=verdict)
            self._parts.gate.ledger.conclude(look.id, verdict, "")
            raise

    def _record_verdict(self, job: Context, subject: Subject, verdict: str, **more: str) -> None:
        """Say in the log how a calibration ended."""
        fields: dict[str, Json] = {
            "action": "route_verdict",
            "actor": job.actor,
            "job": job.id,
            "specification": subject.signed.digest,
            "route": subject.wanted.route,
            "verdict": verdict,
            "reason": "",
            "certificate": "",
            "statement": "",
            **more,
        }
        self._parts.gate.audit.append(Draft("admin", fields)).result()

    async def _observed(
        self, job: Context, subject: Subject, name: str, drawn: Drawn
    ) -> list[Observed]:
        """What the first two stages do with each item; what was seen before a stop is kept.

        Items that a rule keeps from the first stage are kept, too, and not asked. Where too many
        open ones could not be asked, these are asked again: no look was taken then.
        """
        items = drawn.items
        directory = self._parts.gate.directory / str(job.id)
        key = await job.in_thread(key_of, directory, self._parts.gate.kek())
        file = SealedLines(directory / name, key)
        known = {seen.item: seen for seen in map(parse, await job.in_thread(file.read))}
        again = name == DEV and _interruption(subject, known.values()) is not None
        done = [seen for seen in known.values() if not (again and seen.unasked)]
        left = [item for item in items if item.id not in {o.item for o in done}]
        label = f"route-{job.id}-{name.partition('.')[0]}"
        named = partial(alias, key) if name == SEALED else as_it_is
        asker = PADDED if name == SEALED else ASKER
        p_true = subject.route.small.p_true
        stages = self._stages(subject)
        ask = partial(observe, stages, label, p_true=p_true, named=named, asker=asker, patient=True)

        async def one(item: Item) -> Observed:
            if not subjects.reaches(subject, item):
                found = Observed(item.id, item.group, item.time or "", None, False, ruled=True)
            else:
                found = await ask(item)
            return replace(found, size=drawn.sizes[item.group])

        for start in range(0, len(left), _BATCH):
            job.report(name.partition(".")[0], len(done), len(items))
            observing = side_by_side(one, left[start : start + _BATCH], 2)
            fresh = await job.unless_stopped(observing)
            await job.in_thread(file.append, [o.line() for o in fresh])
            done += fresh
        return sorted(done, key=lambda o: o.item)

    def _stages(self, subject: Subject) -> list[tuple[LoadedTask, Inference]]:
        """Each stage that is measured, and what answers for it."""
        gate = self._parts.gate
        found = []
        for stage, loaded in zip(
            (subject.route.small, *subject.route.larger),
            filter(None, (subject.small, subject.larger)),
            strict=False,
        ):
            if stage.kind == "upstream":
                named = subjects.under(loaded, stage.upstream or "")
                found.append((named, gate.inference(self._parts.upstream(stage))))
                continue
            drafts = Drafts({loaded.task.id: loaded})
            found.append((loaded, gate.inference(TaskBackends(gate.backends, drafts))))
        return found

    def _judged(self, job: Context, made: JsonObject) -> None:
        """Keep what was judged; the log names it first."""
        fields: dict[str, Json] = {
            "action": "route_judged",
            "actor": job.actor,
            "job": job.id,
            "checkpoint_sha256": digest(made),
        }
        self._parts.gate.audit.append(Draft("admin", fields)).result()
        job.save(made)

    def _finished(self, job: Context, subject: Subject) -> JsonObject:
        """Keep what was signed, then tell it; each step may be done twice."""
        gate, made = self._parts.gate, job.checkpoint or {}
        result: JsonObject = dict(made["result"])
        OutcomeFiles(gate.directory / str(job.id)).write_report(made["html"])
        verdict, statement = "pass" if result["certificate"] else "underpowered", ""
        if made["statement"]:
            statement = statements.verify(made["statement"].encode(), gate.policy()).id
        self._record_verdict(
            job,
            subject,
            result["verdict"],
            reason=result["reason"],
            certificate=result["certificate"] or "",
            statement=statement,
            ledger_verdict=verdict if statement else "",
        )
        if made["statement"]:
            kept = self._parts.certificates.add(made["statement"].encode(), gate.policy())
            if made.get("replay"):
                self._parts.certificates.keep_replay(kept.id, made["replay"].encode())
            gate.ledger.conclude(subject.signed.digest, verdict, result["certificate"] or "")
            self._parts.changed()
        looks = gate.ledger.looks(subject.part.marks)
        left = ledgers.remaining(looks, subject.seal.schedule, subject.wanted.route_digest)
        return {**result, "looks": len(looks), "looks_left": len(left)}


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
    """What the first stage, and a second one, do with one item.

    Args:
        label: names the requests in the log.
        p_true: whether the first is asked, too, whether its answer is right.
        named: an item's id as the log has it.
        asker: who asks, for the log.
        patient: whether a stage that is away after all tries is told, and does not end it all.
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
            decisions=not number,
            p_true=p_true and not number,
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


def _check_asked(subject: Subject, seen: Sequence[Observed], counts: str) -> None:
    """End what too many items could not be asked for.

    Args:
        counts: whether a look was spent, as a sentence.

    Raises:
        EvaluationRefused: `gate_interrupted`.
    """
    if (found := _interruption(subject, seen)) is not None:
        raise EvaluationRefused("gate_interrupted", f"{found[1]} {counts}")


def _interruption(subject: Subject, seen: Iterable[Observed]) -> tuple[bool, str] | None:
    """As `interruption`, of the items that no rule keeps from the first stage."""
    asked_for = [each for each in seen if not each.ruled]
    lost = {subject.wanted.route: sum(bool(each.unasked) for each in asked_for)}
    return interruption(lost, len(asked_for))


def replayed(seen: Observed, function: Confidence, threshold: int, *, larger: bool) -> list[Json]:
    """What another engine must do again with an item: digests of answers, and what is accepted.

    Args:
        larger: whether the second stage is computed here, too.
    """
    accepted = "accepted" if seen.score(function) >= threshold else "in doubt"
    return [seen.told, accepted, seen.larger_told if larger else ""]


def _replay(subject: Subject, plan: Plan, threshold: int | None, dev: Sequence[Observed]) -> str:
    """The same of open items as JSON, by their ids; "" where nothing is certified."""
    if threshold is None:
        return ""
    stage = next(iter(subject.route.larger), None)
    larger = stage is not None and stage.kind == "task"
    ordered = sorted(dev, key=lambda o: hashlib.sha256(o.item.encode()).digest())
    found = {
        each.item: replayed(each, plan.function, threshold, larger=larger)
        for each in ordered[: replay.ITEMS]
    }
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


def terms_of(subject: Subject, number: int) -> Terms:
    """The terms of one look, by its number."""
    wanted = subject.wanted
    return Terms(
        wanted.error_micros / MILLION,
        wanted.delta_micros / MILLION * wanted.share(number),
        wanted.margin_micros / MILLION,
        subject.company,
        wanted.weight or "groups",
    )


def plan_digest(plan: Plan) -> str:
    """Hex SHA-256 of what is fixed before the look."""
    fixed = {
        "function": plan.function.document(),
        "thresholds": list(plan.thresholds),
        "doubtful": plan.doubtful,
    }
    return hashlib.sha256(strict_json.dump(fixed)).hexdigest()


def parse(line: bytes) -> Observed:
    """Read a line. Raises EvaluationRefused (`outcomes_invalid`)."""
    try:
        seen = msgspec.json.decode(line, type=Observed)
    except msgspec.MsgspecError as error:
        raise EvaluationRefused("outcomes_invalid", f"Outcomes cannot be used: {error}.") from error
    if seen.features is not None and not confidence.names_of(seen.features):
        raise EvaluationRefused(
            "outcomes_invalid", "Outcomes cannot be used: another version wrote their features."
        )
    return seen


def found_of(
    plan: Plan, verdict: Verdict, terms: Terms, seen: Sequence[Observed], drawn: Drawn
) -> Found:
    """What the certificate says: shares of the sealed split outward to the point."""
    reach = sum(not each.ruled for each in seen) / len(seen)
    low = None
    if verdict.difference is not None:
        low = _outward(verdict.difference[1], math.floor)
        if verdict.certified:  # rounding outward must not contradict what was shown
            low = max(low, 1 - round(terms.margin * MILLION))
    limit = min(MILLION, _outward(verdict.limit, math.ceil))
    if verdict.certified:
        limit = min(limit, round(terms.error * MILLION))
    return Found(
        reason=verdict.reason,
        threshold_micros=verdict.threshold,
        coverage_micros=_outward(verdict.coverage, round),
        limit_micros=limit,
        groups=verdict.groups,
        groups_needed=verdict.needed and verdict.needed.likely,
        function=plan.function.document(),
        doubtful=plan.doubtful,
        low_micros=low,
        merkle_root=pairs.root(sorted(seen, key=lambda o: o.item)),
        reach_micros=_outward(reach, round),
        interval="" if verdict.difference is None else "tango",
        company=terms.company,
        thresholds=plan.thresholds,
        effective=math.floor(drawn.effective(terms.weight)),
        largest=max(drawn.sizes.values()) if terms.weight == "answers" else 0,
        unasked=sum(bool(each.unasked) for each in seen),
    )


def _outward(share: float, toward: Callable[[float], int]) -> int:
    return toward(share * MILLION / COARSE) * COARSE


_V = TypeVar("_V", Uncertifiable, Verdict)


def _in_all(found: _V, reach: float) -> _V:
    """A verdict on the groups that count, with the groups needed in all."""
    if found.needed is None or not reach:
        return replace(found, needed=None)
    low, likely, high = found.needed
    scaled = GroupsNeeded(
        math.ceil(low / reach), math.ceil(likely / reach), high and math.ceil(high / reach)
    )
    return replace(found, needed=scaled)


def _more(subject: Subject, needed: GroupsNeeded | None) -> str:
    """How many groups are missing, in words; "" where no number is known to help."""
    if needed is None or needed.likely <= subject.part.groups:
        return ""
    low = max(1, needed.low - subject.part.groups)
    if needed.high is None:
        return f"At least {low} more independent groups may do."
    return f"{low} to {needed.high - subject.part.groups} more independent groups may do."


def _told(needed: GroupsNeeded | None) -> dict[str, Any]:
    if needed is None:
        return {"groups_needed": None, "groups_needed_range": None}
    return {
        "groups_needed": needed.likely,
        "groups_needed_range": [needed.low, needed.high],
    }


def _refused(subject: Subject, why: Uncertifiable, dev: Sequence[Observed]) -> JsonObject:
    """What is told where no look was taken."""
    wanted = subject.wanted
    result = {
        **_result(subject),
        "reason": why.reason,
        "groups": subject.part.groups,
        **_told(why.needed),
        "reach": None,
        "effective": None,
        "answer": report.sentence(
            why.reason, why.message, subject.part.groups, _more(subject, why.needed)
        ),
        "doubtful": None,
        "origins": [],
        "difference": None,
        "avoided": None,
        "ablation": {},
        "curve": [],
    }
    told = report.Told(wanted, result, "none", {"dev": str(len(dev))})
    return {"result": result, "statement": "", "html": render(report.page(told))}


def _result(subject: Subject) -> JsonObject:
    wanted = subject.wanted
    return {
        "verdict": "not_certifiable",
        "route": wanted.route,
        "alpha": wanted.error_micros / MILLION,
        "delta": wanted.delta_micros / MILLION,
        "margin": wanted.margin_micros / MILLION,
        "threshold": None,
        "coverage": 0.0,
        "certificate": None,
        "small": wanted.small,
        "larger": wanted.larger or None,
        "noise": round(subject.noise, 4),
        "unclaimed": sorted(unclaimed(subject.route)),
        "company": subject.company,
        "weight": wanted.weight or "groups",
        "group_from": subject.route.group_from,
    }


def _concluded(
    parts: CalibrationParts,
    subject: Subject,
    look: Look,
    number: int,
    plan: Plan,
    dev: Sequence[Observed],
    seen: Sequence[Observed],
    drawn: Drawn,
) -> JsonObject:
    """Judge, sign and write the page: what the job keeps before anything of it is told."""
    gate, wanted, terms = parts.gate, subject.wanted, terms_of(subject, number)
    past = certifying.drawn(dev, wanted.seed, terms.weight)
    whole = wanted.delta_micros / MILLION
    counting = [each for each in seen if each.counts]
    verdict = certifying.judge(plan, counting, past, terms, whole)
    verdict = _in_all(verdict, len(counting) / subject.part.groups)
    found = found_of(plan, verdict, terms, seen, drawn)
    now = gate.clock.wall_us()
    needs_model = bool(subject.small.task.candidate.model)
    larger = next(iter(subject.route.larger), None)
    claimed = larger is not None and larger.kind == "upstream"
    again = _replay(subject, plan, verdict.threshold, dev)
    at = Circumstances(
        engine=gate.store.evaluations.engine if needs_model else "",
        identity="claimed" if claimed else "attested",
        look=number,
        log=gate.log,
        entry=look.entry,
        issued_us=now,
        valid_until_us=now + VALID_DAYS * _DAY_US,
        replay=hashlib.sha256(again.encode()).hexdigest() if again else "",
    )
    statement = statements.certify(subject.signed, found, at, gate.evidence())
    certificate = statements.verify(statement, gate.policy()).id
    curve = certifying.curve(plan.function, dev, terms.weight)
    result = {
        **_result(subject),
        "verdict": "certified" if verdict.certified else "not_certifiable",
        "reason": verdict.reason,
        "groups": verdict.groups,
        **_told(verdict.needed),
        "threshold": None if verdict.threshold is None else verdict.threshold / MILLION,
        "coverage": found.coverage_micros / MILLION,
        "reach": (found.reach_micros or 0) / MILLION,
        "effective": found.effective,
        "unasked": found.unasked,
        "limit": found.limit_micros / MILLION,
        "certificate": certificate if verdict.certified else None,
        "doubtful": plan.doubtful,
        "difference": verdict.difference and [round(v, 2) for v in verdict.difference],
        "avoided": verdict.avoided and [round(v, 3) for v in verdict.avoided],
        "origins": [
            {**o._asdict(), "share": o.share and round(o.share, 3), "limit": round(o.limit, 3)}
            for o in verdict.origins
        ],
        "ablation": {name: round(value, 5) for name, value in plan.areas.items()},
        "curve": [[round(v, 6) for v in point] for point in curve],
        "dev_error": round(plan.error, 4),
    }
    figures = report.figures(verdict, terms.weight)
    result["answer"] = report.sentence(
        verdict.reason, figures, verdict.groups, _more(subject, verdict.needed), result["alpha"]
    )
    made_of = {
        "route": wanted.route_digest,
        f"first stage {wanted.small}": wanted.small_digest,
        f"second stage {wanted.larger or 'none'}": wanted.larger_digest or "none",
        "dataset": wanted.dataset_digest,
        "specification": subject.signed.digest,
        "outcomes": found.merkle_root,
        "engine": at.engine or "none",
        "identity": at.identity,
        "look": f"{number} of {wanted.looks}, entry {at.entry} of {at.log}",
    }
    year = parts.certificates.certified_since(now - VALID_DAYS * _DAY_US, gate.policy())
    deltas = [each.wanted.delta_micros for each in year]
    if verdict.certified:
        deltas.append(wanted.delta_micros)
    told = report.Told(wanted, result, iso(now), made_of, tuple(deltas))
    return {
        "result": result,
        "statement": statement.decode(),
        "replay": again,
        "html": render(report.page(told)),
    }
