"""`trust ceremony`: the security officer's side, on a machine of its own without a network.

Rules: no data directory and no server; each command is one step that is kept, and `guide` asks for
whatever comes next; passphrases come from a file or a prompt, never from the command line.
"""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from appliance.cli.output import Output, json_option, safe, state, table
from appliance.clock import SystemClock, iso
from appliance.errors import Refused
from appliance.trust import officer
from appliance.trust.ceremony import DAYS, Ceremony
from appliance.trust.officer import ROLES
from appliance.trust.root import HOLDER, fingerprint, reset_of

_DIR = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_passphrase = click.option(
    "--passphrase-file", type=_FILE, help="Its first line; without it there is a prompt."
)


@click.group()
def ceremony() -> None:
    """Make, sign and publish trust metadata on an offline machine."""


def _open(directory: Path) -> Ceremony:
    now = datetime.datetime.fromtimestamp(SystemClock().wall_us() / 1e6, datetime.UTC)
    return Ceremony(directory, now)


@ceremony.command()
@_DIR
@click.option("--org", required=True, metavar="NAME", help="Whose trust root it is.")
@click.option("--root", "root_", multiple=True, required=True, metavar="NAME",
              help="A holder of the root; three of them, of whom two must sign.")  # fmt: skip
@click.option("--targets", multiple=True, required=True, metavar="NAME",
              help="A holder of the policy; may be repeated.")  # fmt: skip
@click.option("--snapshot", multiple=True, metavar="NAME", help="By default the first of targets.")
@click.option("--timestamp", multiple=True, metavar="NAME", help="By default as snapshot.")
@click.option("--root-threshold", type=click.IntRange(2), default=2, show_default=True,
              help="How many holders must sign a root.")  # fmt: skip
@click.option("--targets-threshold", type=click.IntRange(1), default=1, show_default=True,
              help="How many holders must sign a policy.")  # fmt: skip
@click.option("--timestamp-days", type=click.IntRange(1, 3650), default=DAYS["timestamp"],
              show_default=True, help="How long a publication is valid.")  # fmt: skip
@json_option
@click.pass_obj
def start(
    output: Output,
    directory: Path,
    org: str,
    root_: tuple[str, ...],
    targets: tuple[str, ...],
    snapshot: tuple[str, ...],
    timestamp: tuple[str, ...],
    root_threshold: int,
    targets_threshold: int,
    timestamp_days: int,
) -> None:
    """Write down who holds which role."""
    third = list(snapshot) or [targets[0]]
    holders = {
        "root": list(root_), "targets": list(targets), "snapshot": third,
        "timestamp": list(timestamp) or third,
    }  # fmt: skip
    thresholds = {
        "root": root_threshold,
        "targets": targets_threshold,
        "snapshot": 1,
        "timestamp": 1,
    }
    made = _open(directory)
    made.start(org, holders, thresholds, {**DAYS, "timestamp": timestamp_days})
    _show(output, made)


