"""`appliance state`: whether the database and the audit log agree, and what to do where not."""

import click

from appliance.cli.connect import connected
from appliance.cli.output import Output, safe
from appliance.client import AdminClient
from appliance.wire.admin.state import STATE, STATE_SETTLE, Settle, State


@click.group()
def state() -> None:
    """Compare the database with the audit log."""


@state.command("show")
@connected()
def show(output: Output, client: AdminClient) -> None:
    """Show where database and log differ.

    The database permits more, or less, than the log.
    """
    found = client.call(STATE)
    output.data(found, _lines(found))


@state.command("settle")
@click.option("--reason", required=True, metavar="TEXT", help="Goes into the log.")
@connected()
def settle(output: Output, client: AdminClient, reason: str) -> None:
    """Make the database obey the log.

    The stricter holds; the appliance serves again. Keys without an entry end, artifacts are
    suspended, withdrawals are repeated. The log names each.
    """
    found = client.call(STATE_SETTLE, Settle(reason=reason))
    output.data(found, _lines(found))


def _lines(found: State) -> list[str]:
    told = [safe(found.ends_early)] if found.ends_early else []
    told += [safe(one.sentence) for one in found.differences]
    if not told:
        return [f"The database and the audit log agree up to entry {found.entries - 1}."]
    if found.agrees:
        return told
    return [*told, "Restore both from one backup, or decide: appliance state settle --reason TEXT"]
