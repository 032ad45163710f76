"""The commands of the installer.

Exit status: 0 done, 1 refused or failed, 2 wrong usage. Narration goes to stderr, results to
stdout, as one JSON document with `--json`. `install.sh`, which has checked the first files, starts
`install` and `verify`; `appliance-installer` on the host starts the others.
"""

import argparse
import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from installer.host import backup, commands
from installer.host.install import roll_back, settle
from installer.host.ledger import open_ledger
from installer.host.problems import InstallError, say
from installer.host.uninstall import uninstall

Result = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--user", action="store_true", help="below the home directory, not as root")
    shared.add_argument("--state", help="directory of ledger and copies")
    shared.add_argument("--json", action="store_true", help="print one JSON document")
    stick = argparse.ArgumentParser(add_help=False)
    stick.add_argument("--media", required=True, type=Path, help="the bundle on the stick")
    stick.add_argument("--boot", required=True, type=Path, help=argparse.SUPPRESS)
    top = argparse.ArgumentParser(prog="appliance-installer", description=__doc__)
    found = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, *parents: argparse.ArgumentParser) -> Any:
        return found.add_parser(name, help=text, description=text, parents=[shared, *parents])

    install = command("install", "Install, upgrade or repair from a stick.", stick)
    install.add_argument("--answers", type=Path, help="answer file (TOML)")
    install.add_argument("--fingerprint", help="of the vendor's key, from paper")
    install.add_argument("--dry-run", action="store_true", help="check and tell, change nothing")
    command("verify", "Check a whole bundle on its stick, every byte.", stick)
    tuning = command("tuning", "Install the tuning set from its stick.")
    tuning.add_argument("--media", required=True, type=_here, help="the tuning set on the stick")
    command("status", "Show what is installed, and what an interrupted run left.")
    command("check", "Compare the installed files with the signed listing.")
    key = command("vendor-key", "Take a new key of the vendor's, announced on paper.")
    key.add_argument("file", type=_here)
    key.add_argument("--fingerprint", required=True, help="of the new key, from paper")
    recover = command("recover", "Undo an interrupted installation or upgrade.")
    recover.add_argument("--boot", action="store_true", help="the host is starting")
    back = command("rollback", "Put the release before in service again.")
    back.add_argument("--with-snapshot", action="store_true", help="and its database")
    gone = command("uninstall", "Remove the product; records stay.")
    gone.add_argument("--purge", action="store_true", help="the audit log and all data too")
    saved = command("backup", "Write data and keys to one file.")
    saved.add_argument("file", type=_here)
    saved.add_argument("--with-models", action="store_true", help="the stored models too")
    for name, text in (
        ("restore", "Put the data of a backup back."),
        ("drill", "Try a backup: restore a copy, verify its log, remove it."),
    ):
        tried = command(name, text)
        tried.add_argument("file", type=_here)
        tried.add_argument(
            "--key", default="", type=_key, help="an officer's private key, if it is encrypted"
        )
        tried.add_argument(
            "--passphrase-file", default="", type=_key, help="has its passphrase or PIN"
        )
    return top


def _here(text: str) -> Path:
    """A path where it was typed: the installer works in the root directory."""
    return Path(text).absolute()


def _key(text: str) -> str:
    return str(_here(text)) if text and not text.startswith("pkcs11:") else text


