"""`appliance upstream`: engines on other hosts.

Rules: approvers see what is signed; the private key stays here; each host is approved by itself.
"""

from pathlib import Path

import click

from appliance.cli.connect import admin_client, connected
from appliance.cli.output import Output, prints, rows, safe
from appliance.cli.signing import key_option
from appliance.client import AdminClient
from appliance.errors import StateRefused
from appliance.trust.bytes import ecdsa
from appliance.trust.statements import approval
from appliance.trust.statements.approval import UpstreamSubject
from appliance.wire.admin import upstreams as wire


@click.group()
def upstream() -> None:
    """Engines on other hosts.

    [upstreams] of appliance.toml names them.
    """


@upstream.command("list")
@connected()
def list_upstreams(output: Output, client: AdminClient) -> None:
    """List upstreams and their hosts."""
    found = client.call(wire.UPSTREAMS)
    output.listing(found, wire.hosts_of(found.upstreams), wire.UPSTREAM_TABLE)


@upstream.command("reload")
@connected(needs_server=True)
def reload(output: Output, client: AdminClient) -> None:
    """Read [upstreams] again.

    Of appliance.toml; running answers end where they run.
    """
    found = client.call(wire.UPSTREAMS_RELOAD)
    output.listing(found, wire.hosts_of(found.upstreams), wire.UPSTREAM_TABLE)


@upstream.command("show")
@click.argument("name", metavar="NAME")
@connected()
def show(output: Output, client: AdminClient, name: str) -> None:
    """Show what people approve of each host.

    And who has.
    """
    found = client.call(wire.UPSTREAM, name=name)
    lines = _lines(found)
    for host in found.hosts:
        lines += ["", safe(host.url), *_record(host)]
        lines += [f"  approved by {safe(a.name)}: {safe(a.meaning)}" for a in host.approvals]
    output.data(found, lines)


@upstream.command("learn")
@click.argument("name", metavar="NAME")
@connected()
def learn(output: Output, client: AdminClient, name: str) -> None:
    """Learn how NAME answers fixed texts.

    Then its hosts are approved.
    """
    found = client.call(wire.UPSTREAM_LEARN, name=name)
    output.data(found, _lines(found))


@upstream.command("approve")
@click.argument("name", metavar="NAME")
@click.option(
    "--as", "person", required=True, metavar="WHO", help="The approver, as in the policy."
)
@key_option("The approver's private key.")
@click.option("--meaning", required=True, metavar="TEXT", help="Meaning of the signature.")
@click.option("--host", "url", metavar="URL", help="One host; by default each that lacks it.")
@prints
def approve(
    output: Output,
    data: Path,
    name: str,
    person: str,
    key: ecdsa.SigningKey,
    meaning: str,
    url: str | None,
) -> None:
    """Approve the hosts of NAME.

    Requests may be sent to them when two people signed.
    """
    with admin_client(data) as client:
        found = client.call(wire.UPSTREAM, name=name)
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
            envelope = approval.sign(subject, name=person, meaning=meaning, private_key=key)
            found = client.call(
                wire.UPSTREAM_APPROVE,
                wire.UpstreamApproval.of(url=host.url, envelope=envelope.decode()),
                name=name,
            )
    output.data(found, _lines(found))


@upstream.command("probe")
@click.argument("name", metavar="NAME")
@connected()
def probe(output: Output, client: AdminClient, name: str) -> None:
    """Probe the hosts of NAME now.

    One that tripped is taken back when it passes.
    """
    found = client.call(wire.UPSTREAM_PROBE, name=name)
    output.data(found, _lines(found))


@upstream.command("drain")
@click.argument("name", metavar="NAME")
@click.argument("url", metavar="URL")
@click.option("--undo", is_flag=True, help="Let requests come again.")
@connected(needs_server=True)
def drain(output: Output, client: AdminClient, name: str, url: str, undo: bool) -> None:
    """Keep new requests from a host.

    The host URL of NAME, say before it is upgraded.
    """
    found = client.call(
        wire.UPSTREAM_DRAIN, wire.UpstreamDrain.of(url=url, drained=not undo), name=name
    )
    output.data(found, _lines(found))


def _wanted(host: wire.UpstreamHost, person: str, url: str | None) -> bool:
    if url is not None:
        return host.url == url
    return all(given.name != person for given in host.approvals)


def _record(host: wire.UpstreamHost) -> list[str]:
    record = host.record or {}
    return [f"  {name}: {safe(str(value))}" for name, value in record.items()]


def _lines(found: wire.Upstream) -> list[str]:
    return rows(wire.hosts_of([found]), wire.UPSTREAM_TABLE)
