"""`trust ceremony`: the security officer's side, on a machine of its own without a network.

Rules: no data directory and no server; each command is one step that is kept; PINs and passphrases
come from a file or a prompt, never from the command line.
"""

import datetime
from pathlib import Path

import click
from tuf.api.metadata import Metadata, Root

from appliance.cli.ceremony_record import write
from appliance.cli.output import DIRECTORY, FILE, Output, json_option, safe, state
from appliance.cli.signing import KeyPlace, KeyRing, PlaceOfKey, name_of, passphrase_option
from appliance.clock import SystemClock, iso
from appliance.errors import Refused
from appliance.trust.bytes import ecdsa, key_file
from appliance.trust.ceremony import officer, policy_words
from appliance.trust.ceremony.ceremony import DAYS, Ceremony
from appliance.trust.ceremony.officer import ROLES
from appliance.trust.policy import members
from appliance.trust.policy.root import fingerprint, holder_of, reset_of
from appliance.types import JsonValue

_DIR = click.argument("directory", metavar="DIR", type=DIRECTORY)


@click.group()
def ceremony() -> None:
    """Make trust metadata, offline.

    Sign and publish it, too.
    """


def _open(directory: Path) -> Ceremony:
    now = datetime.datetime.fromtimestamp(SystemClock().wall_us() / 1e6, datetime.UTC)
    return Ceremony(directory, now)


@ceremony.command()
@_DIR
@click.option("--org", required=True, metavar="NAME", help="Whose trust root it is.")
@click.option("--root", "root_", multiple=True, required=True, metavar="NAME",
              help="A holder of the root; name three. Two of them must sign.")  # fmt: skip
@click.option("--targets", multiple=True, required=True, metavar="NAME",
              help="A holder of the policy; may be repeated.")  # fmt: skip
@click.option("--snapshot", multiple=True, metavar="NAME", help="By default the first of targets.")
@click.option("--timestamp", multiple=True, metavar="NAME", help="By default as snapshot.")
@click.option("--root-threshold", type=click.IntRange(2), default=2, show_default=True,
              help="Holders who must sign a root.")  # fmt: skip
@click.option("--targets-threshold", type=click.IntRange(1), default=1, show_default=True,
              help="Holders who must sign a policy.")  # fmt: skip
@click.option("--timestamp-days", type=click.IntRange(1, 3650), default=DAYS["timestamp"],
              show_default=True, help="Days that a publication is valid.")  # fmt: skip
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
@click.option("--role", type=click.Choice(ROLES), required=True, help="The role of the key.")
@click.option("--holder", required=True, metavar="NAME", help="Whose key it is.")
@click.option("--out", type=click.Path(path_type=Path), help="By default DIR/keys/ROLE-NAME.pem.")
@click.option("--public", type=FILE, help="A public key that was made elsewhere.")
@passphrase_option
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
    """Make or note the key of one holder."""
    made = _open(directory)
    if (role, holder) not in made.keyless():
        raise Refused("ceremony_step", f"Not yet: {holder} of {role} is not planned or has a key.")
    if public is not None:
        pem = public.read_bytes()
    else:
        ring = KeyRing(passphrase_file, strict=True)
        pem = _own_key(output, out or _key_file(directory, role, holder), ring)
    made.add_key(role, holder, pem)
    output.note(
        f"{safe(holder)} notes the key by hand: {officer.public_key(pem, holder).keyid[:32]}"
    )
    _show(output, made)


def _key_file(directory: Path, role: str, holder: str) -> Path:
    return directory / "keys" / f"{role}-{holder}.pem"


def _own_key(output: Output, path: Path, ring: KeyRing) -> bytes:
    """Of a new private key, or of one that a step before left there."""
    if not path.exists():
        pem = key_file.new(path, ring.secret(f"New passphrase of {path.name}", new=True))
        output.note(f"private key: {path}, mode 0600; move it to a medium of its holder")
    else:
        pem = ecdsa.public_pem(ring.open(path).public_key())
        output.note(f"private key: {path}, which was there already")
    return pem


@ceremony.command()
@_DIR
@click.argument("policy_file", metavar="FILE", type=FILE)
@click.option("--member", "requests", multiple=True, type=FILE, metavar="FILE",
              help="Member to list. Its request of `appliance site join`; repeatable.")  # fmt: skip
@json_option
@click.pass_obj
def policy(output: Output, directory: Path, policy_file: Path, requests: tuple[Path, ...]) -> None:
    """Draft the next publication over a new policy."""
    made, wanted = _open(directory), policy_file.read_bytes()
    if requests:
        wanted = members.with_members(wanted, [path.read_bytes() for path in requests])
    made.set_policy(wanted)
    _show(output, made)


@ceremony.command()
@_DIR
@click.option("--root", "root_", is_flag=True,
              help="The root and the policy's signature, too. With the same keys.")  # fmt: skip
@json_option
@click.pass_obj
def refresh(output: Output, directory: Path, root_: bool) -> None:
    """Draft the same policy for longer."""
    made = _open(directory)
    made.refresh(root=root_)
    _show(output, made)


