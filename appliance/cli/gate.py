"""`eval gate` and what goes with it: the ledger, certificates, the auditor's outcomes.

Rules: the specification is signed here, and the private key stays here; a person sees the terms
before the look is taken; no command reads a sealed split.
"""

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import click
from msgspec.structs import replace

from appliance.cli.connect import admin_client, connected
from appliance.cli.job import run_job, wait_option
from appliance.cli.output import (
    FILE,
    OUT,
    Output,
    json_option,
    prints,
    prints_of_dataset,
    safe,
    table,
    write_new,
)
from appliance.cli.signing import signer_options
from appliance.client import AdminClient
from appliance.clock import SystemClock, iso
from appliance.errors import EvaluationRefused, PolicyRefused
from appliance.evals import judging, pairs
from appliance.evals.gate_report import called
from appliance.evals.gate_subject import check_floor
from appliance.routing import certifying
from appliance.routing.route_findings import check_outcomes
from appliance.text import many, percent
from appliance.trust.bytes import ecdsa
from appliance.trust.policy.policy import PolicyKey
from appliance.trust.statements import evaluation, route, specification
from appliance.trust.statements.evaluation import Evaluation
from appliance.trust.statements.specification import MILLION, Specification
from appliance.wire.admin import gates as wire
from appliance.wire.admin.gates import Ledger, Plan, PlanWanted
from appliance.wire.admin.jobs import Job
from appliance.wire.admin.results import CertificateCarried, GateResult

KIND: Final = "gate"
Evaluator: TypeAlias = Callable[[str], PolicyKey]


@click.command()
@click.argument("task", metavar="TASK")
@click.option("--data", "dataset", metavar="DATASET", required=True, help="Id of the dataset.")
@signer_options("Signer of the specification.")
@click.option("--split", type=click.Choice(["test", "certify"]), default="test",
              show_default=True, help="The sealed split that is opened.")  # fmt: skip
@click.option(
    "--incumbent", metavar="NAME",
    help="Compare with this. A task, majority, logistic regression, or none; by "
         "default what the task declares.",
)  # fmt: skip
@click.option("--margin", type=click.FloatRange(0, 1, min_open=True, max_open=True),
              help="Stricter than the task's.")  # fmt: skip
@click.option("--alpha", type=click.FloatRange(0, 0.2, min_open=True),
              help="Stricter than the task's; over all looks.")  # fmt: skip
@click.option("--floor", "floors", multiple=True, metavar="[STRATUM=]SHARE",
              help="Least value of the metric. Of the whole or of a stratum.")  # fmt: skip
@click.option("--pack", "packs", multiple=True, metavar="NAME=SHARE",
              help="Least share of a pack. Of general or refusals; the model by itself must get"
                   " it right.")  # fmt: skip
@click.option("--one-per-group", is_flag=True, help="One random item of each group: faster.")
@click.option("--label-where-different", "blind", is_flag=True,
              help="On sealed unlabelled items. People label where the two differ.")  # fmt: skip
@click.option("--rater", "raters", multiple=True, metavar="NAME",
              help="User on this host who labels them; give two.")  # fmt: skip
@wait_option
@prints_of_dataset
def gate(
    output: Output,
    /,
    task: str,
    dataset: str,
    key: ecdsa.SigningKey,
    data: Path,
    wait: bool,
    **given: Any,
) -> None:
    """Judge a task on a sealed split, once.

    The verdict is pass, fail or underpowered.
    """
    floors = _floors(given["floors"])
    packs = _floors(given["packs"])
    if "" in packs:
        raise click.UsageError("A pack is NAME=SHARE.")
    if given["blind"] != bool(given["raters"]):
        raise click.UsageError("--label-where-different names two people, each with --rater.")
    if given["blind"]:
        given["split"] = specification.UNLABELLED
    asked = PlanWanted.of(
        task=task, dataset=dataset, split=given["split"], incumbent=given["incumbent"]
    )
    with admin_client(data, needs_server=True) as client:
        plan = client.call(wire.GATE_PLAN, asked)
        wanted = _specification(plan, floors, packs, given)
        found = run_job(output, client, KIND, signed(output, wanted, plan, key), wait=wait)
    tell(output, found)
    result = found.came_to(GateResult)
    output.require(found.state == "done" and result is not None and result.verdict == "pass")


def signed(
    output: Output, wanted: Specification, plan: Plan, private: ecdsa.SigningKey
) -> dict[str, str]:
    """Show the terms and sign them; the parameters of the job.

    Raises:
        PolicyRefused: `floor_missing`, before anything is signed.
    """
    check_floor(wanted)
    for line in _terms(wanted, plan):
        output.note(line)
    return {"specification": wanted.sign(private).decode()}


