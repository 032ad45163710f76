"""Routes of the gate: keys for seals, terms of specifications, the ledger, certificates, outcomes.

Rules: no route reads a sealed split; outcomes leave to an admin only, after that is recorded.
"""

import asyncio
import base64
import contextlib
import os
import secrets
from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from appliance.api.admin.deps import JobId, PersonDep, Routes, ServicesDep
from appliance.app import Services
from appliance.audit import content
from appliance.audit.appending import append
from appliance.audit.entry import Draft
from appliance.audit.files import LogFiles
from appliance.clock import iso
from appliance.datasets import directory as datasets
from appliance.datasets import ledger as ledgers
from appliance.datasets import sealing
from appliance.datasets.marks import SplitMarks
from appliance.datasets.sealing import Seal
from appliance.errors import PolicyRefused, Refused, StateRefused
from appliance.evals import gate_outcomes, gate_subject, judging, pairs
from appliance.evals.job import DIRECTORY
from appliance.facts import DatasetFacts, TaskFacts
from appliance.looks.answers import Lined
from appliance.registry import keeping
from appliance.routing import outcomes as route_outcomes
from appliance.routing.calibration import SEALED
from appliance.tasks import catalogue
from appliance.trust.bytes import ecdsa, evidence
from appliance.trust.policy.policy_file import marks_key
from appliance.trust.statements import evaluation
from appliance.wire.admin import gates as wire

router = Routes()


@router.serves(wire.SEALING_KEY)
async def sealing_key(person: PersonDep, services: ServicesDep) -> wire.SealingKey:
    """A fresh key for one seal."""
    kek = LogFiles(services.data / "audit").key_encryption_key()
    key, name = os.urandom(content.KEY_BYTES), secrets.token_hex(16)
    wrapped = content.wrap(kek, sealing.key_id(name), key)
    await append(services.audit, Draft.deed("sealing_key", person.actor, seal=name))
    return wire.SealingKey(
        id=name,
        key=base64.b64encode(key).decode(),
        wrapped=wrapped.hex(),
        kek=content.kek_name(kek),
        marks=base64.b64encode(marks_key(services.data / "trust")).decode(),
    )


@router.serves(wire.SPLIT_KNOWN)
def known(services: ServicesDep, told: wire.Marks) -> wire.Known:
    """Which looks a split inherits, and which of its items other looks saw."""
    marks = SplitMarks(frozenset(told.names), frozenset(told.contents), tuple(told.items))
    looks = ledgers.spent(services.ledger.looks(marks))
    return wire.Known(looks=len(looks), items=services.ledger.known(marks))


@router.serves(wire.GATE_PLAN)
def plan(services: ServicesDep, wanted: wire.PlanWanted) -> wire.Plan:
    """The terms of a specification, from what is stored."""
    inventory = services.store.inventory
    task, data = inventory.record_of(wanted.task, TaskFacts), inventory.record(wanted.dataset)
    if task is None or task.digest is None:
        raise StateRefused("artifact_kind", f"{wanted.task} is no task that was verified.")
    facts = task.facts
    if facts.margin_micros is None:
        raise StateRefused(
            "wrong_state", f"{wanted.task} was imported by an older version; import it again."
        )
    seal = seal_of(services, wanted.dataset)
    part = seal.parts.get(wanted.split)
    if part is None or data.digest is None:
        raise StateRefused("dataset_not_sealed", f"{wanted.dataset} has no sealed {wanted.split}.")
    incumbent = wanted.incumbent or gate_subject.baseline_of(facts)
    digest = ""
    if incumbent not in gate_subject.BASELINES:
        digest = inventory.record(incumbent).digest or ""
    looks = services.ledger.looks(part.marks)
    with inventory.open(task.id) as artifact:
        definition = catalogue.read_artifact(artifact).task
    rest = ledgers.remaining(looks, seal.schedule, task.digest, definition.id, definition.version)
    schedule = ledgers.schedule(looks, seal.schedule)
    return wire.Plan.told_by(
        facts,
        task=task.id,
        task_digest=task.digest,
        dataset=data.id,
        dataset_digest=data.digest,
        split=wanted.split,
        alpha_micros=facts.alpha_micros or 0,
        floor_micros=facts.floor_micros or 0,
        looks=ledgers.LOOKS,
        looks_left=len(rest),
        schedule=[] if schedule == ledgers.QUARTERS else list(schedule),
        incumbent=incumbent,
        incumbent_digest=digest,
        groups=part.groups,
        items=part.items,
    )


