"""One run: begin, the phases, commit; or back to the former state.

Rules: each phase's line in the ledger is durable before the next begins; `commit` is the last and
the only one that makes a release count. A failure goes back at once (`settle`); a killed run is
continued by the same command, and otherwise settled by the next command or at the next boot. Going
back is idempotent. The audit log is never rolled back.
"""

from dataclasses import asdict
from typing import Any, Final

from installer.host import releases, signature, system
from installer.host.answers import Layout
from installer.host.context import Context
from installer.host.files import remove, sync_directory
from installer.host.ledger import Ledger
from installer.host.phases import PHASES
from installer.host.problems import InstallError
from installer.host.product import Product, product
from installer.host.service import Service

_RESERVE: Final = "reserve"
_RESERVED: Final = 64 << 10
_VERIFIED: Final = 3600.0
"""Seconds for an earlier release to read the whole log."""
"""Bytes kept in a file, so that going back is possible on a full disk."""


def install(run: Context) -> dict[str, Any]:
    """The facts of all phases by name; after a failure the earlier release is in service again."""
    begin = {
        "release": run.manifest.release,
        "counter": run.manifest.counter,
        "built": run.manifest.built,
        "previous": run.previous,
        "data_existed": run.data_existed,
        "pinned": (run.layout.trust / signature.KEY).is_file(),
        "managed": run.service.managed,
        "answers": asdict(run.answers) | {"models": list(run.answers.models)},
    }
    unfinished = run.ledger.unfinished()
    if unfinished and not _same(unfinished[0].facts, begin):
        settle(run.ledger, run.layout, run.service)
        unfinished = []
    _reserve(run.layout)
    if not unfinished:
        run.ledger.append("begin", **begin)
    facts: dict[str, Any] = {}
    try:
        for number, (name, title, phase) in enumerate(PHASES, start=1):
            run.say(f"[{number:2}/{len(PHASES)}] {title}")
            facts[name] = phase(run)
            run.ledger.append("done", phase=name, facts=facts[name])
        commit = {n: begin[n] for n in ("release", "counter", "previous")}
        run.ledger.append("commit", **commit, health=facts["health"])
    except BaseException as error:
        _go_back(run, error)
        raise
    _tidy(run)
    return facts


def settle(ledger: Ledger, layout: Layout, service: Service, *, boot: bool = False) -> str | None:
    """Undo an unfinished run; the release that was being installed, None if there was none.

    `boot`: the host is starting, and systemd starts the service afterwards.
    """
    events = ledger.unfinished()
    if not events:
        return None
    begin = events[0].facts
    release, previous = begin["release"], begin["previous"]
    remove(layout.state / _RESERVE)
    switched = releases.current(layout) == release and previous != release
    if switched:
        if not boot:  # at the boot it waits for us; stopping it would take that start away
            service.stop()
        if begin["data_existed"] and releases.changed(layout, release):
            releases.put_back(layout, release)
        releases.switch(layout, previous)
    if not begin["data_existed"] and previous is None:
        remove(layout.data)
    remove(layout.data.with_name(layout.data.name + ".part"))
    if previous is None:
        service.disable()
        system.uninstall(layout)
        if not begin["pinned"]:
            remove(layout.trust)
        if layout.etc.is_dir() and not any(layout.etc.iterdir()):
            layout.etc.rmdir()
    for path in system.leftovers(layout):
        remove(path)
    kept = {event.facts["release"] for event in ledger.committed()}
    for name in (f"{release}.part", *(() if release in kept else (release,))):
        remove(layout.release(name))
    replaced = layout.release(f"{release}.damaged")
    if release not in kept:
        remove(replaced)
    elif replaced.is_dir() and not layout.release(release).exists():
        replaced.rename(layout.release(release))
    remove(layout.snapshots / release)
    for name in ("models", "trust"):
        remove(layout.state / name)
    if layout.releases.is_dir():
        sync_directory(layout.releases)
    if previous is not None and boot and switched:
        service.start_later()
    if previous is not None and not boot and any(_stopped(event.facts) for event in events):
        service.start()
    ledger.append("rolled-back" if switched else "abandoned", release=release, previous=previous)
    return str(release)


def roll_back(ledger: Ledger, layout: Layout, service: Service, *, with_snapshot: bool) -> str:
    """Put the release before the current one in service again, on purpose; its name.

    Raises:
        InstallError: `nothing_to_roll_back`, `release_changed`, `health_failed`; `log_newer` and
            `schema_changed` leave the current one in service.
    """
    current = releases.current(layout)
    target = releases.before(ledger, current) if current else None
    if current is None or target is None or not layout.release(target).is_dir():
        raise InstallError("nothing_to_roll_back", "No earlier release is kept.")
    releases.check(layout, target)
    answers = releases.describe(layout, target)[1]
    service.stop()
    changed = releases.changed(layout, current)
    if changed and not with_snapshot:
        service.start()
        raise InstallError("schema_changed", f"{current} changed the database's schema.")
    try:
        _reads_log(product(layout, answers, target))
    except InstallError:
        service.start()
        raise
    if changed:
        releases.put_back(layout, current)
    releases.switch(layout, target)
    ledger.append("commit", release=target, previous=current, rollback=True, counter=0)
    service.start()
    service.wait()
    return target


def _reads_log(earlier: Product) -> None:
    """The log is never put back, so a release returns only if it reads the newer entries."""
    done = earlier.try_run("audit", "verify", timeout=_VERIFIED)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-1000:]
        raise InstallError("log_newer", f"The earlier release does not read the log: {said}")


def _same(unfinished: dict[str, Any], begin: dict[str, Any]) -> bool:
    """True if a run continues an unfinished one, whose word on the earlier release counts."""
    ignored = ("previous", "data_existed", "pinned")
    return all(unfinished.get(n) == v for n, v in begin.items() if n not in ignored)


def _go_back(run: Context, error: BaseException) -> None:
    reason = error.code if isinstance(error, InstallError) else type(error).__name__
    run.say(f"      {reason}: going back to what was")
    try:
        settle(run.ledger, run.layout, run.service)
    except (InstallError, OSError) as second:
        run.say(
            f"      going back is not complete ({second}); `appliance-installer recover` does it"
        )


def _stopped(facts: dict[str, Any]) -> bool:
    return facts.get("phase") == "stop" and bool(facts.get("facts", {}).get("ran"))


def _reserve(layout: Layout) -> None:
    path = layout.state / _RESERVE
    if not path.exists():
        path.write_bytes(b"\0" * _RESERVED)


def _tidy(run: Context) -> None:
    release = run.manifest.release
    before = releases.before(run.ledger, release)
    releases.prune(run.layout, {release, before})
    run.store.keep_only(part for part in run.parts if part.kind != "model")
    remove(run.layout.state / "models")