def _floors(given: tuple[str, ...]) -> dict[str, int]:
    floors = {}
    for text in given:
        stratum, _, share = text.rpartition("=")
        try:
            floors[stratum] = round(float(share) * MILLION)
        except ValueError as error:
            raise click.UsageError(f"{text!r} is not NAME=SHARE.") from error
    return floors


def _specification(
    plan: Plan, floors: dict[str, int], packs: dict[str, int], given: dict[str, Any]
) -> Specification:
    margin, alpha = given["margin"], given["alpha"]
    wanted = declared(plan, given["person"])
    return replace(
        wanted,
        margin_micros=wanted.margin_micros if margin is None else round(margin * MILLION),
        alpha_micros=wanted.alpha_micros if alpha is None else round(alpha * MILLION),
        floors={**wanted.floors, **floors},
        packs=packs,
        items="one" if given["one_per_group"] else "all",
        raters=tuple(given["raters"]),
    )


def declared(plan: Plan, person: str) -> Specification:
    """The declared terms, for a person to sign."""
    left_out = {"floor_micros", "looks_left", "groups", "items"}
    return Specification(
        **(plan.model_dump(exclude=left_out) | {"schedule": tuple(plan.schedule)}),
        floors={"": plan.floor_micros} if plan.floor_micros else {},
        seed=secrets.token_hex(16),
        name=person,
        time=iso(SystemClock().wall_us()),
    )


def _terms(wanted: Specification, plan: Plan) -> list[str]:
    floors = ", ".join(
        f"{safe(name) or 'the whole'} {percent(floor / MILLION)}"
        for name, floor in wanted.floors.items()
    )
    shares = f" as {' + '.join(f'{s / MILLION:g}' for s in wanted.schedule)}" * bool(
        wanted.schedule
    )
    packs = ", ".join(
        f"{safe(name)} {percent(floor / MILLION)}" for name, floor in wanted.packs.items()
    )
    return [
        f"{safe(wanted.name)} specifies: {safe(wanted.task)} {wanted.task_digest[:16]} is not "
        f"worse than {safe(called(wanted.incumbent))} by "
        f"{percent(wanted.margin_micros / MILLION)} of {wanted.metric}",
        f"  on {safe(wanted.dataset)}, {wanted.split}: {many(plan.groups, 'group')}, "
        f"{many(plan.items, 'item')}",
        f"  alpha {wanted.alpha_micros / MILLION:g} over {many(wanted.looks, 'look')}{shares}, "
        f"{plan.looks_left} left; floors: {floors or 'none'}; packs: {packs or 'none'}",
        *(
            [f"  {' and '.join(map(safe, wanted.raters))} label, blind, where the two differ"]
            if wanted.raters
            else []
        ),
    ]


def summary(job: Job) -> tuple[str, str, str]:
    """Verdict, interval in points and looks left; "-" for none."""
    if (result := job.came_to(GateResult)) is None:
        return "-", "-", "-"
    low, high = result.interval
    interval = f"{low * 100:+.0f} to {high * 100:+.0f}"
    return result.verdict, interval, str(result.looks_left)


def tell(output: Output, found: Job) -> None:
    """Show the verdict of a gate, and how it came to be."""
    result = found.came_to(GateResult)
    if result is None:
        return output.unfinished(found)
    low, high = result.interval
    advice = result.advice
    lines = [
        safe(result.answer),
        f"logistic regression reaches {percent(advice)} on these items (advice)"
        if advice is not None
        else "no classifier is compared",
        f"difference {result.difference * 100:+.0f} points, {low * 100:+.0f} to "
        f"{high * 100:+.0f}; margin {result.margin * 100:g}; {many(result.groups, 'group')}",
        *(
            f"pack {safe(name)}: {told.right} of {told.items} right, {told.verdict}"
            for name, told in result.packs.items()
        ),
        *(
            [f"both agree on {many(result.agreed, 'item')}, which nobody labelled"]
            if result.agreed
            else []
        ),
        f"looks taken {result.looks}, left {result.looks_left}",
    ]
    if result.certificate:
        lines.append(f"certificate {result.certificate}")
    output.data({"id": found.id, "state": found.state, **found.told}, lines)
    output.note(f"  appliance eval report {found.id} --out report.html")


@click.command()
@click.argument("dataset", metavar="[DATASET]", required=False)
@connected()
def ledger(output: Output, client: AdminClient, dataset: str | None) -> None:
    """List the looks at sealed splits.

    Inherited ones, too, and what is left. Without DATASET of all sealed datasets.
    """
    if dataset is not None:
        found = client.call(wire.LEDGER, dataset=dataset)
        output.data(found, _ledger(found))
        return
    every = client.call(wire.LEDGERS)
    lines = []
    for each in every.ledgers:
        lines += [f"{safe(each.dataset)}, {line}" for line in _ledger(each)]
    output.data(
        every, lines or ["No dataset is sealed. Seal one with `appliance dataset seal DIR`."]
    )