def forbid_dumps() -> None:
    """Leave no core dump: a backup has every key of the site in memory for a moment."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(4, *(ctypes.c_ulong(0) for _ in range(4)))  # PR_SET_DUMPABLE


def main() -> NoReturn:
    """Run one command and end the process."""
    options = parser().parse_args()
    signal.signal(signal.SIGTERM, _interrupted)
    os.umask(0o022)
    os.chdir("/")
    try:
        result = run(options)
    except (InstallError, KeyboardInterrupt, OSError) as error:
        refusal = _refusal(error)
        for line in refusal.lines():
            say(line)
        told = {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}
        if options.json:
            _print({"ok": False, **told})
        raise SystemExit(1) from None
    if options.json:
        _print({"ok": True, **result})
    raise SystemExit(0)


def run(options: argparse.Namespace) -> Result:
    """Run the chosen command."""
    table: dict[str, Callable[[argparse.Namespace], Result]] = {
        "install": commands.install_from,
        "verify": commands.verify_media,
        "tuning": commands.install_tuning,
        "status": commands.status,
        "check": commands.check,
        "vendor-key": commands.take_vendor_key,
        "recover": _recover,
        "rollback": _rollback,
        "uninstall": _uninstall,
        "backup": _backup,
        "restore": _restore,
        "drill": _drill,
    }
    return table[options.command](options)


def _recover(options: argparse.Namespace) -> Result:
    place = commands.installed(options)
    try:
        with open_ledger(place.layout.state) as ledger:
            undone = settle(ledger, place.layout, place.service, boot=options.boot)
    except InstallError as error:
        if options.boot and error.code == "installer_running":
            return {"undone": None}
        raise
    say(f"The installation of {undone} was undone." if undone else "Nothing was interrupted.")
    return {"undone": undone}


def _rollback(options: argparse.Namespace) -> Result:
    place = commands.installed(options)
    with open_ledger(place.layout.state) as ledger:
        release = roll_back(
            ledger, place.layout, place.service, with_snapshot=options.with_snapshot
        )
    say(f"{release} is in service again.")
    return {"release": release}


def _uninstall(options: argparse.Namespace) -> Result:
    place = commands.installed(options)
    with open_ledger(place.layout.state) as ledger:
        kept = uninstall(ledger, place.layout, place.service, purge=options.purge)
    for path in kept:
        say(f"  kept: {path}")
    say("The product is removed." + (" --purge removes the records too." if kept else ""))
    return {"kept": [str(path) for path in kept]}


def _backup(options: argparse.Namespace) -> Result:
    place = commands.installed(options)
    with open_ledger(place.layout.state):
        found = backup.backup(
            place.layout,
            place.answers,
            place.service,
            options.file,
            models=options.with_models,
        )
    say(f"{options.file}: {found['files']} files, {found['bytes'] >> 20} MiB, read back.")
    if found["encrypted"]:
        say("  The officers' keys open it, each alone. Try it with `drill --key KEY`.")
    else:
        say("  It holds secret keys and texts: store it as you store those. Try it with `drill`.")
    _say_models(found["left_out"], "These models are not in it; keep what brings them back")
    return found


def _restore(options: argparse.Namespace) -> Result:
    place = commands.installed(options)
    with open_ledger(place.layout.state):
        place.service.stop()
        found = backup.restore(place.layout, place.answers, options.file, opening=_opening(options))
        bring = backup.to_bring(place.layout, place.answers, found, place.layout.data)
        place.service.start()
    say(f"{place.layout.data} is as it was under {found['release']}.")
    _say_models(bring, "Bring these models: appliance artifact import DIR --id ID")
    return {"release": found["release"], "bring": bring}


def _drill(options: argparse.Namespace) -> Result:
    place = commands.installed(options)
    found = backup.drill(place.layout, place.answers, options.file, _opening(options))
    say(f"The backup restores; its audit log verifies: {found['entries']} entries.")
    _say_models(found["bring"], "These models must be brought after a restore")
    return found


def _opening(options: argparse.Namespace) -> backup.Opening:
    return backup.Opening(options.key, options.passphrase_file)


def _say_models(models: backup.Left, words: str) -> None:
    if models:
        say(f"{words}:")
    for model in models:
        say(f"  {model['id']}  {model['digest']}")


def _refusal(error: InstallError | KeyboardInterrupt | OSError) -> InstallError:
    """The reason why a command stopped, with a code and a next step."""
    if isinstance(error, InstallError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return InstallError("interrupted", "Stopped.")
    return InstallError("step_failed", f"{error.filename or 'a file'}: {error.strerror}.")


def _print(document: Result) -> None:
    json.dump(document, sys.stdout, indent=1)
    print()


def _interrupted(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
