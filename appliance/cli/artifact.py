"""`artifact`: whatever is signed and approved, from the signer's desk to its end.

Rules: `sign` and `verify` need neither data directory nor server; private keys stay in this
process.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from appliance.cli import media
from appliance.cli.connect import admin_client, connected
from appliance.cli.differences import grammar_difference, template_difference
from appliance.cli.job import run_job
from appliance.cli.output import (
    DIRECTORY,
    FILE,
    Output,
    ProgressBar,
    json_option,
    prints,
    safe,
    size,
    state,
    table,
)
from appliance.cli.signing import key_option
from appliance.client import AdminClient
from appliance.clock import SystemClock
from appliance.errors import Refused
from appliance.facts import table_of
from appliance.text import many
from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa, oms
from appliance.trust.bytes.manifest import Manifest
from appliance.trust.statements import approval
from appliance.trust.statements.approval import ApprovalSubject
from appliance.types import JsonValue
from appliance.wire.admin import models as wire
from appliance.wire.admin.endpoint import Endpoint
from appliance.wire.admin.models import Model, ModelDetail, ModelImported, use_of


@click.group()
def artifact() -> None:
    """Artifacts: sign, import, approve, revoke.

    Models, adapters, datasets, tasks, classifiers and routes.
    """


artifact.add_command(media.places)
artifact.add_command(media.plan)


@artifact.command()
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@key_option("The publisher's private key.")
@click.option(
    "--cert", "chain", type=FILE,
    help="Sign by certificate. The key's, then its issuers, PEM.",
)  # fmt: skip
@click.option(
    "--shard-size", type=click.IntRange(1), metavar="BYTES",
    help="Hash files in shards of this size, not whole.",
)  # fmt: skip
@click.option(
    "--base", type=DIRECTORY, metavar="BASE_DIR",
    help="Of an adapter: the signed base model. Its directory.",
)  # fmt: skip
@json_option
@click.pass_obj
def sign(
    output: Output,
    directory: Path,
    key: ecdsa.SigningKey,
    chain: Path | None,
    shard_size: int | None,
    base: Path | None,
) -> None:
    """Sign every file of a directory.

    The signature is model.sig (OMS).
    """
    with ProgressBar() as progress:
        if base is not None:
            signing.bind_adapter(directory, base, progress)
        bundle = signing.sign_directory(
            directory,
            key,
            progress,
            chain_pem=chain.read_bytes() if chain else None,
            shard_size=shard_size,
        )
    manifest = oms.parse_manifest(oms.parse_bundle(bundle))
    _tell_signed(output, manifest, signature=str(directory / "model.sig"))


@artifact.command()
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@click.option(
    "--key", "keys", type=FILE, multiple=True,
    help="A public key, PEM; repeatable. It may have signed.",
)  # fmt: skip
@click.option("--roots", type=FILE, help="Root certificates, PEM. The signer's leads to one.")
@json_option
@click.pass_obj
def verify(output: Output, directory: Path, keys: tuple[Path, ...], roots: Path | None) -> None:
    """Verify model.sig and every file.

    Against public keys or root certificates.
    """
    if not keys and roots is None:
        raise click.UsageError("Pass --key or --roots.")
    with ProgressBar() as progress:
        manifest = signing.verify_directory(
            directory,
            [key.read_bytes() for key in keys],
            progress,
            roots_pem=roots.read_bytes() if roots else None,
            at_us=SystemClock().wall_us(),
        )
    output.data(
        {"ok": True, "digest": manifest.root, "files": dict(manifest.files)},
        [f"{state('verified')} {many(len(manifest.files), 'file')}, digest {manifest.root}"],
    )


@artifact.command("import")
@click.argument("path", metavar="PATH", type=DIRECTORY)
@click.option("--id", "model_id", metavar="ID", help="By default the name of the directory.")
@click.option(
    "--detach", is_flag=True, help="Leave the import to the server. `appliance job` shows it."
)
@prints
def import_(output: Output, data: Path, path: Path, model_id: str | None, detach: bool) -> None:
    """Copy a signed artifact into the store.

    It is vetted and verified; an interrupted copy is resumed.
    """
    source = path.absolute()
    if detach:
        with admin_client(data, needs_server=True) as client:
            wanted = {"path": str(source), "id": model_id}
            run_job(output, client, "import", wanted, wait=False)
    else:
        imported(output, data, source, model_id)


def imported(output: Output, data: Path, source: Path, model_id: str | None) -> None:
    """Exit 1 where it is refused."""
    with admin_client(data) as client, ProgressBar() as progress:
        try:
            shown = client.call(
                wire.MODEL_IMPORT,
                wire.ModelImport.of(path=str(source), id=model_id),
                report=progress,
            )
        except Refused as error:  # not even stored; told in the same shape
            shown = ModelImported(
                id=model_id or source.name, state="refused", digest=None,
                code=error.code, message=error.message, hint=error.hint,
            )  # fmt: skip
    output.data(shown, [*_copied(shown), *lines_of(shown)])
    output.require(shown.state not in {"refused", "revoked"})


@artifact.command()
@click.argument("model_id", metavar="ID")
@click.option("--as", "name", metavar="NAME", required=True, help="The approver, as in the policy.")
@key_option("The approver's private key.")
@click.option("--meaning", metavar="TEXT", required=True, help="Meaning of the signature.")
@connected()
def approve(output: Output, client: AdminClient, /, **given: Any) -> None:
    """Sign one approval.

    An artifact is usable once enough different people approved it.
    """
    approved = approved_by(output, client, **given)
    output.data(approved, lines_of(approved))


def approved_by(
    output: Output,
    client: AdminClient,
    model_id: str,
    name: str,
    key: ecdsa.SigningKey,
    meaning: str,
) -> Model:
    """Show what is signed, then sign it."""
    wanted = client.call(wire.MODEL_SUBJECT, model_id=model_id)
    envelope = approval.sign(
        ApprovalSubject(wanted.digest, wanted.signature_sha256, wanted.round, wanted.certificate),
        name=name,
        meaning=meaning,
        private_key=key,
    )
    difference, template = template_difference(client, model_id, None)
    if template.used:
        output.note(f"chat template {template.sha256}")
    changed, grammars = grammar_difference(client, model_id, None)
    for grammar in grammars.grammars:
        output.note(f"grammar {safe(grammar.name)} {grammar.sha256}")
    for line in (*difference, *changed):
        output.note(f"  {line}")
    output.note(f"{safe(name)} approves {safe(model_id)}, digest {wanted.digest}")
    if wanted.certificate is not None:
        output.note(f"on the evaluation {wanted.certificate}")
    return client.call(wire.MODEL_APPROVE, wire.ApprovalUpload.holding(envelope), model_id=model_id)


@artifact.command("list")
@connected()
def list_(output: Output, client: AdminClient) -> None:
    """List the artifacts and their states.

    In JSON they are `models`.
    """
    found = client.call(wire.MODELS)
    output.listing(found, found.models, wire.MODEL_TABLE)


@artifact.command()
@click.argument("model_id", metavar="ID")
@click.option("--bom", is_flag=True, help="Print the bill of materials. CycloneDX 1.7, JSON.")
@click.option(
    "--template-diff", is_flag=True,
    help="Print how the chat template differs. From the version served before, else from the"
         " model's file.",
)  # fmt: skip
@click.option(
    "--grammar-diff", is_flag=True,
    help="Print how the grammars differ. From those of the version served before.",
)  # fmt: skip
@click.option("--against", metavar="ID", help="Another model whose texts are compared.")
@prints
def show(
    output: Output,
    data: Path,
    model_id: str,
    bom: bool,
    template_diff: bool,
    grammar_diff: bool,
    against: str | None,
) -> None:
    """Show one artifact.

    Its state and why, approvals, grammars, facts.
    """
    compare = template_difference if template_diff else grammar_difference
    differs = template_diff or grammar_diff
    if bom + template_diff + grammar_diff > 1 or (against and not differs):
        raise click.UsageError("Ask for one of --bom, --template-diff and --grammar-diff.")
    with admin_client(data) as client:
        if bom:
            click.echo(client.call(wire.MODEL_BOM, model_id=model_id).decode())
            return
        if differs:
            lines, shown = compare(client, model_id, against)
            output.data({**shown.model_dump(), "diff": lines}, lines or ["no difference"])
            return
        detail = client.call(wire.MODEL, model_id=model_id)
    output.data(detail, _details(detail))


def _ends(
    name: str, at: Endpoint[wire.Reason, Model], about: str, *, reasoned: bool = False
) -> None:
    @artifact.command(name, help=about)
    @click.argument("model_id", metavar="ID")
    @click.option("--reason", metavar="TEXT", required=reasoned, help="For the audit log.")
    @connected()
    def end(output: Output, client: AdminClient, model_id: str, reason: str | None) -> None:
        ended = client.call(at, wire.Reason.of(reason=reason or ""), model_id=model_id)
        output.data(ended, lines_of(ended))


_ends(
    "suspend",
    wire.MODEL_SUSPEND,
    "Stop an artifact until it is approved again.\n\nIt takes enough people, as the first time.",
)
_ends(
    "retire",
    wire.MODEL_RETIRE,
    "Retire an artifact for good.\n\nIts files stay as evidence.",
)
_ends(
    "revoke",
    wire.MODEL_REVOKE,
    "End an artifact that must not be trusted.\n\nIt is never used again.",
    reasoned=True,
)


@artifact.command()
@connected()
def recheck(output: Output, client: AdminClient) -> None:
    """Re-verify every approved artifact.

    Files are hashed again and the policy is asked again; exit 1 if one is wrong.
    """
    found = client.call(wire.MODELS_RECHECK)
    lines = [line for shown in found.models for line in lines_of(shown)]
    output.data(found, lines or ["every approved artifact is as it was"])
    output.require(not found.models)


def _copied(shown: ModelImported) -> Iterator[str]:
    for file in shown.files:
        there = f", {(file.size - file.copied) / 1e6:.1f} MB of it there already"
        rest = "" if file.copied == file.size else there
        yield f"  {file.size / 1e6:9.1f} MB  {file.sha256[:12]}  {safe(file.name)}{rest}"


def lines_of(shown: Model) -> Iterator[str]:
    """With its state and why."""
    yield f"{safe(shown.id)} {state(shown.state)}" + (f" {shown.digest}" if shown.digest else "")
    if shown.code:
        yield f"  {shown.code}: {safe(shown.message)}"
        yield f"  {safe(shown.hint)}"
    elif shown.message:
        yield f"  {safe(shown.message)}"


def _details(detail: ModelDetail) -> Iterator[str]:
    yield from lines_of(detail)
    yield f"  imported {detail.created}, {'loaded' if detail.loaded else 'not loaded'}"
    yield f"  allows: {', '.join(map(safe, detail.actions)) or 'nothing more'}"
    yield f"  memory: {safe(detail.memory) or '-'}"
    last = f", last used {detail.last_used}" if detail.last_used else ""
    asked = "" if detail.on_demand else ", not loaded on demand"
    yield f"  use: {safe(use_of(detail))}{last}{asked}"
    if detail.publisher:
        yield (
            f"  signed by {safe(detail.publisher)}; "
            f"{many(detail.approvals_needed, 'approval')} needed"
        )
    if detail.unloaded:
        yield f"  unloaded: {safe(detail.unloaded)}"
    for given in detail.approvals:
        yield f"  approved by {safe(given.name)} at {given.time}: {safe(given.meaning)}"
    for grammar in detail.grammars:
        yield f"  grammar {safe(grammar.name)}: {safe(grammar.kind)}, {grammar.sha256}"
    for name, value in table_of(detail.facts).items():
        yield f"  {safe(name)}: {safe(_fact(name, value))}"


def _fact(name: str, value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{part} {size(number)}" for part, number in value.items()) or "-"
    return size(value) if name.endswith("_bytes") and isinstance(value, int) else str(value)


def signed_directory(path: Path, private: ecdsa.SigningKey) -> Manifest:
    """Raises as `signing.sign_directory`."""
    with ProgressBar() as progress:
        bundle = signing.sign_directory(path, private, progress)
    return oms.parse_manifest(oms.parse_bundle(bundle))


def signs(group: click.Group, check: Callable[[Path], object]) -> None:
    """`sign` of a kind of artifact, whose directory is checked before."""

    @group.command(
        help=f"Check a {group.name}, then sign it.\n\nEvery file of it goes into model.sig (OMS)."
    )
    @click.argument("path", metavar="DIR", type=DIRECTORY)
    @key_option("The publisher's private key.")
    @json_option
    @click.pass_obj
    def sign(output: Output, path: Path, key: ecdsa.SigningKey) -> None:
        check(path)
        _tell_signed(output, signed_directory(path, key))


def imports(group: click.Group, check: Callable[[Path], object] | None = None) -> None:
    """`import` of a kind of artifact, whose directory may be checked before."""

    @group.command(
        "import",
        help=f"Copy a signed {group.name} into the store.\n\n"
        "It is verified; approve it like a model.",
    )
    @click.argument("path", metavar="PATH", type=DIRECTORY)
    @click.option("--id", "model_id", metavar="ID", help="By default the name of the directory.")
    @prints
    def import_(output: Output, data: Path, path: Path, model_id: str | None) -> None:
        if check is not None:
            check(path)
        imported(output, data, path.absolute(), model_id)


def lists(group: click.Group) -> None:
    """`list` of a kind of artifact."""

    @group.command("list", help=f"List the {group.name}s and their states.")
    @connected()
    def list_(output: Output, client: AdminClient) -> None:
        found = [shown for shown in client.call(wire.MODELS).models if shown.kind == group.name]
        document = {f"{group.name}s": [shown.model_dump(mode="json") for shown in found]}
        rows = [
            (safe(shown.id), state(shown.state), (shown.digest or "-")[:16], safe(shown.message))
            for shown in found
        ]
        none = f"No {group.name}s. Import one with `appliance {group.name} import DIR`."
        output.data(document, table(("ID", "STATE", "DIGEST", "WHY"), rows) if rows else [none])


def _tell_signed(output: Output, made: Manifest, **more: JsonValue) -> None:
    said = f"signed {many(len(made.files), 'file')}, digest {made.root}"
    output.data({"digest": made.root, "files": len(made.files), **more}, [said])
