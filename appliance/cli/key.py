"""`key`: the API keys of apps."""

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.cli.connect import admin_client, connected
from appliance.cli.output import DIRECTORY, Output, prints, safe, state
from appliance.client import AdminClient
from appliance.errors import UsageError
from appliance.text import many
from appliance.types import Limits
from appliance.wire.admin import keys as wire
from appliance.wire.admin.keys import Key, KeyCreate, KeyLimits, NewKey


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of what a key may use."""
    for option in (
        click.option("--rpm", type=int, metavar="N", help="Requests per minute."),
        click.option("--tpm", type=int, metavar="N", help="Tokens per minute, read and written."),
        click.option(
            "--concurrency", type=int, metavar="N", help="Answers at once; more requests wait."
        ),
        click.option(
            "--weight", type=int, default=1, metavar="N", help="Share of a busy model, 1 to 1000."
        ),
        click.option(
            "--priority",
            type=click.Choice(["interactive", "batch"]),
            default="interactive",
            show_default=True,
            help="Priority without a service_tier. batch runs after interactive.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def key() -> None:
    """API keys of apps.

    `create` is the old name of `new`.
    """


@key.command()
@click.argument("name")
@click.option(
    "--role",
    default="app",
    show_default=True,
    help="app, or queue. The latter answers what waits, too.",
)
@click.option(
    "--models", metavar="ID,…", default="", help="Models that it may use; by default all."
)
@click.option(
    "--tasks-only/--any-model",
    "tasks_only",
    default=None,
    help="Tasks only, or models, too. By default a site's key without --models gets tasks only.",
)
@click.option("--expires", metavar="DATE", help="First day on which it is refused, in UTC.")
@click.option(
    "--certificate",
    metavar="FILE",
    type=DIRECTORY,
    help="Client certificate (PEM) in place of a secret.",
)
@click.option(
    "--content",
    type=click.Choice(["encrypted", "commit-only", "off"]),
    help="Form of its texts in the log. By default as configured.",
)
@click.option(
    "--examples",
    is_flag=True,
    help="Owners agree: `appliance dataset capture` makes items of prompts.",
)
@click.option(
    "--person",
    is_flag=True,
    help="Answer only for a verified person. See `[oidc]` in appliance.toml.",
)
@limit_options
@prints
def new(output: Output, /, data: Path, models: str, certificate: Path | None, **given: Any) -> None:
    """Make a key; print its secret once.

    With --certificate there is no secret.
    """
    allowed = [model.strip() for model in models.split(",") if model.strip()]
    digest = None if certificate is None else _fingerprint(certificate)
    wanted = KeyCreate.of(models=allowed, certificate=digest, **given)
    with admin_client(data) as client:
        made = client.call(wire.KEY_CREATE, wanted)
    _print_secret(output, made)


_before = copy.copy(new)
_before.hidden = True
key.add_command(_before, "create")  # its name before 0.2.0


@key.command("list")
@connected()
def list_(output: Output, client: AdminClient) -> None:
    """List the keys, without secrets."""
    found = client.call(wire.KEYS)
    output.listing(found, found.keys, wire.KEY_TABLE)


@key.command()
@click.argument("key_id", metavar="ID")
@connected()
def show(output: Output, client: AdminClient, key_id: str) -> None:
    """Show a key's limits and what it has used."""
    found = client.call(wire.KEY, key_id=key_id)
    output.data(found, _lines(found))


@key.command()
@click.argument("key_id", metavar="ID")
@limit_options
@prints
def limit(output: Output, /, data: Path, key_id: str, **given: Any) -> None:
    """Replace a key's limits.

    Limits you omit are removed.
    """
    wanted = KeyLimits.of(**given)
    with admin_client(data) as client:
        found = client.call(wire.KEY_LIMIT, wanted, key_id=key_id)
    output.data(found, _lines(found))


@key.command()
@click.argument("key_id", metavar="ID")
@click.option(
    "--overlap",
    type=int,
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds that the old secret stays valid.",
)
@connected()
def rotate(output: Output, client: AdminClient, key_id: str, overlap: int) -> None:
    """Give a key a new secret and print it, once."""
    made = client.call(wire.KEY_ROTATE, wire.KeyRotate.of(overlap=overlap), key_id=key_id)
    _print_secret(output, made)


@key.command()
@click.argument("key_id", metavar="ID")
@connected()
def revoke(output: Output, client: AdminClient, key_id: str) -> None:
    """Revoke a key for good.

    Its running answers end within a second.
    """
    revoked = client.call(wire.KEY_REVOKE, key_id=key_id)
    output.data(revoked, [f"{revoked.id} {state(revoked.state)}"])


def _print_secret(output: Output, made: NewKey) -> None:
    if not made.secret:
        output.data(
            made, [f"key {made.id} for {safe(made.name)}: its client certificate is its secret"]
        )
        return
    if not output.as_json:
        output.note(f"key {made.id} for {safe(made.name)}; the secret is shown only now:")
        if made.rotated_until:
            output.note(f"the old secret is good until {made.rotated_until}")
    output.data(made, [made.secret])


def _lines(found: Key) -> list[str]:
    used = found.usage
    return [
        f"{found.id} {state(found.state)} {safe(found.name)}",
        f"  models {safe(wire.allowed_models(found))}",
        *(["  for verified people only"] if found.person else []),
        f"  {_limits(found.limits)}",
        f"  used: {many(used.requests, 'request')}, {many(used.prompt_tokens, 'token')} read,"
        f" {used.completion_tokens} written; last {found.last_used or 'never'}",
        f"  made {found.created}, expires {found.expires or 'never'}",
        *([f"  old secret good until {found.rotated_until}"] if found.rotated_until else []),
        *([f"  client certificate {found.certificate}"] if found.certificate else []),
    ]


def _limits(limits: Limits) -> str:
    def stated(value: int | None) -> str:
        return "any" if value is None else str(value)

    return (
        f"limits a minute: requests {stated(limits.rpm)}, tokens {stated(limits.tpm)};"
        f" {stated(limits.concurrency)} at once, weight {limits.weight}, {limits.priority}"
    )


def _fingerprint(path: Path) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise UsageError("key_unreadable", f"{path} is not a certificate in PEM.") from error
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
