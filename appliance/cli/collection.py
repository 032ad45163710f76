"""`collection`: the customer's documents, who may read them, and searches of them.

Rules: a job of the server takes documents in, and continues when the command is left; nothing comes
in without its readers; a removal asks first.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from appliance.cli.connect import admin_client, connected
from appliance.cli.job import run_job, wait_option
from appliance.cli.output import Decorated, Output, prints, safe, table
from appliance.client import AdminClient
from appliance.errors import UsageError
from appliance.text import many, within
from appliance.types import JsonValue
from appliance.wire.admin import collections as wire
from appliance.wire.admin.results import Ingested, SearchTuned

KIND: Final = "ingest"


def access_options(command: Decorated) -> Decorated:
    """The options of who may read a document."""
    for option in (
        click.option("--everyone", is_flag=True, help="Every API key may read it."),
        click.option("--group", "groups", multiple=True, metavar="NAME",
                     help="Group whose keys may read it; repeatable."),
        click.option("--people", multiple=True, metavar="NAME",
                     help="Group of verified people; repeatable."),
        click.option("--key", "keys", multiple=True, metavar="ID",
                     help="This API key may read it; may be repeated."),
    ):  # fmt: skip
        command = option(command)
    return command


def _access(
    keys: Sequence[str], groups: Sequence[str], people: Sequence[str], everyone: bool
) -> list[str]:
    lists = {"key": keys, "group": groups, "people": people}
    named = [f"{kind}:{name}" for kind, names in lists.items() for name in names]
    return [*named, "everyone"] if everyone else named


@click.group()
def collection() -> None:
    """Documents as evidence, with access rights."""


@collection.command()
@click.argument("name")
@click.option(
    "--embedder",
    metavar="MODEL",
    default="",
    help="Embedding model for vectors. Without it only words are searched.",
)
@click.option(
    "--ranking",
    type=click.Choice(["bm25", "vectors", "fusion"]),
    help="Way to search. By default vectors, or bm25 without an embedder.",
)
@click.option("--query-prefix", metavar="TEXT", help="Text that the embedder wants before a query.")
@click.option("--passage-prefix", metavar="TEXT", help="Text that it wants before a passage.")
@click.option(
    "--budget", type=int, help="Tokens of a chunk. By default 220, or 440 with an embedder."
)
@click.option(
    "--overlap",
    type=int,
    default=40,
    show_default=True,
    help="Tokens repeated from the chunk before.",
)
@prints
def new(output: Output, /, data: Path, **given: Any) -> None:
    """Make a collection."""
    wanted = wire.CollectionNew.of(**given)
    with admin_client(data) as client:
        made = client.call(wire.COLLECTION_NEW, wanted)
    output.data(made, [f"made {made.name}, ranked by {made.ranking}"])
    output.note(f"  appliance collection add {made.name} PATH --everyone")


@collection.command()
@click.argument("name")
@click.argument("path", type=click.Path(exists=True, resolve_path=True))
@access_options
@click.option(
    "--keep-access",
    is_flag=True,
    help="Keep the lists of known documents. New ones are refused.",
)
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="May be repeated.")
@wait_option
@prints
def add(
    output: Output,
    /,
    data: Path,
    name: str,
    path: str,
    keep_access: bool,
    metadata: Sequence[str],
    wait: bool,
    **readers: Any,
) -> None:
    """Add documents to a collection.

    A file, or every document of a directory whose format is known (docs/collections.md).
    """
    listed = _access(**readers)
    if bool(listed) == keep_access:
        raise UsageError("access_missing", "Say who may read it, or --keep-access.")
    pairs = dict(pair.partition("=")[::2] for pair in metadata)
    params: dict[str, JsonValue] = {"collection": name, "path": path}
    if listed:
        params["access"] = listed
    if pairs:
        params["metadata"] = pairs
    with admin_client(data, needs_server=True) as client:
        found = run_job(output, client, KIND, params, wait=wait)
        rows = client.call(wire.INGEST_REPORT, name=name, job_id=found.id).documents
    result = found.came_to(Ingested)
    told = [row for row in rows if row.state == "refused" or row.message]
    lines = [f"ingest {found.id}: {found.state} {safe(found.message)}".rstrip()]
    if result is not None:
        lines = [
            f"{result.added} added, {result.changed} changed, {result.unchanged} unchanged, "
            f"{result.refused} refused"
        ]
    lines += [f"  {safe(r.name)}: {r.state} {r.code} {safe(r.message)}".rstrip() for r in told]
    shown = [row.model_dump() for row in told]
    output.data({"id": found.id, "state": found.state, **found.told, "documents": shown}, lines)
    output.require(found.state == "done")


@collection.command()
@click.argument("name")
@click.argument("document")
@access_options
@click.option("--none", is_flag=True, help="No API key may read it.")
@prints
def access(
    output: Output, /, data: Path, name: str, document: str, none: bool, **readers: Any
) -> None:
    """Set the readers of a document.

    It holds from the next query on.
    """
    listed = _access(**readers)
    if bool(listed) == none:
        raise UsageError("access_missing", "Say who may read it, or --none.")
    with admin_client(data) as client:
        client.call(
            wire.COLLECTION_ACCESS,
            wire.AccessWanted.of(document=document, access=list(listed)),
            name=name,
        )
    shown = {"collection": name, "document": document, "access": listed}
    output.data(shown, [f"{safe(document)}: {', '.join(listed) or 'no app'}"])


@collection.command()
@click.argument("name")
@click.argument("documents", nargs=-1, metavar="DOCUMENT…")
@click.option("--everything", is_flag=True, help="The collection with all its documents.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@prints
def remove(
    output: Output, data: Path, name: str, documents: Sequence[str], everything: bool, yes: bool
) -> None:
    """Remove documents for good.

    Their bytes are overwritten. Backups still hold them.
    """
    if bool(documents) == everything:
        raise UsageError("document_missing", "Name documents, or --everything.")
    what = f"all of {name}" if everything else f"{len(documents)} of {name}"
    if not yes:
        click.confirm(f"Remove {what} for good?", abort=True, err=True)
    with admin_client(data) as client:
        gone = client.call(
            wire.COLLECTION_REMOVE,
            wire.RemoveWanted.of(documents=list(documents), everything=everything),
            name=name,
        )
    output.data(gone, [f"removed {gone.removed}"])
    output.note("  Backups that were made before still hold it.")


@collection.command()
@click.argument("name")
@click.argument("query")
@click.option(
    "--limit", type=click.IntRange(1, 50), default=5, show_default=True, help="Passages at most."
)
@click.option("--as-key", "key_id", metavar="ID", help="Search as this API key does.")
@click.option(
    "--ranking",
    type=click.Choice(["bm25", "vectors", "fusion"]),
    help="In place of the collection's own.",
)
@prints
def search(output: Output, /, data: Path, name: str, **given: Any) -> None:
    """Search a collection."""
    wanted = wire.SearchWanted.of(**given)
    with admin_client(data) as client:
        found = client.call(wire.COLLECTION_SEARCH, wanted, name=name)
    lines = []
    for number, passage in enumerate(found.passages, 1):
        page = f", page {passage.page}" if passage.page else ""
        heading = f" ({passage.heading})" if passage.heading else ""
        lines.append(safe(f"{number}. {passage.document}{page}{heading}"))
        lines += [f"   {safe(line)}" for line in passage.text.splitlines() if line.strip()]
    output.data(
        found,
        lines
        or ["Nothing was found. Ask with other words, or for a document that this key may read."],
    )


@collection.command()
@click.argument("name")
@click.argument("questions", type=click.Path(exists=True, dir_okay=False, resolve_path=True))
@click.option("--measure-only", is_flag=True, help="Leave the ranking as it is.")
@connected(needs_server=True)
def tune(
    output: Output, client: AdminClient, name: str, questions: str, measure_only: bool
) -> None:
    """Search by the ranking that is best.

    Each one is measured on questions with known answers. QUESTIONS has one JSON object a line:
    {"query": "...", "relevant": {"DOCUMENT": 1}}.
    """
    found = run_job(
        output,
        client,
        "tune-search",
        {"collection": name, "questions": questions, "apply": not measure_only},
    )
    result = found.came_to(SearchTuned)
    lines = [f"tune-search {found.id}: {found.state} {safe(found.message)}".rstrip()]
    if result is not None:
        rows = [
            (
                row.ranking,
                f"{row.ndcg:.3f}  {within(row.ndcg_interval)}",
                f"{row.recall:.3f}  {within(row.recall_interval)}",
            )
            for row in result.rankings
        ]
        lines = table(("RANKING", "NDCG@10, 95 %", "RECALL@10, 95 %"), rows)
        lines.append(_verdict(result))
    output.data({"id": found.id, "state": found.state, **found.told}, lines)
    output.require(found.state == "done")


def _verdict(result: SearchTuned) -> str:
    if not result.best:
        return f"too few to tell: {many(result.questions, 'question')}; 50 are needed."
    now = result.best if result.applied else result.before
    return f"best: {result.best}; it is searched by {now}"


@collection.command()
@click.argument("name")
@connected()
def show(output: Output, client: AdminClient, name: str) -> None:
    """Show documents and who may read them."""
    found = client.call(wire.COLLECTION, name=name)
    rows = [
        (
            safe(d.name), str(d.version), d.media, str(d.pages or ""), str(d.chunks),
            ", ".join(d.access) or "no app", ", ".join(d.warnings),
        )
        for d in found.documents
    ]  # fmt: skip
    head = ("DOCUMENT", "VERSION", "KIND", "PAGES", "CHUNKS", "READERS", "WARNINGS")
    empty = [f"No documents. Add some with `appliance collection add {name} PATH --everyone`."]
    output.data(found, table(head, rows) if rows else empty)


@collection.command("list")
@connected()
def list_(output: Output, client: AdminClient) -> None:
    """List the collections."""
    found = client.call(wire.COLLECTIONS)
    output.listing(found, found.collections, wire.COLLECTION_TABLE)


@collection.command()
@click.argument("name")
@connected()
def verify(output: Output, client: AdminClient, name: str) -> None:
    """Check every digest, span and index."""
    found = client.call(wire.COLLECTION_VERIFY, name=name)
    counted = (
        f"{many(found.documents, 'document')}, {many(found.versions, 'version')}, "
        f"{many(found.chunks, 'chunk')}"
    )
    word = "PROBLEMS" if found.problems else "verified"
    output.data(found, [f"{word}: {counted}", *(f"  {safe(p)}" for p in found.problems)])
    output.require(not found.problems)


@collection.command()
@click.argument("name", required=False)
@click.option("--add", multiple=True, metavar="ID", help="Put this API key into it.")
@click.option("--remove", multiple=True, metavar="ID", help="Take this API key out of it.")
@connected()
def group(
    output: Output, client: AdminClient, name: str | None, add: Sequence[str], remove: Sequence[str]
) -> None:
    """List or change groups of keys.

    A change holds from the next request on.
    """
    if name is not None:
        client.call(
            wire.GROUP_CHANGE,
            wire.GroupChange.of(name=name, add=list(add), remove=list(remove)),
        )
    found = client.call(wire.GROUPS)
    rows = [(g.name, ", ".join(g.keys)) for g in found.groups]
    empty = ["No groups. Make one with `appliance collection group NAME --add KEY_ID`."]
    output.data(found, table(("GROUP", "KEYS"), rows) if rows else empty)