def _ledger(found: Ledger) -> list[str]:
    lines = []
    for part in found.splits:
        only = f", for {safe(part.only)} alone, which passed" if part.only else ""
        lines.append(
            f"{part.split}: {many(part.groups, 'group')}, {many(part.left, 'look')} left{only}"
        )
        rows = [
            (
                look.taken,
                safe(look.task),
                safe(look.dataset),
                safe(look.person),
                safe(look.verdict) or "under way",
                str(look.job),
            )
            for look in part.looks
        ]
        if rows:
            lines += table(("TAKEN", "TASK", "DATASET", "BY", "VERDICT", "JOB"), rows)
    return lines


@click.command("key")
@connected()
def key_(output: Output, client: AdminClient) -> None:
    """Print the key that signs certificates.

    It is the public key of this appliance's evaluations.
    """
    found = client.call(wire.EVIDENCE_KEY)
    listed = "listed" if found.listed else "not listed: the security officer adds it"
    output.data(found, [*found.pem.splitlines(), f"{found.hint}: {listed} as evaluator"])


@click.command()
@click.option("--doubtful", is_flag=True,
              help="Only those that promise too much. With today's verdict.")  # fmt: skip
@connected()
def certificates(output: Output, client: AdminClient, doubtful: bool) -> None:
    """List the certificates that are kept here."""
    found = client.call(wire.CERTIFICATES, doubtful=doubtful)
    rows = [
        (
            c.id[:16],
            safe(c.task),
            c.verdict,
            *((str(c.groups), c.today or "outcomes not here") if doubtful else ()),
            c.valid_until,
            "yes" if c.usable else c.why,
        )
        for c in found.certificates
    ]
    none = "No certificates. Make one with `appliance eval gate TASK`."
    if doubtful:
        none = (
            "No certificate is doubtful: each names its interval, and bounds the engine's change."
        )
    more = ("GROUPS", "TODAY") if doubtful else ()
    head = ("ID", "TASK", "VERDICT", *more, "VALID UNTIL", "USABLE")
    output.data(found, table(head, rows) if rows else [none])


@click.command()
@click.argument("certificate_id", metavar="ID")
@click.option("--out", type=OUT, required=True, help="The file to write.")
@connected()
def export(output: Output, client: AdminClient, certificate_id: str, out: Path) -> None:
    """Write a certificate to a file.

    It goes with its task to another appliance.
    """
    found = client.call(wire.CERTIFICATE, certificate_id=certificate_id)
    write_new(out, found.envelope)
    output.data({"certificate": found.id, "file": str(out)}, [f"wrote {safe(str(out))}"])


@click.command("import")
@click.argument("path", metavar="FILE", type=FILE)
@prints
def import_(output: Output, data: Path, path: Path) -> None:
    """Import a certificate from elsewhere.

    Another appliance signed it.
    """
    envelope = path.read_bytes()[: Evaluation.LIMIT + 1]
    with admin_client(data) as client:
        found = client.call(
            wire.CERTIFICATE_KEEP,
            wire.CertificateUpload.of(envelope=envelope.decode(errors="replace")),
        )
    usable = "usable" if found.usable else f"not usable now: {found.why}"
    output.data(found, [f"{found.id} {found.verdict} for {safe(found.task)}: {usable}"])


@click.command()
@click.argument("job_id", metavar="ID", type=click.IntRange(1))
@click.option("--item", metavar="ITEM", help="Of this item only, with its proof.")
@click.option("--end-looks", is_flag=True, help="Even though the split has looks left.")
@click.option("--out", type=OUT, required=True, help="The file to write.")
@connected()
def outcomes(
    output: Output, client: AdminClient, job_id: int, item: str | None, end_looks: bool, out: Path
) -> None:
    """Write outcomes for an auditor.

    Of a gate or calibration; the reading is recorded. Exporting ends the split's remaining looks;
    the command says so first.
    """
    found = client.call(wire.OUTCOMES, job_id=job_id, item=item, end_looks=end_looks)
    if found.proof is not None:
        write_new(out, json.dumps(found.proof, sort_keys=True) + "\n")
    else:
        write_new(out, "".join(line + "\n" for line in found.lines))
    output.data({"file": str(out), "items": len(found.lines)}, [f"wrote {safe(str(out))}"])