@router.serves(wire.LEDGERS)
def ledgers_(services: ServicesDep) -> wire.LedgerList:
    """The looks at the sealed splits of all stored datasets."""
    found = []
    for record in services.store.inventory.records_of(DatasetFacts):
        if record.facts.sealed:
            with contextlib.suppress(Refused):  # its files are not here, or are none of ours
                found.append(_ledger(services, record.id))
    return wire.LedgerList(ledgers=sorted(found, key=lambda each: each.dataset))


@router.serves(wire.LEDGER)
def ledger(services: ServicesDep, dataset: str) -> wire.Ledger:
    """The looks at the sealed splits of a stored dataset."""
    return _ledger(services, dataset)


def _ledger(services: Services, dataset: str) -> wire.Ledger:
    splits = []
    seal = seal_of(services, dataset)
    for name, part in sorted(seal.parts.items()):
        looks = services.ledger.looks(part.marks)
        rows = [
            wire.LookTold.model_validate({**vars(look), "taken": iso(look.taken_us)})
            for look in looks
        ]
        passed = ledgers.holder(looks)
        splits.append(
            wire.LedgerSplit(
                split=name,
                groups=part.groups,
                left=len(ledgers.remaining(looks, seal.schedule, *ledgers.own(passed))),
                only=passed.task if passed else "",
                looks=rows,
            )
        )
    return wire.Ledger(dataset=dataset, splits=splits)


def seal_of(services: Services, dataset: str) -> Seal:
    """The seal of a stored dataset."""
    with services.store.inventory.open(dataset) as artifact:
        if datasets.FILE not in artifact.sizes or sealing.FILE not in artifact.sizes:
            raise StateRefused("dataset_not_sealed", f"{dataset} is no sealed dataset.")
        return sealing.parse(artifact.prefix(sealing.FILE, sealing.MAX_SEAL + 1))


@router.serves(wire.EVIDENCE_KEY)
def evidence_key(services: ServicesDep) -> wire.EvidenceKey:
    """The public key with which evaluations are signed."""
    public = evidence.ensure(services.data).public_key()
    hint, listed = ecdsa.hint(public), True
    try:
        services.policy().evaluator(hint)
    except PolicyRefused:
        listed = False
    return wire.EvidenceKey(hint=hint, pem=ecdsa.public_pem(public).decode(), listed=listed)


@router.serves(wire.CERTIFICATES)
def certificates(services: ServicesDep, doubtful: bool = False) -> wire.CertificateList:
    """The certificates that are kept here; of the doubtful ones only, with today's verdict."""
    found = [_shown(services, envelope) for _, envelope in services.store.evaluations.all()]
    kept = [each for each in found if each is not None and (not doubtful or each.doubtful)]
    told = [
        each.model_copy(
            update={"envelope": "", "today": _today(services, each) if doubtful else ""}
        )
        for each in kept
    ]
    return wire.CertificateList(certificates=told + (_unbounded(services) if doubtful else []))


def _unbounded(services: Services) -> list[wire.Certificate]:
    """Certificates of routes that an older version carried over, without a bound of the change."""
    kept, policy = services.routes.certificates, services.policy()
    found = []
    for each in kept.holding(policy):
        if not each.doubtful:
            continue
        why, wanted, at = "", each.wanted, each.circumstances
        try:
            kept.check(each, wanted.route_digest, {}, policy)
        except Refused as error:
            why = error.code
        told = wire.Certificate(
            id=each.id,
            task=wanted.route,
            task_digest=wanted.route_digest,
            dataset=wanted.dataset,
            verdict="certified",
            metric="",
            incumbent=wanted.larger,
            groups=each.found.groups,
            interval=each.found.interval,
            doubtful=True,
            issued=iso(at.issued_us),
            valid_until=iso(at.valid_until_us),
            usable=not why,
            why=why,
            today="change not bounded",
        )
        found.append(told)
    return found


