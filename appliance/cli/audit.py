"""`audit`: read, prove and verify the log.

Rules: `verify` reads the files itself when no server runs, so a log that a server refuses to
continue can still be examined; `check-proof` needs the proof and the genesis key alone.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import click

from appliance.audit.proof import check_proof as check
from appliance.cli.connect import admin_client, server_answers
from appliance.cli.output import Output, Progress, data_option, json_option, safe, state, table
from appliance.client import AdminClient, socket_path
from appliance.config import load_config
from appliance.wire.admin import Entry, EntryList, EntryQuery, Verification, VerifyRange

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SEQ = click.IntRange(0, (1 << 53) - 1)


@click.group()
def audit() -> None:
    """The audit log: read, prove, verify."""


@audit.command()
@click.option(
    "--from", "first", metavar="N", type=_SEQ, default=0, help="First entry; by default 0."
)
@click.option("--to", "last", metavar="N", type=_SEQ, help="Last entry; by default the newest.")
@click.option("--key", type=_FILE, help="A genesis.pub that was kept elsewhere.")
@data_option
@json_option
@click.pass_context
def verify(ctx: click.Context, data: Path, first: int, last: int | None, key: Path | None) -> None:
    """Check every entry, link, proof and signature; exit 0 only if all hold."""
    output = ctx.ensure_object(Output)
    genesis = None if key is None else key.read_bytes().decode(errors="replace")
    wanted = VerifyRange.of(first=first, last=last, genesis_key=genesis)
    with Progress() as progress:
        if server_answers(data):
            with AdminClient(socket_path(data)) as client:
                found = client.verify_log(wanted, progress)
        else:
            from appliance.api.admin.audit import verification  # a server needs none of it here

            load_config(data)  # says when this is no data directory
            found = verification(data, wanted, progress)
    output.data(found, _report(found))
    if not found.ok:
        ctx.exit(1)


@audit.command()
@click.option(
    "-n", "count", type=click.IntRange(1, 1_000), default=20, show_default=True, help="How many."
)
@data_option
@json_option
@click.pass_obj
def tail(output: Output, data: Path, count: int) -> None:
    """Show the newest entries."""
    with admin_client(data) as client:
        found = client.tail(count)
    output.data(found, _rows(found))


@audit.command()
@click.argument("seq", type=_SEQ)
@click.option("--content", is_flag=True, help="Decrypt the texts too; this is recorded.")
@data_option
@json_option
@click.pass_obj
def show(output: Output, data: Path, seq: int, content: bool) -> None:
    """Show one entry."""
    with admin_client(data) as client:
        entry = client.entry(seq, content=content)
    output.data(entry, _details(entry))


@audit.command()
@click.option("--kind", metavar="KIND", help="intent, outcome, admin, model, worker, …")
@click.option("--request", "request_id", metavar="ID", help="The x-request-id of an answer.")
@click.option("--model", metavar="ID", help="The model that it is about.")
@click.option("--key", "key_id", metavar="ID", help="The API key that asked.")
@click.option("--since", metavar="TIME", help="A date or time in ISO 8601, UTC.")
@click.option("--until", metavar="TIME", help="A date or time in ISO 8601, UTC.")
@click.option("--after", metavar="SEQ", type=_SEQ, help="Only entries after this one.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000), default=100, show_default=True, help="At most."
)
@data_option
@json_option
@click.pass_obj
def search(output: Output, /, data: Path, **conditions: str | int | None) -> None:
    """Show the entries that match every condition, oldest first."""
    query = EntryQuery.of(**conditions)
    with admin_client(data) as client:
        found = client.search(query)
    output.data(found, _rows(found))
    if found.next_after is not None:
        output.note(f"There may be more: --after {found.next_after}")


@audit.command()
@click.argument("seq", type=_SEQ)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Where to write it.",
)
@data_option
@json_option
@click.pass_obj
def proof(output: Output, data: Path, seq: int, out: Path) -> None:
    """Write a self-contained proof of one entry."""
    with admin_client(data) as client:
        document = client.proof(seq)
    out.write_bytes(document)
    output.data({"seq": seq, "file": str(out), "bytes": len(document)}, [f"proof of {seq}: {out}"])


@audit.command("check-proof")
@click.argument("file", type=_FILE)
@click.option("--key", type=_FILE, required=True, help="The log's genesis key (genesis.pub).")
@json_option
@click.pass_obj
def check_proof(output: Output, file: Path, key: Path) -> None:
    """Check a proof; needs no data directory and no server."""
    result = check(file.read_bytes(), key.read_bytes())
    document = {
        "ok": True,
        "seq": result.seq,
        "root": result.root,
        "size": result.size,
        "body": dict(result.body),
    }
    output.data(
        document,
        [f"{state('verified')}: seq {result.seq} root {result.root} ({result.size} entries)"],
    )


def _report(found: Verification) -> Iterator[str]:
    last = "-" if found.last is None else found.last
    word = state("verified" if found.ok else "failed")
    yield f"{word}: {found.entries} entries, {found.first} to {last}, root {found.root}"
    for problem in found.problems:
        where = "log" if problem.seq is None else f"entry {problem.seq}"
        yield f"  {where}: {problem.code}: {safe(problem.message)}"


def _rows(found: EntryList) -> list[str]:
    rows = [(str(e.seq), e.time, e.kind, _summary(e)) for e in found.entries]
    return table(("SEQ", "TIME", "KIND", "WHAT"), rows) if rows else ["no entries"]


def _summary(entry: Entry) -> str:
    told = ("action", "actor", "model", "event", "to", "state", "status", "request_id", "code")
    pairs = [f"{name}={entry.body[name]}" for name in told if entry.body.get(name) is not None]
    return safe(" ".join(pairs))


def _details(entry: Entry) -> Iterator[str]:
    yield f"entry {entry.seq}, {entry.kind}, {entry.time}"
    yield f"  leaf {entry.leaf}"
    yield f"  prev {entry.prev}"
    for name in sorted(entry.body):
        yield f"  {safe(name)}: {safe(json.dumps(entry.body[name], ensure_ascii=False))}"
    for name, text in (entry.content or {}).items():
        yield f"  {safe(name)}:"
        for line in text.split("\n"):
            yield f"    {safe(line)}"