@ceremony.command()
@_DIR
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the key is for.")
@click.option("--holder", required=True, metavar="NAME", help="Whose key it is.")
@click.option("--out", type=click.Path(path_type=Path), help="By default DIR/keys/ROLE-NAME.pem.")
@click.option("--public", type=_FILE, help="A public key that was made elsewhere, in place of one.")
@_passphrase
@json_option
@click.pass_obj
def key(
    output: Output,
    directory: Path,
    role: str,
    holder: str,
    out: Path | None,
    public: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Make the key of one holder, or note one that exists."""
    made = _open(directory)
    if (role, holder) not in made.keyless():
        raise Refused("ceremony_step", f"Not yet: {holder} of {role} is not planned or has a key.")
    if public is not None:
        pem = public.read_bytes()
    else:
        path = out or directory / "keys" / f"{role}-{holder}.pem"
        pem = officer.new_key(path, _passphrase_of(passphrase_file, path, new=True))
        output.note(f"private key of {safe(holder)}: {path}, mode 0600; move it to its own medium")
    made.add_key(role, holder, pem)
    _show(output, made)


@ceremony.command()
@_DIR
@click.argument("policy_file", metavar="FILE", type=_FILE)
@json_option
@click.pass_obj
def policy(output: Output, directory: Path, policy_file: Path) -> None:
    """Draft the next publication over a new policy."""
    made = _open(directory)
    made.set_policy(policy_file.read_bytes())
    _show(output, made)


@ceremony.command()
@_DIR
@json_option
@click.pass_obj
def refresh(output: Output, directory: Path) -> None:
    """Draft the same policy for longer."""
    made = _open(directory)
    made.refresh()
    _show(output, made)


@ceremony.command()
@_DIR
@click.option("--role", type=click.Choice(ROLES), required=True, help="Whose key changes.")
@click.option("--old", required=True, metavar="NAME", help="The holder who leaves.")
@click.option("--new", required=True, metavar="NAME", help="The holder who comes; may be the same.")
@json_option
@click.pass_obj
def rotate(output: Output, directory: Path, role: str, old: str, new: str) -> None:
    """Give the place of one holder to another, or one holder another key."""
    made = _open(directory)
    made.replace(role, old, new)
    _show(output, made)


@ceremony.command()
@_DIR
@json_option
@click.pass_obj
def clock(output: Output, directory: Path) -> None:
    """Draft a root that resets the clock of appliances that were once in the future."""
    made = _open(directory)
    made.reset_clock()
    _show(output, made)


@ceremony.command()
@_DIR
@click.option("--key", "key_files", type=_FILE, required=True, multiple=True,
              help="The private key of one holder; may be repeated.")  # fmt: skip
@_passphrase
@json_option
@click.pass_obj
def sign(
    output: Output, directory: Path, key_files: tuple[Path, ...], passphrase_file: Path | None
) -> None:
    """Sign every draft that these keys may sign."""
    made = _open(directory)
    for key_file in key_files:
        signer = officer.open_key(key_file, _passphrase_of(passphrase_file, key_file))
        signed = made.sign(signer)
        told = ", ".join(signed) or "nothing that this key may sign is drafted"
        output.note(f"signed with {safe(key_file.name)}: {told}")
    _show(output, made)


@ceremony.command()
@_DIR
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def publish(output: Output, directory: Path, out: Path) -> None:
    """Verify what is signed as an appliance would, and write it to a stick."""
    trusted = _open(directory).publish(out)
    root = fingerprint(trusted.held.roots[0])
    output.data(
        {"out": str(out), "versions": trusted.versions, "first_root": root,
         "expires": f"{trusted.expires:%Y-%m-%dT%H:%M:%SZ}"},
        [f"published to {out}, valid until {trusted.expires:%Y-%m-%d}",
         f"fingerprint of the first root: {root}"],
    )  # fmt: skip


@ceremony.command()
@_DIR
@json_option
@click.pass_obj
def status(output: Output, directory: Path) -> None:
    """Show what is done and what comes next."""
    _show(output, _open(directory))


@ceremony.command()
@_DIR
@click.option("--out", type=click.Path(path_type=Path), help="A file; by default the terminal.")
@json_option
@click.pass_obj
def record(output: Output, directory: Path, out: Path | None) -> None:
    """Write the record of the ceremony, to be printed and signed by hand."""
    lines = list(_record(_open(directory)))
    if out is not None:
        out.write_text("\n".join(lines) + "\n")
    output.data({"record": "\n".join(lines), "out": out and str(out)}, lines)


@ceremony.command()
@_DIR
@click.pass_obj
def guide(output: Output, directory: Path) -> None:
    """Ask for one step after the other; go on where it stopped."""
    made = _open(directory)
    if not (directory / "ceremony.json").exists():
        org = click.prompt("Organisation")
        roots = click.prompt("Holders of the root, separated by commas (three)")
        targets = click.prompt("Holders of the policy, separated by commas")
        names = {"root": _names(roots), "targets": _names(targets)}
        one = names["targets"][:1]
        need = {"root": 2, "targets": min(2, len(names["targets"])), "snapshot": 1, "timestamp": 1}
        made.start(org, {**names, "snapshot": one, "timestamp": one}, need, DAYS)
    for role, holder in made.keyless():
        path = directory / "keys" / f"{role}-{holder}.pem"
        click.echo(f"Key of {holder} for {role}: {path}")
        made.add_key(role, holder, officer.new_key(path, _passphrase_of(None, path, new=True)))
    if not (directory / "draft" / "targets" / "policy.json").exists():
        wanted = click.prompt("File of the new trust policy", type=_FILE, value_proc=Path)
        made.set_policy(wanted.read_bytes())
    while lacking := made.unsigned():
        for name, (count, people) in lacking.items():
            click.echo(f"{name} lacks {count}: {', '.join(people)}")
        path = click.prompt("Private key of the next one who signs", value_proc=Path)
        made.sign(officer.open_key(path, _passphrase_of(None, path)))
    out = click.prompt("Directory or stick to publish to", value_proc=Path)
    made.publish(out)
    for line in _record(made):
        click.echo(line)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _passphrase_of(file: Path | None, key_file: Path, *, new: bool = False) -> str:
    if file is not None:
        return (file.read_text().splitlines() or [""])[0]
    text: str = click.prompt(
        f"Passphrase of {key_file.name}", hide_input=True, confirmation_prompt=new, err=True
    )
    return text


def _show(output: Output, made: Ceremony) -> None:
    keyless, unsigned, drafts = made.keyless(), made.unsigned(), made.drafts()
    done = _next_step(made)
    document: dict[str, Any] = {
        "keys_missing": [{"role": role, "holder": name} for role, name in keyless],
        "drafts": sorted(drafts),
        "signatures_missing": {
            name: {"count": count, "holders": people} for name, (count, people) in unsigned.items()
        },
        "next": done,
    }
    lines = [f"{safe(name)} of {role} has no key" for role, name in keyless]
    for name, (_role, data) in drafts.items():
        count, people = unsigned.get(name, (0, []))
        word = (
            state("verified") if not count else f"lacks {count} of {', '.join(map(safe, people))}"
        )
        reset = reset_of([data])
        lines.append(
            f"{name}: {word}" + (f", sets the clock to {iso(reset.floor_us)}" if reset else "")
        )
    output.data(document, [*lines, f"next: {done}"])


def _next_step(made: Ceremony) -> str:
    if made.keyless():
        return "trust ceremony key"
    if "timestamp.json" not in made.drafts() and not (made.path / "published").exists():
        return "trust ceremony policy"
    if made.unsigned():
        return "trust ceremony sign"
    return "trust ceremony publish" if made.drafts() else "nothing: it is published"


def _record(made: Ceremony) -> Iterator[str]:
    """Plain Markdown, 78 columns, with lines for signatures by hand."""
    plan, trusted = made.plan(), made.trusted()
    yield f"# Record of the trust ceremony of {safe(plan['org'])}"
    yield ""
    yield f"Date: {iso(SystemClock().wall_us())}"
    yield ""
    yield "Fingerprint of the first root (SHA-256 of 1.root.json; compare it at `init`):"
    yield ""
    text = fingerprint(trusted.held.roots[0])
    for half in (text[:32], text[32:]):
        yield "    " + " ".join(half[i : i + 4] for i in range(0, 32, 4))
    yield ""
    versions = ", ".join(f"{name} {number}" for name, number in trusted.versions.items())
    yield f"Versions: {versions}"
    yield f"Valid until {trusted.expires:%Y-%m-%d %H:%M} UTC; the root until "
    yield f"{trusted.root.expires:%Y-%m-%d}."
    yield ""
    rows = [
        (role, str(trusted.root.roles[role].threshold), safe(str(key.unrecognized_fields[HOLDER])),
         keyid[:32])
        for role in ROLES
        for keyid in trusted.root.roles[role].keyids
        for key in [trusted.root.keys[keyid]]
    ]  # fmt: skip
    for line in table(("ROLE", "NEEDED", "HOLDER", "KEY"), rows):
        yield f"    {line}"
    yield ""
    yield "Present, by hand:"
    for name in dict.fromkeys(row[2] for row in rows):
        yield ""
        yield f"{name:<30} ____________________________  ______________"
