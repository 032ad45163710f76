"""Versions of a task that a classifier answers, in the store of a lab."""

from pathlib import Path

from appliance.app import Services
from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.linear import fit_linear
from appliance.trust.artifacts import signing
from tests.smol import key, quiet
from tests.tasks.example import CLASSIFIER

LABELS = ("hydraulics", "engine", "electrical")
_TEXTS = ("hose leak", "oil leak", "piston worn", "piston broken", "lamp dark", "lamp torn")


def import_version(services: Services, path: Path, labels: tuple[str, ...]) -> str:
    """Sign and import the version of the path's last letter; returns its digest.

    Args:
        labels: of leaks, pistons and lamps.
    """
    path.mkdir()
    (path / "task.toml").write_text(CLASSIFIER.replace("version = 1", f"version = {path.name[-1]}"))
    fitted = fit_linear(list(_TEXTS), [label for label in labels for _ in range(2)])
    (path / "classifier.json").write_bytes(document.write(fitted))
    signing.sign_directory(path, key(services.data, "publisher"), quiet)
    services.lifecycle.import_model("uid:0", path, None, quiet)
    return services.store.inventory.record(path.name).digest or ""
