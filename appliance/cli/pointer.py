"""`task promote`, `task rollback`, `task live`: which versions of a task answer under a name.

Rules: the pointer is signed here, and the private key stays here; a rollback is one more pointer:
without canary and shadow where there are some, else at the live version before.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click

from appliance.cli.connect import admin_client, connected
from appliance.cli.output import (
    Output,
    prints,
    safe,
    table,
)
from appliance.cli.signing import signer_options
from appliance.client import AdminClient
from appliance.clock import SystemClock, iso
from appliance.errors import StateRefused
from appliance.text import many
from appliance.trust.bytes import ecdsa
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from appliance.wire.admin import pointers as wire


@dataclass(frozen=True)
class Roles:
    """A pointer's versions, as `Pointer` has it."""

    live: TaskVersion
    canary: TaskVersion | None = None
    percent: int = 0
    shadow: TaskVersion | None = None


@dataclass(frozen=True)
class Signer:
    """A person with a private key, and why something is signed."""

    person: str
    key: ecdsa.SigningKey
    reason: str


def _signer_options(command: Callable[..., None]) -> Callable[..., None]:
    reason = click.option("--reason", required=True, metavar="TEXT", help="Why, for the record.")
    return signer_options("The approver.")(reason(command))


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("task", metavar="TASK")
@click.option(
    "--canary", type=click.IntRange(1, 99), metavar="PERCENT",
    help="Share of the apps that TASK answers. The live version answers the others.",
)  # fmt: skip
@click.option("--shadow", is_flag=True, help="Answer after the live version, unseen.")
@_signer_options
@prints
def promote(
    output: Output,
    /,
    data: Path,
    name: str,
    task: str,
    canary: int | None,
    shadow: bool,
    **signer: Any,
) -> None:
    """Point NAME at an approved TASK."""
    if canary and shadow:
        raise click.UsageError("A task is a canary or a shadow.")
    with admin_client(data) as client:
        wanted = client.call(wire.TASK_TARGET, name=name, task=task)
        mine = TaskVersion(wanted.task, wanted.digest)
        if canary:
            roles = replace(_present(wanted), canary=mine, percent=canary)
        elif shadow:
            roles = replace(_present(wanted), shadow=mine)
        else:
            roles = Roles(mine)
        found = point(client, wanted, roles, Signer(**signer))
    output.data(found, _lines([found]))


@click.command()
@click.argument("name", metavar="NAME")
@_signer_options
@connected()
def rollback(output: Output, client: AdminClient, /, name: str, **signer: Any) -> None:
    """Go back to the version before.

    Canary and shadow of NAME are taken away; without them NAME points at the version before.
    """
    wanted = client.call(wire.TASK_TARGET, name=name, task=_before(client, name).task)
    live = Roles(TaskVersion(wanted.task, wanted.digest))
    found = point(client, wanted, live, Signer(**signer))
    output.data(found, _lines([found]))


@click.command()
@connected()
def live(output: Output, client: AdminClient) -> None:
    """List names and what answers under them."""
    found = client.call(wire.TASK_NAMES)
    none = "No names. Make one with `appliance task promote NAME TASK`."
    output.data(found, _lines(found.names) if found.names else [none])


def _before(client: AdminClient, name: str) -> wire.Version:
    known = [found for found in client.call(wire.TASK_NAMES).names if found.name == name]
    pointers = known[0].pointers if known else []
    if pointers and (pointers[0].canary or pointers[0].shadow):
        return pointers[0].live
    before = [p.live for p in pointers if p.live.digest != pointers[0].live.digest]
    if not before:
        raise StateRefused("pointer_missing", f"{name} has no version before.")
    return before[0]


def _present(wanted: wire.Target) -> Roles:
    """Raises StateRefused (`pointer_missing`) when the name points at nothing."""
    now = wanted.now
    if now is None:
        raise StateRefused(
            "pointer_missing", f"{wanted.name} has no live version: promote one to live first."
        )
    canary, shadow = (
        None
        if shown is None or shown.task == wanted.task
        else TaskVersion(shown.task, shown.digest)
        for shown in (now.canary, now.shadow)
    )
    return Roles(
        TaskVersion(now.live.task, now.live.digest), canary, now.percent if canary else 0, shadow
    )


def point(client: AdminClient, wanted: wire.Target, roles: Roles, signer: Signer) -> wire.Name:
    """Sign a pointer and hand it in."""
    made = TaskPointer(
        name=wanted.name,
        **vars(roles),
        previous=wanted.previous,
        person=signer.person,
        reason=signer.reason,
        time=iso(SystemClock().wall_us()),
    )
    return client.call(
        wire.TASK_POINT, wire.PointerUpload.of(envelope=made.sign(signer.key).decode())
    )


def _lines(names: list[wire.Name]) -> list[str]:
    rows = []
    lines = []
    for each in names:
        if not each.pointers:
            rows.append((safe(each.name), "-", "-", "no trusted pointer", "-", "-"))
            continue
        now = each.pointers[0]
        roles = (
            ("live", now.live),
            (f"canary {now.percent} %", now.canary),
            ("shadow", now.shadow),
        )
        rows += [
            (
                safe(each.name),
                role,
                safe(version.task),
                "serves" if version.serves else "does not serve",
                safe(now.person),
                now.time,
            )
            for role, version in roles
            if version is not None
        ]
        if now.compared is not None:
            told = now.compared
            lines.append(
                f"shadow of {safe(each.name)}: {many(told.same, 'answer')} the same, {told.differs}"
                f" differ, {told.failed} failed, {told.dropped} not asked"
            )
    return [*table(("NAME", "ROLE", "TASK", "STATE", "BY", "SINCE"), rows), *lines]


COMMANDS: Final = (promote, rollback, live)
