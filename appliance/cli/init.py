"""`init`: make a data directory."""

from pathlib import Path

import click

from appliance.app import initialise
from appliance.cli.output import FILE, Output, prints, safe
from appliance.cli.tls import ca_key_option, kept_key, passphrase_option
from appliance.trust.policy.metadata import LIMITS


@click.command()
@click.option(
    "--profile",
    type=click.Choice(["lab", "site"]),
    default="lab",
    show_default=True,
    help="A lab makes its keys here. A site has its own trust root.",
)
@click.option(
    "--root",
    type=FILE,
    help="A site's first trust root, 1.root.json.",
)
@click.option(
    "--fingerprint", metavar="HEX", help="Fingerprint of --root. Type it from the record."
)
@click.option(
    "--name",
    "names",
    metavar="NAME",
    multiple=True,
    help="Name or address of the server; repeatable. Makes a local CA limited to them and a "
    "certificate, and turns TLS on.",
)
@ca_key_option
@passphrase_option
@click.option("--evaluated", is_flag=True, help="In a lab, tasks need a passed evaluation.")
@prints
def init(
    output: Output,
    data: Path,
    profile: str,
    root: Path | None,
    fingerprint: str | None,
    names: tuple[str, ...],
    ca_key: Path | None,
    passphrase_file: Path | None,
    evaluated: bool,
) -> None:
    """Create a data directory.

    It holds the configuration, the trust policy and the audit log; with names also TLS.
    """
    given = root is not None and fingerprint is not None
    if given != (profile == "site") or (root is None) != (fingerprint is None):
        raise click.UsageError("--profile site takes --root and --fingerprint; lab takes neither.")
    if evaluated and profile == "site":
        raise click.UsageError("At a site the trust policy says whether tasks need an evaluation.")
    if (ca_key or passphrase_file) and not names:
        raise click.UsageError("--ca-key and --passphrase-file go with --name.")
    kept = kept_key(ca_key, data, passphrase_file, lab=profile == "lab") if names else None
    if root is None or fingerprint is None:
        initialise(data, profile, names=names, ca_key=kept, evaluated=evaluated)
    else:
        with root.open("rb") as file:
            text = file.read(LIMITS["root.json"] + 1)
        initialise(data, profile, root=text, fingerprint=fingerprint, names=names, ca_key=kept)
    genesis = data / "audit" / "genesis.pub"
    keys = data / "keys" / "lab"
    document = {"data": str(data), "profile": profile, "genesis_key": str(genesis)}
    lines = [
        f"{profile.upper()} data directory {data}",
        f"  key that proofs are checked with: {genesis} (keep a copy elsewhere)",
    ]
    if kept is not None:
        ca = data / "tls" / "ca.pem"
        document |= {"ca": str(ca), "ca_key": str(kept.path)}
        lines += [
            f"  CA for the clients: {ca}, limited to {', '.join(map(safe, names))}",
            f"  its key, for `appliance tls renew`: {kept.path}",
        ]
    if profile == "lab":
        document["keys"] = str(keys)
        lines += [
            f"  keys to sign and approve with: {keys}",
            "Not for production: publisher and approvers are keys on this machine.",
            "Next: appliance serve --detach, then appliance dataset new NAME --from FILE.csv",
            f"Or a model: appliance artifact sign DIR --key {keys / 'publisher.pem'}",
        ]
    else:
        lines += ["Next: appliance trust update DIR, with what the security officer published"]
    output.data(document, lines)
