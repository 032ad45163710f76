"""What tasks and datasets share: signed directories that are no models, listed like models."""

from pathlib import Path

from appliance.cli.connect import admin_client
from appliance.cli.output import Output, Progress, safe, state, table
from appliance.text import many
from appliance.trust.artifacts import signing
from appliance.trust.bytes import oms
from appliance.trust.bytes.manifest import Manifest
from appliance.wire.admin.models import MODELS


def signed_directory(path: Path, private: bytes) -> Manifest:
    """Sign every file of a directory into model.sig.

    Raises:
        ApplianceError: what `signing.sign_directory` raises.
    """
    with Progress() as progress:
        bundle = signing.sign_directory(path, private, progress)
    return oms.parse_manifest(oms.parse_bundle(bundle))


def sign_directory(output: Output, path: Path, key: Path) -> None:
    """Sign a directory and say its digest; raises as `signed_directory`."""
    manifest = signed_directory(path, key.read_bytes())
    document = {"digest": manifest.root, "files": len(manifest.files)}
    output.data(document, [f"signed {many(len(manifest.files), 'file')}, digest {manifest.root}"])


def list_artifacts(output: Output, data: Path, kind: str, none: str) -> None:
    """List the artifacts of a kind and their states.

    Args:
        none: what to say when there is none, and how to bring one in.
    """
    with admin_client(data) as client:
        found = [shown for shown in client.call(MODELS).models if shown.kind == kind]
    document = {f"{kind}s": [shown.model_dump(mode="json") for shown in found]}
    rows = [
        (safe(shown.id), state(shown.state), (shown.digest or "-")[:16], safe(shown.message))
        for shown in found
    ]
    output.data(document, table(("ID", "STATE", "DIGEST", "WHY"), rows) if rows else [none])
