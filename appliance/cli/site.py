"""`site`: the other appliances, each a witness of the logs of the others."""

import json
from pathlib import Path

import click

from appliance.cli.connect import connected
from appliance.cli.output import Output, rows, safe, write_new
from appliance.client import AdminClient
from appliance.errors import PolicyRefused
from appliance.wire.admin import site as wire


@click.group()
def site() -> None:
    """The other appliances of a site."""


@site.command()
@connected(needs_server=True)
def status(output: Output, client: AdminClient) -> None:
    """List peers, and what each saw of the logs.

    Those of `[peers]` in appliance.toml. COSIGNED entries of our log are known there, SEEN ones of
    its log here.
    """
    found = client.call(wire.SITE)
    lines = rows(found.peers, wire.PEER_TABLE) if found.peers else [wire.PEER_TABLE.empty]
    if found.member:
        heard = "has heard no other appliance for too long" if found.stale else "hears the others"
        lines.append(f"this is {safe(found.member)}; it {heard}")
    for word, some in (("refused", found.refused), ("waits", found.waiting)):
        lines += [f"{word}: {safe(one.kind)}: {one.code}: {safe(one.message)}" for one in some]
    output.data(found, lines)


@site.command()
@connected()
def key(output: Output, client: AdminClient) -> None:
    """Print the keys that a peer needs.

    The lines go below `[peers."NAME"]` in its appliance.toml.
    """
    found = client.call(wire.SITE_KEYS)
    output.data(found, [f"{name} = {json.dumps(line)}" for name, line in vars(found).items()])


@site.command()
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new file.")
@click.option("--pin", is_flag=True,
              help="Name the TLS certificate, too. A renewed one is asked for again.")  # fmt: skip
@connected()
def join(output: Output, client: AdminClient, name: str, out: Path, pin: bool) -> None:
    """Write a request to be listed.

    The security officer signs it into the trust policy: `trust ceremony policy --member`.
    """
    made = client.call(wire.SITE_JOIN, wire.SiteJoin(name=name, pin=pin))
    write_new(out, made.request)
    output.data(
        {"file": str(out), "key": made.key}, [f"wrote {safe(str(out))}, of key {made.key[:32]}"]
    )


@site.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@connected()
def export(output: Output, client: AdminClient, file: Path) -> None:
    """Write all documents to a stick.

    Keys of apps, approvals, pointers, certificates: as they were signed, and no secret.
    """
    found = client.call(wire.SITE_EXPORT)
    write_new(file, found.model_dump_json())
    count = len(found.documents)
    output.data({"file": str(file), "documents": count}, [f"wrote {count} to {safe(str(file))}"])


@site.command("import")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, path_type=Path))
@connected()
def import_(output: Output, client: AdminClient, file: Path) -> None:
    """Take documents from a stick.

    Each is verified under the trust policy; older versions are left out.
    """
    try:
        wanted = wire.SiteDocuments.model_validate_json(file.read_bytes())
    except ValueError as error:
        raise PolicyRefused("travelling_malformed", f"{file} has no documents.") from error
    found = client.call(wire.SITE_IMPORT, wanted)
    told = [f"refused: {safe(r.kind)}: {r.code}: {safe(r.message)}" for r in found.refused]
    output.data(found, [f"{found.new} new of {len(wanted.documents)}", *told])
