"""The phases of an installation or upgrade, in their order.

Rules: each phase may be repeated after any interruption, and then gives the same result; before
`switch` the release in service is only stopped.
"""

import re
import shutil
from collections.abc import Callable
from typing import Any, Final

from installer.host import health, models, releases, signature, system, tree, trust
from installer.host.answers import encode
from installer.host.assemble import assemble
from installer.host.context import Context
from installer.host.files import (
    exchange,
    explained,
    hash_file,
    remove,
    sync_directory,
    sync_tree,
    write_file,
)
from installer.host.manifest import parse_sums
from installer.host.problems import InstallError

Facts = dict[str, Any]
_BOOT: Final = ("MANIFEST.sha256", "MANIFEST.sig", "manifest.json", "vendor.pub")


def copy(run: Context) -> Facts:
    """Copy every missing part, hashing it meanwhile."""
    copied = [run.store.copy(run.media, part, run.progress) for part in run.parts]
    for line in copied:
        source = "from the stick" if line.copied else "there already"
        run.say(f"  {line.size / 1e6:9.1f} MB  {line.sha256[:12]}  {source}  {line.name}")
    return {"bytes": sum(line.copied for line in copied), "parts": len(copied)}


def verify(run: Context) -> Facts:
    """Read every copy back from the disk and compare it with the signed digest."""
    sums = parse_sums((run.boot / signature.SUMS).read_bytes())
    if sums.get("manifest.json") != hash_file(run.boot / "manifest.json")[0]:
        raise InstallError("file_changed", "manifest.json is not what was signed.")
    for part in run.parts:
        run.store.verify(part)
    return {"parts": len(run.parts)}


def assemble_tree(run: Context) -> Facts:
    """Make the tree of the release next to the others and compare it with its listing."""
    if _is_there(run):
        return {"there": True}
    part = run.release.with_name(run.release.name + ".part")
    remove(part)
    with explained(part):
        part.mkdir(parents=True, mode=0o755)
        wheels = [(p.name, run.store.path(p)) for p in run.parts if p.kind in ("wheel", "plugin")]
        runtime = run.store.path(run.manifest.only("runtime"))
        assemble(runtime, wheels, part / "root", lambda name: run.progress(name, 0, 1))
        _accompany(run, part)
    run.progress("compare", 0, 1)
    tree.check(part / "root", (part / "tree.list").read_text())
    with explained(part):
        sync_tree(part)
        if run.release.exists():  # damaged, or for another accelerator: kept until the commit
            replaced = run.release.with_name(run.release.name + ".damaged")
            remove(replaced)
            exchange(part, run.release)
            part.rename(replaced)
        else:
            part.rename(run.release)
        sync_directory(run.layout.releases)
    return {"there": False}


def label(run: Context) -> Facts:
    """Set labels of SELinux and the trust file of fapolicyd."""
    done = system.label(
        run.layout, run.release, selinux=run.host.selinux, fapolicyd=run.host.fapolicyd
    )
    return {"done": done}


def prepare_host(run: Context) -> Facts:
    """Accounts, links to units and settings, commands."""
    if not run.layout.user:
        system.make_accounts(run.answers, run.layout.data)
    with explained(run.layout.etc):
        system.install(run.layout, run.service.managed)
    return {}


def stop(run: Context) -> Facts:
    """Stop the release in service; downtime begins."""
    return {"ran": run.service.stop()}


def snapshot(run: Context) -> Facts:
    """Copy the database as the release before left it."""
    if not run.data_existed or run.previous == run.manifest.release:
        return {}
    if releases.current(run.layout) == run.manifest.release:
        return {}  # switched before an interruption: the copy of that time counts
    with explained(run.layout.snapshots):
        return {"schema": releases.snapshot(run.layout, run.manifest.release)}


def switch(run: Context) -> Facts:
    """The one rename."""
    with explained(run.layout.current):
        releases.switch(run.layout, run.manifest.release)
    return {}


