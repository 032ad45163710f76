"""`incident`: what is or was wrong, since when, and who takes care of it."""

from pathlib import Path

import click

from appliance.cli.connect import connected
from appliance.cli.output import Output, prints, safe
from appliance.client import AdminClient
from appliance.config import load_config
from appliance.wire.admin.incidents import (
    INCIDENT,
    INCIDENT_ACK,
    INCIDENT_TABLE,
    INCIDENTS,
    Acknowledge,
    Incident,
)


@click.group()
def incident() -> None:
    """Records of alarms, each with its number."""


@incident.command("list")
@click.option("--all", "ended", is_flag=True, help="Those that are over, too.")
@connected()
def list_(output: Output, client: AdminClient, ended: bool) -> None:
    """List incidents: the alarms that are open."""
    found = client.call(INCIDENTS, ended=ended)
    output.listing(found, found.incidents, INCIDENT_TABLE)


@incident.command()
@click.argument("number", type=int, metavar="ID")
@connected()
def show(output: Output, client: AdminClient, number: int) -> None:
    """Show an incident with its next step."""
    found = client.call(INCIDENT, number=number)
    output.data(found, _lines(found))


@incident.command()
@click.argument("number", type=int, metavar="ID")
@click.option("--note", default="", metavar="TEXT", help="Goes into the log.")
@connected()
def ack(output: Output, client: AdminClient, number: int, note: str) -> None:
    """Acknowledge an alarm: you take care of it.

    It stays open until its cause is gone; screens, messages and the log name you.
    """
    done = client.call(INCIDENT_ACK, Acknowledge(note=note), number=number)
    output.data(done, _lines(done))


@incident.command()
@prints
def notice(output: Output, data: Path) -> None:
    """Tell people that the service failed.

    systemd runs it. It needs no server, and sends to each destination of [notify].
    """
    from appliance.audit.files import LogFiles  # what lists incidents needs none of it
    from appliance.clock import SystemClock
    from appliance.forwarding.delivery import tell_at_once
    from appliance.forwarding.notices import IncidentNotice
    from appliance.incidents.rules import SERVICE_FAILED

    origin = LogFiles(data / "audit").verifier_key().name
    told = IncidentNotice(origin, SystemClock().wall_us(), (SERVICE_FAILED,), ())
    found = tell_at_once(load_config(data).notify, data, told)
    output.data(
        {"destinations": dict(found)},
        [f"{name}: {safe(why) or 'sent'}" for name, why in found.items()]
        or ["No destination: [notify] in appliance.toml names them."],
    )
    output.require(not any(found.values()))


def _lines(found: Incident) -> list[str]:
    ends = f", over since {found.ended}" if found.ended else ""
    began = f"{found.times} times since" if found.times > 1 else "since"
    lines = [
        f"{found.level} {found.code}: {safe(found.message)}",
        f"{began} {found.since}{ends}",
        f"next: {safe(found.next)}",
    ]
    if found.acked_by:
        note = f": {safe(found.note)}" if found.note else ""
        lines.append(f"acknowledged by {safe(found.acked_by)} at {found.acked}{note}")
    return lines
