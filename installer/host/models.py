"""Models over the stick: the same verified copies, then the product's own import.

In the lab profile the model is also signed and approved here.
"""

import shutil
from pathlib import Path
from typing import Any, Final

from installer.host.context import Context
from installer.host.files import remove
from installer.host.manifest import model_names
from installer.host.problems import InstallError

_READY: Final = frozenset({"approved", "serving", "verified"})


def bring(run: Context) -> list[dict[str, Any]]:
    """Import the chosen new models; id, state and digest of each (`step_failed`)."""
    wanted = model_names(run.parts)
    if not wanted:
        return []
    product = run.product()
    listed = product.run("model", "list")["models"]
    there = {model["id"]: model["state"] for model in listed}
    report = []
    for model in wanted:
        if there.get(model) in _READY and not (_lab(run) and there[model] == "verified"):
            report.append({"id": model, "state": there[model], "there": True})
            continue
        directory = lay_out(run, model)
        try:
            if model not in there or there[model] in ("refused", "missing"):
                report.append(_import(run, directory, model))
            if _lab(run):
                report[-1:] = [_approve(run, model)]
        finally:
            remove(directory)
        run.say(f"  {model}: {report[-1]['state']}")
    return report


def lay_out(run: Context, model: str) -> Path:
    """Put the files of a model into a directory that the product may read."""
    directory = run.layout.state / "models" / model
    remove(directory)
    directory.mkdir(parents=True, mode=0o755)
    for part in run.parts:
        if part.kind == "model" and part.name.startswith(f"{model}/"):
            target = directory / part.name.partition("/")[2]
            target.parent.mkdir(parents=True, exist_ok=True)
            run.store.verify(part)
            shutil.copyfile(run.store.path(part), target)
            target.chmod(0o644)
    if not run.layout.user:
        run.layout.state.chmod(0o711)  # the account reads the model's directory, nothing else
        directory.parent.chmod(0o711)
        for path in (directory, *directory.rglob("*")):
            shutil.chown(path, run.answers.account)
    return directory


def _lab(run: Context) -> bool:
    return (run.layout.data / "keys" / "lab").is_dir()


def _import(run: Context, directory: Path, model: str) -> dict[str, Any]:
    product = run.product()
    if _lab(run):
        key = run.layout.data / "keys" / "lab" / "publisher.pem"
        product.run("model", "sign", str(directory), "--key", str(key), on_data=False)
    found = product.run("model", "import", str(directory), "--id", model)
    if found["state"] == "refused":
        raise InstallError("step_failed", f"{model}: {found.get('code')}: {found.get('message')}")
    return {"id": model, "state": found["state"], "digest": found.get("digest")}


def _approve(run: Context, model: str) -> dict[str, Any]:
    product = run.product()
    shown = product.run("model", "show", model)
    given = {approval["name"] for approval in shown["approvals"]}
    for name in ("approver-1", "approver-2"):
        if name not in given:
            key = run.layout.data / "keys" / "lab" / f"{name}.pem"
            shown = product.run(
                *("model", "approve", model, "--as", name, "--key", str(key)),
                *("--meaning", "brought by the installer into the lab profile"),
            )
    return {"id": model, "state": shown["state"], "digest": shown.get("digest")}
