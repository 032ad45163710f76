"""`appliance upstream`: engines on other hosts.

Rules: who approves sees what is signed before it is handed in; the private key stays in this
process; each host is approved by itself.
"""

from pathlib import Path

import click

from appliance.cli.connect import admin_client
from appliance.cli.output import Output, data_option, json_option, safe, state, table
from appliance.clock import SystemClock
from appliance.errors import StateRefused
from appliance.trust.statements import approval
from appliance.trust.statements.approval import UpstreamSubject
from appliance.wire.admin import upstreams as wire

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def upstream() -> None:
    """Engines on other hosts.

    [upstreams] of appliance.toml names them.
    """


@upstream.command("list")
@data_option
@json_option
@click.pass_obj
def list_upstreams(output: Output, data: Path) -> None:
    """List upstreams and their hosts."""
    with admin_client(data) as client:
        found = client.upstreams()
    none = "No upstreams. Add one in [upstreams] of appliance.toml."
    output.data(found, _lines(found.upstreams) if found.upstreams else [none])


@upstream.command("reload")
@data_option
@json_option
@click.pass_obj
def reload(output: Output, data: Path) -> None:
    """Read [upstreams] again.

    Of appliance.toml; running answers end where they run.
    """
    with admin_client(data, needs_server=True) as client:
        found = client.reload_upstreams()
    output.data(
        found,
        _lines(found.upstreams)
        if found.upstreams
        else ["No upstreams. Add one in [upstreams] of appliance.toml."],
    )


@upstream.command("show")
@click.argument("name", metavar="NAME")
@data_option
@json_option
@click.pass_obj
def show(output: Output, data: Path, name: str) -> None:
    """Show what people approve of each host.

    And who has.
    """
    with admin_client(data) as client:
        found = client.upstream(name)
    lines = _lines([found])
    for host in found.hosts:
        lines += ["", safe(host.url), *_record(host)]
        lines += [f"  approved by {safe(a.name)}: {safe(a.meaning)}" for a in host.approvals]
    output.data(found, lines)


@upstream.command("learn")
@click.argument("name", metavar="NAME")
@data_option
@json_option
@click.pass_obj
def learn(output: Output, data: Path, name: str) -> None:
    """Learn how NAME answers fixed texts.

    Then its hosts are approved.
    """
    with admin_client(data) as client:
        found = client.learn_upstream(name)
    output.data(found, _lines([found]))


@upstream.command("approve")
@click.argument("name", metavar="NAME")
@click.option(
    "--as", "person", required=True, metavar="WHO", help="The approver, as in the policy."
)
@click.option("--key", type=_FILE, required=True, help="The approver's private key, PEM.")
@click.option("--meaning", required=True, metavar="TEXT", help="What the signature says.")
@click.option("--host", "url", metavar="URL", help="One host; by default each that lacks it.")
@data_option
@json_option
@click.pass_obj
def approve(
    output: Output, data: Path, name: str, person: str, key: Path, meaning: str, url: str | None
) -> None:
    """Approve the hosts of NAME.

    Requests may be sent to them when two people signed.
    """
    private = key.read_bytes()
    with admin_client(data) as client:
        found = client.upstream(name)
        hosts = [host for host in found.hosts if _wanted(host, person, url)]
        if not hosts:
            raise StateRefused("upstream_unknown", f"{name} has no such host to approve.")
        for host in hosts:
            if host.record is None:
                raise StateRefused("upstream_unlearnt", f"Nothing was learnt of {name}.")
            output.note(f"{safe(person)} approves that requests may be sent to {safe(host.url)}:")
            for line in _record(host):
                output.note(line)
            subject = UpstreamSubject(
                name, host.url, host.record["digest"], host.record["identity"]
            )
            envelope = approval.sign(
                subject,
                name=person,
                meaning=meaning,
                time_us=SystemClock().wall_us(),
                private_key=private,
            )
            found = client.approve_upstream(name, host.url, envelope)
    output.data(found, _lines([found]))


@upstream.command("probe")
@click.argument("name", metavar="NAME")
@data_option
@json_option
@click.pass_obj
def probe(output: Output, data: Path, name: str) -> None:
    """Probe the hosts of NAME now.

    One that tripped is taken back when it passes.
    """
    with admin_client(data) as client:
        found = client.probe_upstream(name)
    output.data(found, _lines([found]))


@upstream.command("drain")
@click.argument("name", metavar="NAME")
@click.argument("url", metavar="URL")
@click.option("--undo", is_flag=True, help="Let requests come again.")
@data_option
@json_option
@click.pass_obj
def drain(output: Output, data: Path, name: str, url: str, undo: bool) -> None:
    """Keep new requests from a host.

    The host URL of NAME, say before it is upgraded.
    """
    with admin_client(data, needs_server=True) as client:
        found = client.drain_upstream(name, url, drained=not undo)
    output.data(found, _lines([found]))


def _wanted(host: wire.UpstreamHost, person: str, url: str | None) -> bool:
    if url is not None:
        return host.url == url
    return all(given.name != person for given in host.approvals)


def _record(host: wire.UpstreamHost) -> list[str]:
    record = host.record or {}
    return [f"  {name}: {safe(str(value))}" for name, value in record.items()]


def _lines(found: list[wire.Upstream]) -> list[str]:
    rows = []
    for one in found:
        if one.broken:
            rows.append((safe(one.name), one.kind, "-", state("broken"), "-", safe(one.broken)))
        rows += [
            (
                safe(one.name),
                one.kind,
                safe(host.url),
                state(host.state),
                str(host.outstanding),
                safe(host.tripped or host.suspect or host.problem) or "-",
            )
            for host in one.hosts
        ]
    return table(("NAME", "KIND", "HOST", "STATE", "RUNNING", "NEWEST PROBLEM"), rows)