@click.command()
@click.argument("path", metavar="CERTIFICATE", type=FILE)
@click.option("--key", type=FILE, required=True, help="The evaluator's public key, PEM.")
@click.option("--outcomes", "lines", type=FILE, help="The outcomes, to judge again.")
@click.option("--task", metavar="HEX", help="Digest of the task or route it is for.")
@json_option
@click.pass_obj
def verify(output: Output, path: Path, key: Path, lines: Path | None, task: str | None) -> None:
    """Check a certificate, offline.

    Of a task or a route; with outcomes it judges them again.
    """
    public = ecdsa.load_public(key.read_bytes())
    hint = ecdsa.hint(public)

    def evaluator(signer: str) -> PolicyKey:
        if signer != hint:
            raise PolicyRefused("evaluator_not_allowed", f"Key {signer} signed it.")
        return PolicyKey(hint, "evaluator", public)

    envelope = path.read_bytes()[: Evaluation.LIMIT + 1]
    judge = _route_judged if _is_route(envelope) else _gate_judged
    checked = "outcomes judged again" if lines is not None else "outcomes not seen"
    told = judge(envelope, evaluator, task, None if lines is None else _lines(lines))
    output.data(
        {**told, "outcomes": lines is not None},
        [f"certificate holds: {told['verdict']}, {checked}"],
    )


def _is_route(envelope: bytes) -> bool:
    try:
        route.Calibrated.open(envelope)
    except PolicyRefused:
        return False
    return True


def _gate_judged(
    envelope: bytes, evaluator: Evaluator, task: str | None, lines: list[bytes] | None
) -> dict[str, str]:
    found = evaluation.read(envelope, evaluator)
    if task is not None and task != found.wanted.task_digest:
        raise PolicyRefused("evaluation_other_task", f"It is for {found.wanted.task_digest}.")
    if lines is not None:
        outcomes = [pairs.parse(line) for line in lines]
        if judging.judged_again(found, outcomes) != found.found:
            raise EvaluationRefused(
                "evaluation_inconsistent", "The verdict does not follow from these outcomes."
            )
    until = iso(found.circumstances.valid_until_us)
    return _told(found.id, found.found.verdict, found.wanted.task_digest, until)


def _route_judged(
    envelope: bytes, evaluator: Evaluator, task: str | None, lines: list[bytes] | None
) -> dict[str, str]:
    found = route.read(envelope, evaluator)
    digest = found.wanted.route_digest
    if task is not None and task != digest:
        raise PolicyRefused("route_certificate_other", f"It is for {digest}.")
    if lines is not None:
        check_outcomes(found, [*map(certifying.parse, lines)])
    verdict = "certified" if found.found.certified else "not_certifiable"
    return _told(found.id, verdict, digest, iso(found.circumstances.valid_until_us))


def _told(certificate: str, verdict: str, task: str, until: str) -> dict[str, str]:
    return {"certificate": certificate, "verdict": verdict, "task": task, "valid_until": until}


def _lines(path: Path) -> list[bytes]:
    whole, end, rest = path.read_bytes().rpartition(b"\n")
    if rest or not end:
        raise EvaluationRefused("outcomes_invalid", f"{path.name} does not end with a line.")
    return whole.split(b"\n")


@click.command()
@click.argument("task", metavar="TASK")
@wait_option
@connected(needs_server=True)
def carry(output: Output, client: AdminClient, task: str, wait: bool) -> None:
    """Carry a certificate to this engine.

    It must give the same answers. After an upgrade the server does it by itself for every approved
    task.
    """
    found = run_job(output, client, "carry", {"task": task}, wait=wait)
    tell_carried(output, found, "suspended; answers that differ: {}")


def tell_carried(output: Output, found: Job, flipped: str) -> None:
    """Exit 1 where none is carried.

    Args:
        flipped: the sentence where items differ, with a place for their number.
    """
    result = found.came_to(CertificateCarried)
    lines = carried_lines(result, flipped)
    lines = lines or [f"carry {found.id}: {found.state} {safe(found.message)}".rstrip()]
    output.data({"id": found.id, "state": found.state, "code": found.code, **found.told}, lines)
    output.require(result is not None and bool(result.certificate))


def carried_lines(result: CertificateCarried | None, flipped: str) -> list[str]:
    """None where it came to nothing."""
    if result is not None and result.certificate:
        lines = [
            f"{result.items} open items in {many(result.groups, 'group')} answered as before; "
            f"carried over to {result.engine}",
            f"the engine changes at most {percent(result.change)} of the answers; "
            "the limit bears it",
        ]
        before, now = result.coverage_before, result.coverage
        if before is not None and now is not None and now < before:
            lines.append(
                f"to bear it the threshold rose: {percent(now)} are answered, "
                f"where {percent(before)} were"
            )
        return lines
    if result is not None and result.flips:
        named = ", ".join(map(safe, result.flips[:20]))
        return [f"{flipped.format(len(result.flips))}: {named}"]
    return []


COMMANDS: Final = (
    gate, carry, ledger, key_, certificates, export, import_, outcomes, verify,
)  # fmt: skip
