"""The commands: their work with a stick and with the installed product."""

import argparse
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installer.host import answers as answering
from installer.host import facts, manifest, preflight, releases, signature, tuning
from installer.host.answers import Answers, Layout
from installer.host.context import Context
from installer.host.files import hash_file, remove, write_file
from installer.host.install import install
from installer.host.ledger import NAME, Ledger, open_ledger, read_ledger
from installer.host.manifest import Manifest
from installer.host.preflight import InstallPlan
from installer.host.problems import InstallError, say
from installer.host.service import Service, service
from installer.host.store import Media, Store

Result = dict[str, Any]


@dataclass(frozen=True)
class Installation:
    """An installation on this host, or the place for one."""

    layout: Layout
    answers: Answers
    service: Service


class Terminal:
    """Progress in bytes as one line that is overwritten, or a line for every tenth part."""

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._shown = ("", -1)

    def __call__(self, what: str, done: int, total: int) -> None:
        percent = 100 * done // total if total else 100
        step = (what, percent if self._terminal else percent // 25)
        if step == self._shown:
            return
        self._shown = step
        if self._terminal:
            os.write(2, f"\r  {percent:3} %  {what[:60]:60}\r".encode("ascii", "replace"))
        elif total > 50_000_000:
            say(f"  {percent:3} %  {what}")


def installed(options: argparse.Namespace) -> Installation:
    """The installation that the options name, with the answers of its last run."""
    given = {"state": options.state} if options.state else {}
    chosen = answering.combine(given)
    layout = answering.layout(chosen, user=options.user, home=Path.home())
    events, _, _ = read_ledger(layout.state / NAME)
    begun = [event.facts["answers"] for event in events if event.name == "begin"]
    if begun:
        chosen = answering.combine(answering.kept(begun[-1]), given)
        layout = answering.layout(chosen, user=options.user, home=Path.home())
    return Installation(layout, chosen, service(layout, chosen, systemd=facts.host().systemd))


def read_bundle(options: argparse.Namespace, layout: Layout, fingerprint: str) -> Manifest:
    """The manifest of a bundle whose first files are in `options.boot`, signature checked.

    `signature_invalid`, `key_unknown`, `key_changed`, `file_changed`, `manifest_invalid`,
    `file_unlisted`.
    """
    boot: Path = options.boot
    key = boot / signature.KEY
    pinned = layout.trust / signature.KEY
    if pinned.is_file():
        if pinned.read_bytes() != key.read_bytes():
            raise InstallError(
                "key_changed", f"{signature.fingerprint(key)} is not the key pinned here."
            )
    elif fingerprint != signature.fingerprint(key):
        raise InstallError(
            "key_unknown", "The key of this bundle has another fingerprint than the one given."
        )
    signature.verify([_openssl(boot)], boot, key)
    sums = manifest.parse_sums((boot / signature.SUMS).read_bytes())
    for name in ("manifest.json", "install.pyz", "runtime.tar.gz"):
        if sums.get(name) != hash_file(boot / name)[0]:
            raise InstallError("file_changed", f"{name} is not what was signed.")
    Media(options.media).check_listing(sums)
    return manifest.parse((boot / "manifest.json").read_bytes())


def install_from(options: argparse.Namespace) -> Result:
    """`install`: preflight (`preflight_failed`), then the phases."""
    given = answering.parse(options.answers.read_bytes()) if options.answers else {}
    for name in ("state", "fingerprint"):
        if getattr(options, name):
            given[name] = getattr(options, name)
    chosen, layout = _choose(options, given)
    document = read_bundle(options, layout, chosen.fingerprint)
    host = facts.host()
    parts = document.chosen(host.accelerator, chosen.models)
    manager = service(layout, chosen, systemd=host.systemd)
    store, media = Store(layout.store), Media(options.media)
    if options.dry_run:
        events, chain, _ = read_ledger(layout.state / NAME)
        ledger = Ledger(layout.state / NAME, events, chain)
        _preflight(_plan(document, parts, media, store, layout, chosen, ledger), host, manager)
        return _told(document, parts, layout, chosen)
    with open_ledger(layout.state) as ledger:
        for path in layout.state.glob("boot.*"):  # of runs that were killed
            if path != options.boot:
                remove(path)
        plan = _plan(document, parts, media, store, layout, chosen, ledger)
        _preflight(plan, host, manager)
        begun = ledger.unfinished()
        previous = begun[0].facts["previous"] if begun else plan.current
        existed = (layout.data / "appliance.toml").is_file()
        run = Context(
            layout=layout,
            answers=chosen,
            manifest=document,
            parts=parts,
            boot=options.boot,
            media=media,
            store=store,
            host=host,
            service=manager,
            ledger=ledger,
            previous=previous,
            data_existed=begun[0].facts["data_existed"] if begun else existed,
            say=say,
            progress=Terminal(os.isatty(2)),
        )
        done = install(run)
    remove(options.boot)
    _tell(document, layout, chosen, done, managed=manager.managed)
    return {"release": document.release, "phases": done}


def verify_media(options: argparse.Namespace) -> Result:
    """`verify`: every byte of a bundle, up to the first wrong file."""
    place = installed(options)
    key = signature.fingerprint(options.boot / signature.KEY)
    document = read_bundle(options, place.layout, key)
    sums = manifest.parse_sums((options.boot / signature.SUMS).read_bytes())
    for name, wanted in sorted(sums.items()):
        try:
            digest, size = hash_file(options.media / name, from_disk=True)
        except FileNotFoundError as error:
            raise InstallError("file_missing", f"{name} is not on the stick.") from error
        except OSError as error:
            raise InstallError("media_unreadable", f"{name}: {error.strerror}.") from error
        if digest != wanted:
            raise InstallError("file_changed", f"{name} is not what was signed.")
        say(f"  {size / 1e6:9.1f} MB  {digest[:12]}  {name}")
    say(f"{document.release}: {len(sums)} files are what {key} signed.")
    return {"release": document.release, "files": len(sums), "key": key}


def install_tuning(options: argparse.Namespace) -> Result:
    """`tuning`: the tuning set of a stick, next to the release in service.

    `not_installed`; raises as `tuning.install`.
    """
    place = installed(options)
    if releases.current(place.layout) is None:
        raise InstallError("not_installed", f"There is no {place.layout.current}.")
    with open_ledger(place.layout.state):
        made = tuning.install(
            Media(options.media),
            place.layout,
            [_openssl(options.media)],
            Terminal(os.isatty(2)),
        )
    say(f"The tuning set is installed: {made['wheels']} wheels for Python {made['python']}.")
    say(f"Put this into {place.layout.data}/appliance.toml and start the server again:")
    say("  [tuning]")
    say(f'  directory = "{place.layout.tuning}"')
    return made


def status(options: argparse.Namespace) -> Result:
    """`status`: the installation, and the remains of an interrupted run."""
    place = installed(options)
    events, chain, _ = read_ledger(place.layout.state / NAME)
    ledger = Ledger(place.layout.state / NAME, events, chain)
    release = releases.current(place.layout)
    unfinished = ledger.unfinished()
    left = unfinished[0].facts["release"] if unfinished else None
    there = place.layout.releases
    found = {
        "release": release,
        "counter": releases.newest_counter(place.layout, ledger),
        "before": releases.before(ledger, release) if release else None,
        "unfinished": left,
        "done": [event.facts["phase"] for event in unfinished if event.name == "done"],
        "releases": sorted(path.name for path in there.glob("*")) if there.is_dir() else [],
        "data": str(place.layout.data),
    }
    for name, value in found.items():
        say(f"{name:11} {value}")
    return found


def check(options: argparse.Namespace) -> Result:
    """`check`: the installed files against the signed listing, the signature first.

    `not_installed`, `release_changed`, `signature_invalid`.
    """
    place = installed(options)
    release = releases.current(place.layout)
    if release is None:
        raise InstallError("not_installed", f"There is no {place.layout.current}.")
    where = place.layout.release(release)
    signature.verify_installed([_openssl(where)], where, place.layout.trust)
    sums = manifest.parse_sums((where / signature.SUMS).read_bytes())
    if sums["manifest.json"] != hash_file(where / "manifest.json")[0]:
        raise InstallError("release_changed", f"{where}/manifest.json is not what was signed.")
    releases.check(place.layout, release)
    say(f"{release}: every file is what was signed.")
    return {"release": release}


def take_vendor_key(options: argparse.Namespace) -> Result:
    """`vendor-key`: a new key takes the pinned one's place; what is installed stays valid.

    `not_installed`, `key_unknown`, `installer_running`.
    """
    place = installed(options)
    pinned, new = place.layout.trust / signature.KEY, options.file.read_bytes()
    key = hashlib.sha256(new).hexdigest()
    if not pinned.is_file():
        raise InstallError("not_installed", f"There is no {pinned}.")
    if answering.digits(options.fingerprint) != key:
        raise InstallError("key_unknown", "The key has another fingerprint than the one given.")
    with open_ledger(place.layout.state) as ledger:
        former = signature.fingerprint(pinned)
        if former != key:
            kept = pinned.with_name(signature.FORMER.format(former))
            write_file(kept, pinned.read_bytes())
            ledger.append("vendor-key", former=former, key=key)
            write_file(pinned, new)
    say(f"Sticks signed with {key} are taken; {former} holds for what is installed.")
    return {"key": key, "former": former}


def _choose(options: argparse.Namespace, given: Result) -> tuple[Answers, Layout]:
    """The release's in service, then the file's."""
    first = answering.combine(given)
    layout = answering.layout(first, user=options.user, home=Path.home())
    current = releases.current(layout)
    if current is None:
        return first, layout
    kept = vars(releases.describe(layout, current)[1])
    moved = [n for n in ("prefix", "data", "state") if given.get(n, kept[n]) != kept[n]]
    if moved:
        raise InstallError("answers_invalid", f"An upgrade does not move {', '.join(moved)}.")
    chosen = answering.combine(kept, given)
    return chosen, answering.layout(chosen, user=options.user, home=Path.home())


def _plan(
    document: Manifest,
    parts: list[manifest.Part],
    media: Media,
    store: Store,
    layout: Layout,
    chosen: Answers,
    ledger: Ledger,
) -> InstallPlan:
    return InstallPlan(
        manifest=document,
        parts=parts,
        media=media,
        store=store,
        layout=layout,
        answers=chosen,
        counter=releases.newest_counter(layout, ledger),
        current=releases.current(layout),
    )


def _preflight(plan: InstallPlan, host: facts.Host, manager: Service) -> None:
    problems = list(preflight.problems(plan, host, uid=os.geteuid()))
    if not manager.managed and manager.running():
        problems.append(InstallError("service_running", f"A process holds {plan.layout.data}."))
    for text in preflight.warnings(plan, host, year=time.gmtime().tm_year):
        say(f"note: {text}")
    for problem in problems:
        for line in problem.lines():
            say(line)
    if problems:
        codes = ", ".join(sorted({problem.code for problem in problems}))
        raise InstallError("preflight_failed", f"Nothing was changed: {codes}.")


def _told(
    document: Manifest, parts: list[manifest.Part], layout: Layout, chosen: Answers
) -> Result:
    size = sum(part.size for part in parts)
    say(f"{document.release} would be installed: {len(parts)} parts, {size / 1e6:.0f} MB, into")
    for name in ("prefix", "etc", "data", "state", "commands", "units"):
        say(f"  {name:9} {getattr(layout, name)}")
    say(f"  models    {_models(document, chosen)}")
    say("Nothing was changed.")
    return {"release": document.release, "dry_run": True, "bytes": size}


def _tell(
    document: Manifest, layout: Layout, chosen: Answers, done: Result, *, managed: bool
) -> None:
    health = done["health"]
    say("")
    say(
        f"{document.release} is in service. Checked by itself: policy {health['policy']}, "
        f"models {health['models']}, token {health['token']}, audit entry {health['entry']}."
    )
    if not managed:
        say(f"  start     {layout.commands / 'appliance'} serve (nothing here starts it by itself)")
    say(f"  command   {layout.commands / 'appliance'} status")
    say(f"  answers   http://{chosen.host}:{chosen.port}/v1 (a key: appliance key new NAME)")
    say(f"  models    {_models(document, chosen)}")
    say(f"  evidence  {layout.release(document.release)}: MANIFEST.sha256 and its signature")
    say("If something is wrong: appliance-installer rollback")


def _models(document: Manifest, chosen: Answers) -> str:
    """The models of a stick, brought or left, in words."""
    there = manifest.model_names(document.parts)
    brought = [name for name in there if name in chosen.models]
    left = [name for name in there if name not in chosen.models]
    text = f"from this stick: {', '.join(brought) or 'none'}"
    return text + (f"; also there, not asked for: {', '.join(left)}" if left else "")


def _openssl(directory: Path) -> str:
    for path in ("/usr/bin/openssl", "/usr/local/bin/openssl", "/bin/openssl"):
        if os.access(path, os.X_OK):
            return path
    raise InstallError("openssl_missing", f"No openssl to check {directory} with.")