def _today(services: Services, shown: wire.Certificate) -> str:
    found = evaluation.verify(shown.envelope.encode(), services.policy())
    look = services.ledger.of_certificate(found.circumstances.carried_from or found.id)
    if look is None:
        return ""
    kek = LogFiles(services.data / "audit").key_encryption_key()
    try:
        outcomes = gate_outcomes.read_pairs(services.data / DIRECTORY, look.job, kek)
    except Refused:  # they are not here any more, or another appliance wrote them
        return ""
    number = found.circumstances.look
    return judging.judge(found.wanted, outcomes, found.found.packs, look=number).verdict


@router.serves(wire.CERTIFICATE)
def certificate(services: ServicesDep, certificate_id: str) -> wire.Certificate:
    """One certificate with its envelope."""
    envelope = services.store.evaluations.envelope(certificate_id)
    evaluation.verify(envelope, services.policy())
    shown = _shown(services, envelope)
    if shown is None:
        raise PolicyRefused("evaluation_missing", f"There is no certificate {certificate_id}.")
    return shown


@router.serves(wire.CERTIFICATE_KEEP)
def keep_certificate(
    person: PersonDep, services: ServicesDep, upload: wire.CertificateUpload
) -> wire.Certificate:
    """Verify a certificate that came from elsewhere, and keep it."""
    envelope = upload.envelope.encode()
    found = keeping.keep_certificate(
        services.store,
        services.trust.freshness,
        lambda draft: services.audit.append(draft).result(),
        person.actor,
        envelope,
        services.policy(),
    )
    shown = _shown(services, envelope)
    if shown is None:
        raise PolicyRefused("evaluation_missing", f"There is no certificate {found.id}.")
    return shown


def _shown(services: Services, envelope: bytes) -> wire.Certificate | None:
    policy, evaluations = services.policy(), services.store.evaluations
    try:
        found = evaluation.verify(envelope, policy)
    except Refused:
        return None
    why, digest = "", found.wanted.task_digest
    records = services.store.inventory.records_of(TaskFacts)
    facts = next((r.facts for r in records if r.digest == digest), None)
    if facts is None:
        why = "task_missing"
    else:
        engine, now = evaluations.engine, evaluations.now_us()
        try:
            evaluation.check_use(found, digest, facts, engine, now, policy, new=True)
        except Refused as error:
            why = error.code
    return wire.Certificate.told_by(
        found.wanted,
        id=found.id,
        verdict=found.found.verdict,
        groups=found.found.groups,
        interval=found.found.interval,
        doubtful=found.doubtful,
        issued=iso(found.circumstances.issued_us),
        valid_until=iso(found.circumstances.valid_until_us),
        usable=not why,
        why=why,
        envelope=envelope.decode(),
    )


@router.serves(wire.OUTCOMES)
async def outcomes(
    person: PersonDep,
    services: ServicesDep,
    job_id: JobId,
    item: Annotated[str | None, Query(max_length=1_000)] = None,
    end_looks: bool = False,
) -> wire.Outcomes:
    """The outcomes of a gate or a calibration; of one item with the proof that it is one of them.

    They end the looks that the split has left, so that this has to be asked for.
    """
    looks, own = services.ledger.beside(job_id)
    if own is not None and not end_looks:
        rest = ledgers.remaining(looks, ledgers.FALLING, own.task_digest, own.name, own.version)
        if rest:
            raise StateRefused(
                "looks_would_end",
                f"{own.split} of {own.dataset} has {len(rest)} looks left; this ends them.",
            )
    found = await asyncio.to_thread(_outcomes, services, job_id, own)
    proof = None if item is None else pairs.proof(found, item)
    deed = Draft.deed(
        "outcomes_read",
        person.actor,
        job=job_id,
        item=item,
        items=len(found) if item is None else 1,
        **{} if own is None else {"look": own.id},
    )
    await append(services.audit, deed)
    services.ledger.export(job_id)
    if proof is not None:
        return wire.Outcomes(lines=[str(proof["line"])], proof=proof)
    return wire.Outcomes(lines=[each.line().decode() for each in found])


def _outcomes(services: Services, job_id: int, look: ledgers.LedgerLook | None) -> Sequence[Lined]:
    kek = LogFiles(services.data / "audit").key_encryption_key()
    directory = services.data / DIRECTORY
    if look is not None and (directory / str(job_id) / SEALED).exists():
        return route_outcomes.read(directory, look, kek)
    return gate_outcomes.read_pairs(directory, job_id, kek)