def initialise(run: Context) -> Facts:
    """Make the data directory on the first installation, and bring the chosen models."""
    data = run.layout.data
    if not (data / "appliance.toml").is_file():
        part = data.with_name(data.name + ".part")
        remove(part)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir(mode=0o750)
        if not run.layout.user:
            shutil.chown(part, run.answers.account, run.answers.operators)
        with explained(part):
            run.product(part).run("init", *trust.profile(run))
            settings = part / "appliance.toml"
            text = settings.read_text()
            text = re.sub(r'(?m)^host = ".*"$', f'host = "{run.answers.host}"', text)
            settings.write_text(re.sub(r"(?m)^port = \d+$", f"port = {run.answers.port}", text))
            if not run.layout.user:
                (part / "run").chmod(0o2750)
                shutil.chown(part / "run", run.answers.account, run.answers.operators)
            sync_tree(part)
            if data.is_dir():
                data.rmdir()
            part.rename(data)
            sync_directory(data.parent)
    return {"trust": trust.bring(run), "models": models.bring(run)}


def start(run: Context) -> Facts:
    """Start the service at every boot from now on, and now."""
    run.service.enable()
    run.service.start()
    run.service.wait()
    return {}


def check_health(run: Context) -> Facts:
    """As `health.check`."""
    found = health.check(
        run.product(),
        release=run.manifest.release,
        manifest_sha256=hash_file(run.boot / "manifest.json")[0],
        key=signature.fingerprint(run.boot / signature.KEY),
    )
    if not run.service.answers():
        raise InstallError("health_failed", "The service ended during its self-test.")
    return found


def pin(run: Context) -> Facts:
    """Keep the vendor's key: upgrades must be signed with it."""
    run.layout.trust.mkdir(parents=True, exist_ok=True)
    pinned, key = run.layout.trust / signature.KEY, (run.boot / signature.KEY).read_bytes()
    if not (pinned.is_file() and pinned.read_bytes() == key):
        with explained(run.layout.trust):
            write_file(pinned, key)
    return {"key": signature.fingerprint(run.boot / signature.KEY)}


PHASES: Final[tuple[tuple[str, str, Callable[[Context], Facts]], ...]] = (
    ("copy", "Copying from the stick", copy),
    ("verify", "Reading the copies back", verify),
    ("assemble", "Putting the release together", assemble_tree),
    ("label", "Labels", label),
    ("host", "Accounts, units, commands", prepare_host),
    ("stop", "Stopping the release in service", stop),
    ("snapshot", "Copying the database", snapshot),
    ("switch", "Switching over", switch),
    ("initialise", "Data directory and models", initialise),
    ("start", "Starting", start),
    ("health", "Checking the new release", check_health),
    ("pin", "Keeping the vendor's key", pin),
)


def _is_there(run: Context) -> bool:
    try:
        releases.check(run.layout, run.manifest.release)
        return (run.release / "tree.list").read_text() == _listings(run)[1]
    except InstallError:
        return False


def _listings(run: Context) -> tuple[str, str]:
    """The signed listing of every host's tree, and that of this host's with its plugin."""
    lists = {p.when: run.store.path(p).read_text() for p in run.parts if p.kind == "tree"}
    lines = sorted(
        {line for text in lists.values() for line in text.splitlines()},
        key=lambda line: line.rpartition(" ")[2].encode(),
    )
    return lists[""], "".join(line + "\n" for line in lines)


def _accompany(run: Context, part: Any) -> None:
    """Files next to the tree: the signed evidence, the installer, units."""
    for name in _BOOT:
        shutil.copyfile(run.boot / name, part / name)
    shutil.copyfile(run.store.path(run.manifest.only("installer")), part / "installer.pyz")
    base, whole = _listings(run)
    (part / "base.list").write_text(base)
    (part / "tree.list").write_text(whole)
    for metadata in (p for p in run.parts if p.kind == "trust"):
        target = part / "trust" / metadata.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run.store.path(metadata), target)
    write_file(part / "answers.json", encode(run.answers))
    gpu = any(p.kind == "plugin" for p in run.parts)
    system.render(run.layout, run.answers, run.manifest.release, part, gpu=gpu)