@ceremony.command()
@_DIR
@click.option("--role", type=click.Choice(ROLES), required=True, help="Whose key changes.")
@click.option("--old", required=True, metavar="NAME", help="The holder who leaves.")
@click.option("--new", required=True, metavar="NAME", help="The holder who comes; may be the same.")
@json_option
@click.pass_obj
def rotate(output: Output, directory: Path, role: str, old: str, new: str) -> None:
    """Replace a holder or a holder's key."""
    made = _open(directory)
    made.replace(role, old, new)
    _show(output, made)


@ceremony.command()
@_DIR
@json_option
@click.pass_obj
def clock(output: Output, directory: Path) -> None:
    """Draft a root that resets the clock.

    For appliances that were once in the future.
    """
    made = _open(directory)
    made.reset_clock()
    _show(output, made)


@ceremony.command()
@_DIR
@click.option("--key", "places", type=PlaceOfKey(), required=True, multiple=True, metavar="KEY",
              help="One holder's; repeatable. A file, or pkcs11:token=…;object=…")  # fmt: skip
@passphrase_option
@json_option
@click.pass_obj
def sign(
    output: Output, directory: Path, places: tuple[KeyPlace, ...], passphrase_file: Path | None
) -> None:
    """Sign every draft that these keys may sign."""
    made, ring = _open(directory), KeyRing(passphrase_file, strict=True)
    for place in places:
        signed = made.sign(officer.OfficerSigner(ring.open(place)))
        told = ", ".join(signed) or "nothing that this key may sign is drafted"
        output.note(f"signed with {safe(name_of(place))}: {told}")
    _show(output, made)


@ceremony.command()
@_DIR
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def publish(output: Output, directory: Path, out: Path) -> None:
    """Verify what is signed; write a stick.

    It is verified as an appliance would.
    """
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
    """Write the record of the ceremony.

    To be printed and signed by hand.
    """
    lines = list(write(_open(directory)))
    if out is not None:
        out.write_text("\n".join(lines) + "\n")
    output.data({"record": "\n".join(lines), "out": str(out) if out else None}, lines)


@ceremony.command()
@_DIR
@click.pass_obj
def guide(output: Output, directory: Path) -> None:
    """Do a ceremony step by step.

    It resumes where it stopped.
    """
    made, ring = _open(directory), KeyRing(None, strict=True)
    if not (directory / "ceremony.json").exists():
        org = click.prompt("Organisation")
        roots = click.prompt("Holders of the root, separated by commas (three)")
        targets = click.prompt("Holders of the policy, separated by commas")
        names = {"root": _names(roots), "targets": _names(targets)}
        one = names["targets"][:1]
        need = {"root": 2, "targets": min(2, len(names["targets"])), "snapshot": 1, "timestamp": 1}
        made.start(org, {**names, "snapshot": one, "timestamp": one}, need, DAYS)
    for role, holder in made.keyless():
        path = _key_file(directory, role, holder)
        click.echo(f"Key of {holder} for {role}: {path}")
        pem = _own_key(output, path, ring)
        made.add_key(role, holder, pem)
        click.echo(f"To be noted by hand: {officer.public_key(pem, holder).keyid[:32]}")
    if not (directory / "draft" / "targets" / "policy.json").exists():
        wanted = click.prompt("File of the new trust policy", type=FILE, value_proc=Path)
        made.set_policy(wanted.read_bytes())
    for line in _drafted_policy(made):
        click.echo(line)
    while lacking := made.unsigned():
        for name, (count, people) in lacking.items():
            click.echo(f"{name} lacks {count}: {', '.join(people)}")
        place = click.prompt("Private key of the next one who signs", type=PlaceOfKey())
        made.sign(officer.OfficerSigner(ring.open(place)))
    out = click.prompt("Directory or stick to publish to", value_proc=Path)
    made.publish(out)
    for line in write(made):
        click.echo(line)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _show(output: Output, made: Ceremony) -> None:
    keyless, unsigned, drafts = made.keyless(), made.unsigned(), made.drafts()
    done = _next_step(made)
    document: dict[str, JsonValue] = {
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
        if _role == "root":
            lines += _holders(Metadata[Root].from_bytes(data).signed)
    lines += _drafted_policy(made)
    output.data(document, [*lines, f"next: {done}"])


def _holders(root: Root) -> list[str]:
    """As each holder noted them."""
    return [
        f"  {role}, {root.roles[role].threshold} of: {safe(holder_of(key) or '')} {key.keyid[:32]}"
        for role in ROLES
        for key in map(root.keys.__getitem__, root.roles[role].keyids)
    ]


def _drafted_policy(made: Ceremony) -> list[str]:
    """Its changes; all of it, if it is the first."""
    old, new = made.policies()
    if new is None or (old and old.version == new.version):
        return []
    told = policy_words.changes(old, new) if old else policy_words.lines(new)
    title = f"policy {old.version} -> {new.version}" if old else f"policy {new.version}"
    lost = [line for line in told if line.startswith("- revoked")]
    warning = [f"[!] not revoked any more: {len(lost)}"] if lost else []
    return [f"{title}:", *(f"  {safe(line)}" for line in told), *warning]


def _next_step(made: Ceremony) -> str:
    if made.keyless():
        return "trust ceremony key"
    if "timestamp.json" not in made.drafts() and not (made.path / "published").exists():
        return "trust ceremony policy"
    if made.unsigned():
        return "trust ceremony sign"
    return "trust ceremony publish" if made.drafts() else "nothing: it is published"
