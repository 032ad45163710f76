"""`route`: what a first stage may answer, from a directory to a certificate.

Rules: check and sign need no server; the specification of a calibration is signed here, and the
private key stays here; a person sees the terms before the look.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from appliance.cli import gate
from appliance.cli.artifact import imports, signs
from appliance.cli.connect import admin_client, connected
from appliance.cli.job import finished, run_job, wait_option
from appliance.cli.output import (
    DIRECTORY,
    OUT,
    Output,
    directory_option,
    json_option,
    page_option,
    prints,
    safe,
    table,
    write_new,
)
from appliance.cli.signing import key_option
from appliance.client import AdminClient
from appliance.clock import SystemClock, iso
from appliance.errors import PolicyRefused, Refused
from appliance.facts import table_of
from appliance.routing import catalogue
from appliance.text import between, many, percent
from appliance.trust.bytes import ecdsa
from appliance.trust.bytes.directory import open_artifact
from appliance.trust.statements.route import RouteSpecification
from appliance.trust.statements.specification import MILLION
from appliance.types import JsonValue
from appliance.wire.admin import routes as wire
from appliance.wire.admin.evaluations import EVALUATION_REPORT
from appliance.wire.admin.jobs import JOB, Job
from appliance.wire.admin.results import CalibrationResult
from appliance.wire.admin.routes import (
    CalibrationCertificate,
    LabelGiven,
    Route,
    RoutePlan,
    RoutePlanWanted,
)

KIND: Final = "route"
_ON_DRIFT: Final = {
    "suspend": "an alarm of drift suspends the certificate where [drift] suspend is set",
    "warn": "an alarm of drift only warns",
}
_BELOW_ONE: Final = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.group()
def route() -> None:
    """Small model first; escalate when unsure."""


@route.command()
@click.argument("path", metavar="DIR", type=DIRECTORY)
@json_option
@click.pass_obj
def check(output: Output, path: Path) -> None:
    """Read a route whole."""
    found = _vetted(path)
    output.data(found, [f"{name}: {safe(str(value))}" for name, value in found.items()])


def _vetted(path: Path) -> Mapping[str, JsonValue]:
    with open_artifact(path) as artifact:
        return table_of(catalogue.vet(artifact).kept())


signs(route, _vetted)
imports(route)


@route.command("list")
@connected()
def list_(output: Output, client: AdminClient) -> None:
    """List the routes and their answers.

    The certificates that let their first stages answer, and the answers of each stage since the
    server started.
    """
    found = client.call(wire.ROUTES)
    output.listing(found, found.routes, wire.ROUTE_TABLE)


@route.command()
@click.argument("name", metavar="ROUTE")
@connected()
def show(output: Output, client: AdminClient, name: str) -> None:
    """Show a route's stages and certificates.

    And why it defers if it does.
    """
    found = client.call(wire.ROUTE, route=name)
    rows = [
        (safe(s.name), s.kind, safe(s.task) or "-", s.digest[:16] or "-", str(s.answers))
        for s in found.stages
    ]
    stands = "certified" if found.certified else f"the first stage answers nothing: {found.why}"
    lines = [
        f"{safe(found.id)} version {found.version}, {found.state}: {safe(found.description)}",
        stands,
        *table(("STAGE", "KIND", "TASK", "DIGEST", "ANSWERS"), rows),
        f"deferred: {found.deferred} ({found.on_defer}); {_ON_DRIFT[found.on_drift]}",
        f"{found.weight} count alike; a request's group: {safe(found.group_from) or 'not told'}",
        *(_certificate(each) for each in found.certificates),
        _watched(found),
    ]
    output.data(found, lines)


@route.command()
@click.argument("name", metavar="ROUTE")
@click.option("--data", "dataset", metavar="DATASET", required=True, help="Id of the dataset.")
@click.option("--as", "person", required=True, metavar="NAME", help="Signer of the specification.")
@key_option("That person's private key.")
@click.option("--split", type=click.Choice(["certify", "test"]), default="certify",
              show_default=True, help="The sealed split that is opened.")  # fmt: skip
@click.option("--error", type=_BELOW_ONE, help="Stricter than the route's.")
@click.option("--delta", type=click.FloatRange(0, 0.2, min_open=True),
              help="Stricter than the route's; over all looks.")  # fmt: skip
@click.option("--margin", type=_BELOW_ONE, help="Stricter than the route's.")
@wait_option
@connected(directory_option, needs_server=True)
def calibrate(
    output: Output,
    client: AdminClient,
    /,
    name: str,
    dataset: str,
    key: ecdsa.SigningKey,
    wait: bool,
    **given: Any,
) -> None:
    """Certify what the first stage answers.

    A sealed split is opened once; if nothing can be certified, the answer says why.
    """
    plan = client.call(
        wire.ROUTE_PLAN, RoutePlanWanted.of(route=name, dataset=dataset, split=given["split"])
    )
    wanted = _specification(plan, given)
    for line in _terms(wanted, plan):
        output.note(line)
    signed = {"specification": wanted.sign(key).decode()}
    found = run_job(output, client, KIND, signed, wait=wait)
    _tell(output, found)
    result = found.came_to(CalibrationResult)
    output.require(found.state == "done" and result is not None and result.verdict == "certified")


@route.command("what-if")
@click.argument("name", metavar="ROUTE")
@connected()
def what_if(output: Output, client: AdminClient, name: str) -> None:
    """Show error and coverage by threshold.

    Of the first stage, on open items, by the newest calibration. Sealed groups decided the
    certificate; a threshold that looks good here promises nothing.
    """
    job, result = _newest(client, name)
    names = ("threshold", "coverage", "error", "low", "high")
    points = [dict(zip(names, point, strict=True)) for point in result.curve]
    for point in points:
        point["threshold"] /= MILLION
    step = max(1, len(points) // 20)
    rows = [
        (
            f"{p['threshold']:.4f}",
            f"{100 * p['coverage']:.0f} %",
            f"{100 * p['error']:.1f} %",
            f"{100 * p['low']:.1f} to {100 * p['high']:.1f} %",
        )
        for p in points[step - 1 :: step]
    ]
    none = [f"No curve: {safe(result.answer)}"]
    document: dict[str, JsonValue] = {
        "route": name, "job": job.id, "alpha": result.alpha, "points": points,
        "threshold": result.threshold,
    }  # fmt: skip
    head = ("THRESHOLD", "ANSWERED", "ERROR", "95 %")
    output.data(document, table(head, rows) if rows else none)


@route.command()
@click.argument("name", metavar="ROUTE")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is recorded.")
@connected()
def suspend(output: Output, client: AdminClient, name: str, reason: str) -> None:
    """End a route's certificate for good.

    Its first stage answers nothing from then on.
    """
    found = client.call(wire.ROUTE_SUSPEND, wire.Suspend.of(reason=reason), route=name)
    output.data(found, [f"{safe(found.id)}: the first stage answers nothing: {found.why}"])


@route.command()
@click.argument("name", metavar="ROUTE")
@click.option("--item", type=click.IntRange(1), help="The number of the answer to label.")
@click.option("--label", metavar="LABEL", help="The right answer. JSON where it has fields.")
@prints
def sample(output: Output, data: Path, name: str, item: int | None, label: str | None) -> None:
    """Show or label an accepted answer.

    It waits for the monitor. The answer is not shown, so that the label does not follow it.
    """
    if (item is None) != (label is None):
        raise click.UsageError("--item and --label go together.")
    with admin_client(data) as client:
        if item is not None:
            found = client.call(wire.ROUTE_LABEL, LabelGiven.of(id=item, label=label), route=name)
            output.data(found, [_watched(found)])
            return
        waiting = client.call(wire.ROUTE_SAMPLE, route=name)
    lines = [f"{safe(field)}: {safe(str(value))}" for field, value in waiting.input.items()]
    told = [
        f"answer {waiting.id}, label it until {waiting.due}",
        *lines,
        f"labels: {', '.join(map(safe, waiting.labels))}"
        if waiting.form is None
        else f"fields: {safe(json.dumps(waiting.form, ensure_ascii=False))}",
    ]
    output.data(waiting, told if waiting.id else [f"Nothing of {safe(name)} waits for a label."])


@route.command()
@click.argument("name", metavar="ROUTE")
@page_option
@connected()
def report(output: Output, client: AdminClient, name: str, out: Path) -> None:
    """Write a calibration's page as HTML.

    Of the newest one.
    """
    output.page(out, client.call(EVALUATION_REPORT, job_id=_newest(client, name)[0].id).html)


@route.command()
@click.argument("name", metavar="ROUTE")
@click.option("--certificate", metavar="ID", help="By default the newest.")
@click.option("--out", type=OUT, required=True, help="The file to write.")
@connected()
def export(
    output: Output, client: AdminClient, name: str, certificate: str | None, out: Path
) -> None:
    """Write a route's certificate, for an auditor.

    `appliance eval outcomes JOB` writes what it rests on; `appliance eval ledger DATASET` has the
    job.
    """
    known = client.call(wire.ROUTE, route=name).certificates
    found = next((each for each in known if certificate in (None, each.id)), None)
    if found is None:
        raise PolicyRefused("route_not_certified", f"{safe(name)} has no such certificate.")
    write_new(out, found.envelope)
    output.data({"certificate": found.id, "file": str(out)}, [f"wrote {safe(str(out))}"])


@route.command()
@click.argument("name", metavar="ROUTE")
@wait_option
@connected(needs_server=True)
def carry(output: Output, client: AdminClient, name: str, wait: bool) -> None:
    """Carry a certificate to this engine.

    It must do the same with open items. After an upgrade the server does it by itself for every
    approved route.
    """
    found = run_job(output, client, "route-carry", {"route": name}, wait=wait)
    gate.tell_carried(output, found, "suspended; items that differ: {}")


def _newest(client: AdminClient, name: str) -> tuple[Job, CalibrationResult]:
    """The newest that is done. Raises Refused (`report_missing`)."""
    for listed in finished(client, KIND):
        job = client.call(JOB, job_id=listed.id)
        result = job.came_to(CalibrationResult)
        if result is not None and result.route == name:
            return job, result
    raise Refused("report_missing", f"No calibration of {safe(name)} is done.")


def _specification(plan: RoutePlan, given: dict[str, Any]) -> RouteSpecification:
    micros = {
        f"{name}_micros": round(given[name] * MILLION)
        for name in ("error", "delta", "margin")
        if given[name] is not None
    }
    terms = plan.model_dump(exclude={"looks_left", "groups", "items"})
    return RouteSpecification(
        **(terms | micros | {"schedule": tuple(plan.schedule)}),
        seed=secrets.token_hex(16),
        name=given["person"],
        time=iso(SystemClock().wall_us()),
    )


def _terms(wanted: RouteSpecification, plan: RoutePlan) -> list[str]:
    larger = safe(wanted.larger) or "nothing"
    shares = " + ".join(f"{share / MILLION:g}" for share in wanted.schedule)
    return [
        f"{safe(wanted.name)} specifies: of the answers of {safe(wanted.small)} that "
        f"{safe(wanted.route)} accepts, at most {percent(wanted.error_micros / MILLION)} are wrong",
        f"  and the whole is not worse than {larger} by {percent(wanted.margin_micros / MILLION)}",
        f"  on {safe(wanted.dataset)}, {wanted.split}: {many(plan.groups, 'group')}, "
        f"{many(plan.items, 'item')};"
        f" {wanted.weight} count alike",
        f"  delta {wanted.delta_micros / MILLION:g} over {many(wanted.looks, 'look')}"
        f"{f' as {shares}' if shares else ''}, "
        f"{plan.looks_left} left; at most one item of each group",
    ]


def _tell(output: Output, found: Job) -> None:
    result = found.came_to(CalibrationResult)
    if result is None:
        return output.unfinished(found)
    output.data({"id": found.id, "state": found.state, **found.told}, list(_told(result)))
    output.note(f"  appliance route report {safe(result.route)} --out report.html")


def _told(result: CalibrationResult) -> Iterator[str]:
    larger = safe(result.larger or "")
    yield safe(result.answer)
    if result.difference:
        _, low, high = result.difference
        yield f"route minus {larger}: {low * 100:+.0f} to {high * 100:+.0f} points"
    if result.avoided:
        value, low, high = result.avoided
        yield f"seconds of {larger} avoided: {percent(value)} ({between(low, high)})"
    if result.doubtful == "people":
        yield "the larger stage is not better where the first is in doubt: people answer these"
    yield f"looks taken {result.looks}, left {result.looks_left}"
    if result.certificate:
        yield f"certificate {result.certificate}"


def _watched(found: Route) -> str:
    seen = found.watched
    if seen is None:
        return "monitor: no certificate"
    told = (
        f"monitor: {many(seen.labelled, 'answer')} labelled, {seen.wrong} wrong, "
        f"{seen.waiting} waiting; "
        f"{many(seen.days, 'day')}, evidence against the bound {seen.evidence:.2f}"
    )
    if seen.missing:
        shares = (seen.missing_doubtful, seen.missing_sure)
        doubtful, sure = ("-" if share is None else percent(share) for share in shares)
        told += (
            f"; {many(seen.missing, 'label')} missing ({doubtful} of the doubtful half, "
            f"{sure} of the sure)"
        )
    if seen.asked_again:
        told += f"; asked again {seen.asked_again}, {seen.asked_again_wrong} wrong"
    if seen.traffic is not None:
        told += (
            f"; answers to {many(seen.traffic.groups, 'group')}, which weigh as"
            f" {seen.traffic.effective:.0f} of one size: {percent(seen.traffic.unknown)} of them to"
            f" groups that the certificate has not seen, the rest {percent(seen.traffic.apart)}"
            f" apart from its weights; with theirs at most {percent(seen.traffic.error)} are wrong"
        )
    return told + (f"; not watched since {seen.unwatched}" if seen.unwatched else "")


def _certificate(each: CalibrationCertificate) -> str:
    stands = f"suspended: {safe(each.suspended)}" if each.suspended else f"until {each.valid_until}"
    if each.threshold is None:
        why = f"not certifiable, {safe(each.reason)}"
        return f"certificate {each.id[:16]}: {why}; {many(each.groups, 'group')}"
    return (
        f"certificate {each.id[:16]}: error at most {percent(each.alpha)} at confidence "
        f"{each.threshold:.3f}, {percent(each.coverage)} of the {each.weight} accepted, "
        f"{many(each.groups, 'group')}, {each.identity}, {stands}"
    )
