"""`trust show`: the policy that decides who publishes and approves."""

from collections.abc import Iterator
from pathlib import Path

import click

from appliance.cli.connect import admin_client
from appliance.cli.output import Output, data_option, json_option, safe, state, table
from appliance.wire.admin import Trust


@click.group()
def trust() -> None:
    """The trust policy."""


@trust.command()
@data_option
@json_option
@click.pass_obj
def show(output: Output, data: Path) -> None:
    """Show the trust policy in force."""
    with admin_client(data) as client:
        policy = client.trust()
    output.data(policy, _lines(policy))


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
        ("digests", policy.revoked_digests),
        ("engines", policy.revoked_engines),
    ):
        if revoked:
            yield f"revoked {what}: {', '.join(map(safe, revoked))}"
