"""`model places`, `model plan`, `model demo`: from a stick, or from nothing, to a model.

Rules: `places` and `plan` change nothing; `demo` uses the lab's keys, so it exists in the lab
profile only.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from appliance.cli.connect import admin_client
from appliance.cli.output import (
    DIRECTORY,
    Output,
    ProgressBar,
    json_option,
    prints,
    safe,
    size,
    state,
    table,
)
from appliance.errors import Refused, UsageError
from appliance.host import removable_media
from appliance.text import many
from appliance.trust.artifacts import signing
from appliance.trust.statements import approval
from appliance.trust.statements.approval import ApprovalSubject
from appliance.wire.admin import models as wire
from appliance.wire.admin.models import Model
from appliance.wire.admin.plan import MODEL_PLAN, ImportPlan, PlanRequest

_APPROVERS = ("approver-1", "approver-2")


@click.command()
@click.argument("directories", metavar="[DIR]…", nargs=-1, type=DIRECTORY)
@json_option
@click.pass_obj
def places(output: Output, directories: tuple[Path, ...]) -> None:
    """List sticks and the artifacts on them.

    Directories that are named are listed, too.
    """
    found = removable_media.places(directories)
    output.data({"places": [asdict(place) for place in found]}, _places(found))


@click.command()
@click.argument("path", metavar="PATH", type=DIRECTORY)
@click.option("--id", "model_id", metavar="ID", help="By default the name of the directory.")
@click.option("--against", metavar="ID", help="Compare with this model of the store.")
@prints
def plan(output: Output, data: Path, path: Path, model_id: str | None, against: str | None) -> None:
    """Preview an import.

    It is checked where it is; exit 1 if it is refused.
    """
    wanted = PlanRequest.of(path=str(path.absolute()), id=model_id, against=against)
    with admin_client(data) as client, ProgressBar() as progress:
        found = client.call(MODEL_PLAN, wanted, report=progress)
    output.data(found, _plan(found))
    output.require(found.ok)


@click.command()
@click.option("--from", "source", metavar="FILE", type=DIRECTORY, help="A GGUF file of yours.")
@click.option("--id", "model_id", metavar="ID", help="By default made from the file's name.")
@prints
def demo(output: Output, data: Path, source: Path | None, model_id: str | None) -> None:
    """Sign, import and approve a lab model.

    It takes the lab's own keys, to try the appliance.
    """
    keys = data / "keys" / "lab"
    if not (keys / "publisher.pem").exists():
        raise UsageError("profile_unsupported", f"{keys} has no keys: this is for the lab.")
    file = source or _shipped()
    name = model_id or _id_of(file)
    with tempfile.TemporaryDirectory(prefix="appliance-demo-", dir=data / "run") as directory:
        artifact = Path(directory) / name
        artifact.mkdir()
        shutil.copyfile(file, artifact / file.name)
        with admin_client(data) as client, ProgressBar() as progress:
            signing.sign_directory(artifact, (keys / "publisher.pem").read_bytes(), progress)
            shown: Model = client.call(
                wire.MODEL_IMPORT, wire.ModelImport.of(path=str(artifact), id=name), report=progress
            )
            if shown.code:
                raise Refused(shown.code, shown.message)
            for person in _APPROVERS:
                wanted = client.call(wire.MODEL_SUBJECT, model_id=name)
                envelope = approval.sign(
                    ApprovalSubject(
                        wanted.digest, wanted.signature_sha256, wanted.round, wanted.certificate
                    ),
                    name=person,
                    meaning="to try the appliance in the lab",
                    private_key=(keys / f"{person}.pem").read_bytes(),
                )
                shown = client.call(
                    wire.MODEL_APPROVE, wire.ApprovalUpload.holding(envelope), model_id=name
                )
    output.data(shown, [f"{safe(shown.id)} {state(shown.state)} {shown.digest}"])


def _shipped() -> Path:
    """The model that came with this installation."""
    roots = [Path(sys.prefix) / "model", Path(sys.prefix) / "share" / "appliance" / "models"]
    for root in roots:
        for found in sorted(root.rglob("*.gguf")):
            return found
    raise Refused("demo_model_missing", f"{roots[0]} and {roots[1]} hold no GGUF file.")


def _id_of(file: Path) -> str:
    """SmolLM2-135M-Instruct.Q4_1.gguf becomes smollm2-135m-instruct."""
    stem = re.sub(r"[.-](q\d|f16|f32|bf16|iq\d).*$", "", file.stem.lower())
    return re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._")[:64] or "demo"


def _places(found: list[removable_media.MediaPlace]) -> Iterator[str]:
    if not found:
        yield "no stick is mounted; name a directory: appliance model places DIR"
    for place in found:
        kind = f"{safe(place.filesystem)} on {safe(place.device)}, " if place.filesystem else ""
        yield f"{safe(place.path)} ({kind}{size(place.free)} free)"
        rows = [
            (
                f"  {safe(artifact.name)}",
                size(artifact.bytes),
                "signed" if artifact.signed else "not signed",
                safe(artifact.path),
            )
            for artifact in place.artifacts
        ]
        yield from table(("  ARTIFACT", "SIZE", "SIGNATURE", "PATH"), rows) if rows else ["  none"]


def _plan(found: ImportPlan) -> Iterator[str]:
    yield f"{safe(found.id)} {state('ok' if found.ok else 'refused')} {safe(found.path)}"
    if found.code:
        yield f"  {found.code}: {safe(found.message)}"
        yield f"  {safe(found.hint)}"
        return
    yield f"  digest {found.digest}"
    yield f"  {many(found.files, 'file')}, {size(found.bytes)}, signed by {safe(found.publisher)}"
    fit = "fits" if found.fits else "does not fit now"
    yield f"  an engine takes {found.memory_mib} MiB of {found.budget_mib} MiB: {fit}"
    yield (
        f"  {many(found.approvals, 'approval')} needed, of {', '.join(map(safe, found.approvers))}"
    )
    if found.against:
        yield f"  differs from {safe(found.against)}:"
        rows = [(f"  {d.fact}", safe(d.then), safe(d.now)) for d in found.differences]
        yield from table(("  FACT", "THERE", "HERE"), rows)
