"""`key`: the API keys of apps."""

from pathlib import Path

import click

from appliance.cli.connect import admin_client
from appliance.cli.output import Output, data_option, json_option, safe, state, table
from appliance.wire.admin import Key, KeyCreate


@click.group()
def key() -> None:
    """API keys of apps."""


@key.command()
@click.argument("name")
@click.option("--role", default="app", show_default=True, help="What the key may do.")
@click.option(
    "--models", metavar="ID,…", default="", help="Models that it may use; by default all."
)
@click.option("--expires", metavar="DATE", help="First day on which it is refused, in UTC.")
@data_option
@json_option
@click.pass_obj
def create(
    output: Output, data: Path, name: str, role: str, models: str, expires: str | None
) -> None:
    """Make a key and print its secret, once."""
    allowed = [model.strip() for model in models.split(",") if model.strip()]
    wanted = KeyCreate.of(name=name, role=role, models=allowed, expires=expires)
    with admin_client(data) as client:
        made = client.create_key(wanted)
    if not output.as_json:
        output.note(f"key {made.id} for {safe(made.name)}; the secret is shown only now:")
    output.data(made, [made.secret])


@key.command("list")
@data_option
@json_option
@click.pass_obj
def list_(output: Output, data: Path) -> None:
    """List the keys, without secrets."""
    with admin_client(data) as client:
        found = client.keys()
    rows = [
        (
            k.id,
            _state(k),
            safe(k.name),
            k.role,
            ", ".join(map(safe, k.models)) or "all",
            k.expires or "never",
            k.last_used or "never",
        )
        for k in found.keys
    ]
    head = ("ID", "STATE", "NAME", "ROLE", "MODELS", "EXPIRES", "LAST USED")
    output.data(found, table(head, rows) if rows else ["no keys"])


@key.command()
@click.argument("key_id", metavar="ID")
@data_option
@json_option
@click.pass_obj
def revoke(output: Output, data: Path, key_id: str) -> None:
    """Make a key useless from now on."""
    with admin_client(data) as client:
        revoked = client.revoke_key(key_id)
    output.data(revoked, [f"{revoked.id} {_state(revoked)}"])


def _state(shown: Key) -> str:
    return state("revoked" if shown.revoked else "valid")
