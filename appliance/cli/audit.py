"""`audit`: read, prove and verify the log.

Rules: without a server `verify` reads the files itself, also of a log that a server refuses to
continue; `check-proof` needs the proof and the genesis key only.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import click

from appliance.audit.certificate import believed_key
from appliance.audit.consistency import check_consistency as check_two
from appliance.audit.proof import check_proof as check
from appliance.cli import retention
from appliance.cli.connect import admin_client, connected, server_answers
from appliance.cli.job import result_of, run_job
from appliance.cli.output import (
    DIRECTORY,
    FILE,
    OUT,
    Output,
    ProgressBar,
    json_option,
    prints,
    safe,
    state,
    table,
)
from appliance.cli.unlocking import unlock
from appliance.client import AdminClient, socket_path
from appliance.clock import iso
from appliance.config import load_config
from appliance.text import many
from appliance.types import JsonValue
from appliance.wire.admin import models as wire
from appliance.wire.admin.jobs import ReplayWanted
from appliance.wire.admin.models import Entry, EntryList, EntryQuery, Verification, VerifyRange
from appliance.wire.admin.receivers import RECEIVER_TABLE, RECEIVERS
from appliance.wire.admin.results import AnswersReplayed

_SEQ = click.IntRange(0, (1 << 53) - 1)


@click.group()
def audit() -> None:
    """The audit log: read, prove, verify."""


for command in (retention.retention, retention.approve_prune, retention.prune):
    audit.add_command(command)


@audit.command()
@click.option(
    "--from", "first", metavar="N", type=_SEQ, default=0, help="First entry; by default 0."
)
@click.option("--to", "last", metavar="N", type=_SEQ, help="Last entry; by default the newest.")
@click.option("--key", type=FILE, help="A genesis.pub that was kept elsewhere.")
@prints
def verify(output: Output, data: Path, first: int, last: int | None, key: Path | None) -> None:
    """Verify the whole log.

    Every entry, link, proof and signature; exit 0 only if all hold.
    """
    genesis = None if key is None else key.read_bytes().decode(errors="replace")
    wanted = VerifyRange.of(first=first, last=last, genesis_key=genesis)
    with ProgressBar() as progress:
        if server_answers(data):
            with AdminClient(socket_path(data)) as client:
                found = client.call(wire.AUDIT_VERIFY, wanted, report=progress)
        else:
            from appliance.api.admin.audit import verification  # a server needs none of it here

            load_config(data)  # says when this is no data directory
            unlock(data)
            found = verification(data, wanted, progress)
    output.data(found, _report(found))
    output.require(found.ok)


@audit.command()
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, 1_000),
    default=20,
    show_default=True,
    help="Most entries.",
)
@connected()
def tail(output: Output, client: AdminClient, count: int) -> None:
    """Show the newest entries."""
    found = client.call(wire.AUDIT_TAIL, count=count)
    output.data(found, _rows(found))


@audit.command()
@connected(needs_server=True)
def receivers(output: Output, client: AdminClient) -> None:
    """List receivers of the log and their lag.

    Those of `[forward]` in appliance.toml.
    """
    found = client.call(RECEIVERS)
    output.listing(found, found.receivers, RECEIVER_TABLE)


@audit.command()
@click.argument("seq", type=_SEQ)
@click.option("--content", is_flag=True, help="Decrypt the texts too; this is recorded.")
@connected()
def show(output: Output, client: AdminClient, seq: int, content: bool) -> None:
    """Show one entry."""
    entry = client.call(wire.AUDIT_ENTRY, seq=seq, content=content)
    output.data(entry, _details(entry))


@audit.command()
@click.option("--kind", metavar="KIND", help="intent, outcome, admin, model, worker, …")
@click.option("--request", "request_id", metavar="ID", help="The x-request-id of an answer.")
@click.option("--model", metavar="ID", help="The model that it is about.")
@click.option("--key", "key_id", metavar="ID", help="The API key that asked.")
@click.option("--app", metavar="NAME", help="The name of the API key that asked.")
@click.option(
    "--person", "end_user", metavar="NAME", help="Person who acted, or for whom an app asked."
)
@click.option(
    "--code", metavar="CODE", help="A code, finish reason or status. Such as stop, unknown."
)
@click.option("--since", metavar="TIME", help="A date or time in ISO 8601, UTC.")
@click.option("--until", metavar="TIME", help="A date or time in ISO 8601, UTC.")
@click.option("--after", metavar="SEQ", type=_SEQ, help="Only entries after this one.")
@click.option("--before", metavar="SEQ", type=_SEQ, help="Only entries before this one.")
@click.option("--newest", is_flag=True, help="Begin with the newest.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000), default=100, show_default=True, help="At most."
)
@prints
def search(output: Output, /, data: Path, newest: bool, **conditions: str | int | None) -> None:
    """Search the log, oldest entry first.

    Entries match every condition.
    """
    query = EntryQuery.of(**conditions, order="newest" if newest else "oldest")
    with admin_client(data) as client:
        found = _page(client, query)
    output.data(found, _rows(found))
    if found.next_after is not None:
        output.note(f"There may be more: --after {found.next_after}")
    if found.next_before is not None:
        output.note(f"There may be more: --before {found.next_before}")


@audit.command()
@click.argument("seq", type=_SEQ)
@click.option("--out", type=OUT, required=True, metavar="FILE", help="Where to write it.")
@click.option("--witness-key", type=FILE, help="Let it rest on what this witness cosigned.")
@connected()
def proof(
    output: Output, client: AdminClient, seq: int, out: Path, witness_key: Path | None
) -> None:
    """Write a self-contained proof of one entry."""
    document = client.call(
        wire.AUDIT_PROOF,
        seq=seq,
        witness=None if witness_key is None else key_line(witness_key),
    )
    output.file(out, document)
    output.data({"seq": seq, "file": str(out), "bytes": len(document)}, [f"proof of {seq}: {out}"])


@audit.command()
@click.argument("seq", metavar="[SEQ]...", nargs=-1, type=_SEQ)
@click.option("--sample", metavar="N", type=click.IntRange(1, 100_000), help="Draw N answers.")
@click.option("--since", metavar="TIME", help="Only answers since then; ISO 8601, UTC.")
@click.option("--export", type=FILE, help="Answers of another appliance.")
@click.option("--key", type=FILE, help="The genesis.pub of its log.")
@click.option("--out", type=OUT, help="Write the answers there, with texts. For --export.")
@prints
def replay(
    output: Output,
    seq: tuple[int, ...],
    sample: int | None,
    since: str | None,
    export: Path | None,
    key: Path | None,
    out: Path | None,
    data: Path,
) -> None:
    """Compute recorded answers again.

    The log proves each first; then its model answers again, behind all apps: same, differs at a
    token, or cannot. Exit 0 only if none differs, each is proved and each SEQ or line is the same.
    """
    from appliance.api.admin.times import microseconds  # a server needs none of it here

    wanted = ReplayWanted.of(
        seqs=seq,
        sample=sample or 0,
        since_us=0 if since is None else microseconds(since, "since"),
        export="" if export is None else str(export.absolute()),
        key="" if key is None else key_line(key),
        out="" if out is None else str(out.absolute()),
    )
    with admin_client(data, needs_server=True) as client:
        done = run_job(output, client, "replay", wanted.model_dump())
    found = result_of(output, done, AnswersReplayed)
    output.data(found, _replayed(found))
    output.require(_holds(found, each=bool(seq or export)))


def _holds(found: AnswersReplayed, *, each: bool) -> bool:
    if found.differs or found.unproved:
        return False
    return not each or (bool(found.same or found.written) and not found.cannot)


def _replayed(found: AnswersReplayed) -> Iterator[str]:
    if found.written:
        yield f"wrote {many(found.written, 'answer')}"
    else:
        yield f"{found.same} same, {found.differs} differ, {found.cannot} cannot"
    for one in found.answers:
        where = "" if one.token is None else f" at token {one.token}"
        tokens = f": was {safe(one.was)!r}, is {safe(one.now)!r}" if one.was or one.now else ""
        why = f", because {safe(one.why)}" if one.why else ""
        yield f"  entry {one.seq}: {state(one.verdict)}{where}{why}{tokens}"
    for reason, count in found.reasons.items():
        yield f"  {count} cannot, because {safe(reason)}"


@audit.command("check-proof")
@click.argument("file", type=FILE)
@click.option("--key", type=FILE, required=True, help="The log's genesis key (genesis.pub).")
@click.option("--witness-key", type=FILE, help="The key of a witness that you trust.")
@click.option("--site-key", type=FILE, help="The site's public key. --key is then genesis.cert.")
@json_option
@click.pass_obj
def check_proof(
    output: Output, file: Path, key: Path, witness_key: Path | None, site_key: Path | None
) -> None:
    """Check a proof, offline."""
    believed = believed_key(key.read_bytes(), _bytes(site_key))
    result = check(file.read_bytes(), believed, _bytes(witness_key))
    document: dict[str, JsonValue] = {
        "ok": True,
        "seq": result.seq,
        "root": result.root,
        "size": result.size,
        "body": dict(result.body),
    }
    if result.witnessed is not None:
        document["witnessed"] = iso(result.witnessed * 1_000_000)
    output.data(
        document,
        [
            f"{state('verified')}: seq {result.seq} root {result.root} "
            f"({many(result.size, 'entry')})"
        ],
    )


@audit.command()
@click.argument("checkpoint", type=FILE)
@click.option("--out", type=OUT, required=True, metavar="FILE", help="Where to write it.")
@connected()
def consistency(output: Output, client: AdminClient, checkpoint: Path, out: Path) -> None:
    """Prove that the log only grew.

    It still begins with an older CHECKPOINT.
    """
    document = client.call(
        wire.AUDIT_CONSISTENCY, wire.OlderHead.of(note=checkpoint.read_text(errors="replace"))
    )
    output.file(out, document)
    output.data({"file": str(out), "bytes": len(document)}, [f"consistency proof: {out}"])


@audit.command("check-consistency")
@click.argument("file", type=FILE)
@click.option("--key", type=FILE, required=True, help="The log's genesis key (genesis.pub).")
@click.option("--site-key", type=FILE, help="The site's public key. --key is then genesis.cert.")
@json_option
@click.pass_obj
def check_consistency(output: Output, file: Path, key: Path, site_key: Path | None) -> None:
    """Check a consistency proof, offline."""
    found = check_two(file.read_bytes(), believed_key(key.read_bytes(), _bytes(site_key)))
    output.data(
        {"ok": True, **vars(found)},
        [
            f"{state('verified')}: the log of {many(found.new, 'entry')}, root {found.new_root},"
            f" begins with that of {found.old}, root {found.old_root}"
        ],
    )


@audit.command()
@click.option("--qr", is_flag=True, help="Show it as a QR code, for a photograph.")
@click.option("--png", type=OUT, help="Write the QR code as a picture.")
@click.option(
    "--request", type=OUT, help="Write what the witness has to cosign. That of --witness-key."
)
@click.option("--witness-key", type=FILE, help="The key of the witness.")
@prints
def checkpoint(
    output: Output,
    data: Path,
    qr: bool,
    png: Path | None,
    request: Path | None,
    witness_key: Path | None,
) -> None:
    """Show the newest signed head.

    Or take it to a witness.
    """
    if (request is None) != (witness_key is None):
        raise click.UsageError("--request and --witness-key belong together.")
    with admin_client(data) as client:
        note = client.call(wire.AUDIT_CHECKPOINT)
        asked = b""
        if witness_key is not None:
            asked = client.call(wire.WITNESS_REQUEST, witness=key_line(witness_key))
    if request is not None:
        request.write_bytes(asked)
    lines = note.decode().splitlines()
    if qr or png is not None:
        import segno  # no other command needs it

        code = segno.make(note, micro=False, error="m")
        if png is not None:
            code.save(str(png), kind="png", scale=6)
        if qr:
            drawn = io.StringIO()
            code.terminal(drawn, compact=True)
            lines += drawn.getvalue().splitlines()
    output.data({"note": note.decode(), "request": str(request) if request else None}, lines)


@audit.command()
@click.argument("file", type=FILE)
@click.option("--witness-key", type=FILE, required=True, help="The key of the witness.")
@connected()
def witness(output: Output, client: AdminClient, file: Path, witness_key: Path) -> None:
    """Record the answer of a witness.

    It is a head that the witness cosigned.
    """
    entry = client.call(
        wire.WITNESS,
        wire.WitnessAnswer.of(note=file.read_text(errors="replace"), key=key_line(witness_key)),
    )
    output.data(entry, [f"{state('verified')}: witnessed {many(entry.body['size'], 'entry')}"])


@audit.command()
@click.option("--request", "request_id", required=True, metavar="ID", help="Whose texts to erase.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; this is recorded.")
@connected()
def erase(output: Output, client: AdminClient, request_id: str, reason: str) -> None:
    """Erase a request's texts everywhere.

    The log still verifies. ID may be a dataset item's. Backups and signed datasets that still hold
    the texts are named.
    """
    done = client.call(wire.ERASE, wire.Erasure.of(request_id=request_id, reason=reason))
    entries = ", ".join(map(str, done.entry.body["entries"])) or "none"
    lines = [f"erased: entries {entries}"]
    lines += [
        f"erased: {safe(place)}, {many(count, 'text')}" for place, count in done.places.items()
    ]
    lines += [
        f"still in the backup of {one.time} {safe(one.file)}: destroy it, or let its time run out"
        for one in done.backups
    ]
    lines += [
        f"still in the signed dataset {safe(name)}: make a new version without the item"
        for name in done.datasets
    ]
    output.data(done, lines)


@audit.command("export")
@click.option(
    "--format",
    "form",
    type=click.Choice(["ocsf", "cef", "rfc5424", "tiles", "csv"]),
    required=True,
    help="For a SIEM, syslog, a verifier or a table.",
)
@click.option("--out", type=DIRECTORY, required=True, help="A directory or file to make.")
@click.option("--detach", is_flag=True, help="Have the server write it: `appliance job`.")
@prints
def export_log(output: Output, data: Path, form: str, out: Path, detach: bool) -> None:
    """Write all entries for other programs.

    `tiles` can be verified elsewhere.
    """
    from appliance.audit.export import export  # the database driver, which --help does not need

    if detach:
        with admin_client(data, needs_server=True) as client:
            wanted = {"format": form, "out": str(out.absolute())}
            run_job(output, client, "export", wanted, wait=False)
        return
    config = load_config(data)
    with ProgressBar() as progress:
        count = export(
            data / "audit",
            form,
            out,
            lambda done, total: progress("exporting", done, total),
            config.audit.enterprise_number,
        )
    output.data(
        {"format": form, "out": str(out), "entries": count}, [f"{many(count, 'entry')}: {out}"]
    )


def _page(client: AdminClient, query: EntryQuery) -> EntryList:
    """Joins short pages."""
    found: list[Entry] = []
    while True:
        page = client.call(wire.AUDIT_ENTRIES, query)
        found += page.entries
        ended = page.next_after is None and page.next_before is None
        if ended or len(found) >= query.limit:
            return page.model_copy(update={"entries": found})
        more = {"after": page.next_after, "before": page.next_before}
        given = {name: place for name, place in more.items() if place is not None}
        query = query.model_copy(update={**given, "limit": query.limit - len(page.entries)})


def _bytes(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def key_line(path: Path) -> str:
    """The text of a key file."""
    return path.read_text(errors="replace").strip()


def _report(found: Verification) -> Iterator[str]:
    last = "-" if found.last is None else found.last
    word = state("verified" if found.ok else "failed")
    yield f"{word}: {many(found.entries, 'entry')}, {found.first} to {last}, root {found.root}"
    for problem in found.problems:
        where = "log" if problem.seq is None else f"entry {problem.seq}"
        yield f"  {where}: {problem.code}: {safe(problem.message)}"


def _rows(found: EntryList) -> list[str]:
    rows = [(str(e.seq), e.time, e.kind, _summary(e)) for e in found.entries]
    return (
        table(("SEQ", "TIME", "KIND", "WHAT"), rows)
        if rows
        else ["No entries match. Remove a condition."]
    )


def _summary(entry: Entry) -> str:
    told = ("action", "actor", "end_user", "model", "event", "to", "state", "status", "request_id",
            "code")  # fmt: skip
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
