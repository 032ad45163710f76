"""`trust`: the policy that decides who publishes and approves, and newer metadata for it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from appliance.cli.ceremony import ceremony
from appliance.cli.connect import connected
from appliance.cli.output import DIRECTORY, Output, safe, state, table
from appliance.client import AdminClient
from appliance.errors import Refused
from appliance.trust.ceremony.stick import read_offer
from appliance.wire.admin import trust as wire
from appliance.wire.admin.trust import Trust, TrustMetadata, TrustUpdated


@click.group()
def trust() -> None:
    """The trust policy."""


trust.add_command(ceremony)


@trust.command()
@connected()
def show(output: Output, client: AdminClient) -> None:
    """Show the trust policy in force."""
    policy = client.call(wire.TRUST)
    output.data(policy, _lines(policy))


@trust.command()
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@connected()
def update(output: Output, client: AdminClient, directory: Path) -> None:
    """Take new signed metadata.

    From a directory or a stick.
    """
    held = client.call(wire.TRUST_METADATA)
    read: Mapping[str, bytes] | Refused
    try:
        read = read_offer(directory, held.versions["root"])
    except Refused as error:
        read = error  # the appliance records and refuses it, as what its verifier refuses
    done = client.call(wire.TRUST_UPDATE, wire.TrustOffer.holding(read))
    output.data(done, _done(done))


def _done(done: TrustUpdated) -> Iterator[str]:
    yield "the trust metadata is newer now" if done.changed else "that metadata is in force already"
    for name, version in done.after.items():
        was = done.before.get(name, 0)
        yield f"  {name:<10} {f'{was} -> {version}' if was != version else version}"
    for model in done.models:
        yield f"{safe(model.id)} {state(model.state)}"
        yield f"  {model.code}: {safe(model.message)}"


def _metadata(shown: TrustMetadata) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in shown.versions.items())
    yield f"metadata {state(shown.state)}: {versions}"
    yield f"  expires {shown.expires}" + (
        f", models are served until {shown.serve_until}" if shown.serve_until else ""
    )
    yield f"  root {shown.root}"
    for name, holders in shown.holders.items():
        yield f"  {name}: {', '.join(map(safe, holders))}"
    for alarm in shown.alarms:
        yield f"[!] {safe(alarm)}"


def _lines(policy: Trust) -> Iterator[str]:
    yield (
        f"trust policy version {policy.version}, {policy.profile.upper()}, "
        f"{safe(policy.org)}, issued {safe(policy.issued)}"
    )
    rows = [
        (
            name,
            str(role.threshold),
            safe(holder.person),
            holder.key,
            state("revoked" if holder.revoked else "valid"),
        )
        for name, role in policy.roles.items()
        for holder in role.holders
    ]
    yield from table(("ROLE", "NEEDED", "PERSON", "KEY", "STATE"), rows)
    yield f"models: {', '.join(map(safe, policy.models)) or 'any that is signed and approved'}"
    for what, revoked in (
        ("keys", policy.revoked_keys),
        ("serials", policy.revoked_serials),
        ("digests", policy.revoked_digests),
        ("engines", policy.revoked_engines),
    ):
        if revoked:
            yield f"revoked {what}: {', '.join(map(safe, revoked))}"
    if policy.metadata is not None:
        yield from _metadata(policy.metadata)
