"""`dataset`: labelled examples from a file of another program to a signed artifact.

Rules: all but `seal`, `capture`, `import` and `list` need no data directory and no server; each
change takes the signature away; private keys stay in this process; no command reads a sealed split.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from appliance.cli.artifact import imports, lists, signs
from appliance.cli.connect import admin_client
from appliance.cli.eval import place
from appliance.cli.job import run_job
from appliance.cli.output import (
    DIRECTORY,
    FILE,
    OUT,
    Decorated,
    Output,
    json_option,
    prints,
    safe,
    table,
)
from appliance.client import AdminClient
from appliance.config import data_directory
from appliance.datasets import changes, checks, directory, reading, sealing
from appliance.datasets.directory import Dataset, DatasetManifest, read
from appliance.datasets.duplicates import THRESHOLD, plain
from appliance.datasets.items import Item, build
from appliance.datasets.job import Checking
from appliance.datasets.ledger import MOST
from appliance.datasets.marks import of_item
from appliance.datasets.reading import Columns
from appliance.datasets.splits import LABELLED, SHARES, SPLITS, UNLABELLED, SplitRule, split
from appliance.errors import DatasetRefused, Refused
from appliance.facts import table_of
from appliance.text import many, percent
from appliance.types import JsonValue
from appliance.wire.admin.datasets import CAPTURE, SEEN, Capture, SeenBy, SeenWanted
from appliance.wire.admin.gates import SEALING_KEY, SPLIT_KNOWN, Marks
from appliance.wire.admin.results import DatasetChecked

_SHOWN: Final = 5
_UNSIGNED: Final = "not signed: run `appliance dataset sign`"


@click.group()
def dataset() -> None:
    """Datasets: labelled examples, split, signed."""


def _directory_argument(command: Decorated) -> Decorated:
    return click.argument("path", metavar="DIR", type=DIRECTORY)(command)


def _split_options(command: Decorated) -> Decorated:
    for option in (
        click.option(
            "--by", type=click.Choice(["given", "group", "time", "random"]), default=None,
            help="Rule of the split. given: as the items say; group: by shares; time: by dates. "
            "random is refused.",
        ),
        click.option(
            "--share", "shares", multiple=True, metavar="SPLIT=SHARE",
            help="Share of a split by group. By default train=0.5 dev=0.1 certify=0.2 test=0.2.",
        ),
        click.option(
            "--start", "starts", multiple=True, metavar="SPLIT=TIME",
            help="When dev, certify or test begins. For a split by time.",
        ),
        click.option("--seed", default="1", metavar="TEXT", help="Another split by group."),
        click.option(
            "--together", type=click.FloatRange(0.5, 1), metavar="SIMILARITY",
            help="Keep near-duplicates in one split. Their groups go together.",
        ),
        click.option(
            "--drop-seen", is_flag=True, help="Leave out texts that an earlier split has."
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def _rule(
    by: str,
    shares: tuple[str, ...],
    starts: tuple[str, ...],
    seed: str,
    together: float | None,
    drop_seen: bool,
) -> SplitRule:
    try:
        given = {name: float(share) for name, share in map(_pair, shares)}
    except ValueError as error:
        raise click.UsageError(f"A share is a number: {error}.") from error
    return SplitRule(by, given or dict(SHARES), dict(map(_pair, starts)), seed, together, drop_seen)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or name not in SPLITS:
        raise click.UsageError(f"{text!r} is not SPLIT=VALUE with one of {', '.join(LABELLED)}.")
    return name, value


@dataset.command()
@_directory_argument
@click.option("--from", "source", type=FILE, required=True, help="The file to read.")
@click.option(
    "--format", "form", type=click.Choice(["items", "jsonl", "csv"]), default=None,
    help="items: our JSON lines; jsonl: flat ones. By default csv by its ending, jsonl if columns "
    "are named, else items.",
)  # fmt: skip
@click.option("--name", help="By default the name of the directory.")
@click.option("--description", default="", help="The examples, in a sentence.")
@click.option("--licence", default="", help="Licence of the examples.")
@click.option(
    "--group", multiple=True, metavar="COLUMN", help="Rows that belong together; required."
)
@click.option("--input", "inputs", multiple=True, metavar="COLUMN", help="Fields of the input.")
@click.option("--expected", multiple=True, metavar="COLUMN", help="The label, or the fields.")
@click.option("--as-fields", is_flag=True, help="One expected column is a field, no label.")
@click.option("--id", "id_", metavar="COLUMN", help="By default the items are numbered.")
@click.option("--time", metavar="COLUMN", help="When it happened, ISO 8601.")
@click.option("--stratum", metavar="COLUMN", help="Column of a fixed set, such as the machine.")
@click.option("--split", "split_column", metavar="COLUMN", help="For --by given.")
@click.option("--delimiter", default=",", metavar="CHARACTER", help="Of a CSV file.")
@click.option("--formulas-are-text", is_flag=True, help="Take cells that look like formulas.")
@click.option("--mask", "masks", is_flag=True, help="Replace personal data by its kind.")
@_split_options
@json_option
@click.pass_obj
def new(output: Output, /, path: Path, source: Path, **given: Any) -> None:
    """Convert a file to a dataset.

    No item is guessed at, and no group.
    """
    rule = _rule(
        given["by"] or "given",
        *(given[name] for name in ("shares", "starts", "seed", "together", "drop_seen")),
    )
    items = _items(source, given)
    if given["by"] is None and not any(item.split for item in items):
        rule = replace(rule, by="group")
    manifest = DatasetManifest(
        given["name"] or path.absolute().name,
        given["description"],
        given["licence"],
        source.name,
        rule=rule.describe(),
    )
    made = Dataset(manifest, split(items, rule))
    if given["masks"]:
        made = Dataset(manifest, changes.masked(made).splits)
    directory.write(path, made)
    left_out = len(items) - sum(1 for _ in made.items)
    told = [f"{many(left_out, 'item')} left out"] if left_out else []
    if given["expected"] and (empty := sum(not item.labelled for item in items)):
        names = " or ".join(map(safe, given["expected"]))
        told.append(f"unlabelled, without {names}: {many(empty, 'row')}")
    _tell(output, path, made, told)


def _items(source: Path, given: dict[str, Any]) -> list[Item]:
    named = bool(given["group"] or given["inputs"])
    form = given["form"] or (
        "csv" if source.suffix.lower() == ".csv" else "jsonl" if named else "items"
    )
    if form == "items":
        return reading.read_items(source)
    if not given["group"] or not given["inputs"]:
        raise click.UsageError("Name the columns: --group and --input, and --expected.")
    columns = Columns(
        group=given["group"],
        input=given["inputs"],
        expected=given["expected"],
        id=given["id_"],
        time=given["time"],
        stratum=given["stratum"],
        split=given["split_column"],
        as_fields=given["as_fields"],
    )
    if form == "jsonl":
        return reading.read_json_lines(source, columns)
    if len(given["delimiter"]) != 1:
        raise click.UsageError("A delimiter is one character.")
    return reading.read_csv(
        source,
        columns,
        delimiter=given["delimiter"],
        formulas_are_text=given["formulas_are_text"],
    )


@dataset.command()
@click.argument("name", metavar="DATASET", callback=place)
@click.option(
    "--near", type=click.FloatRange(0.5, 1), default=THRESHOLD, show_default=True,
    help="Similarity of near-duplicates. From 0.5 to 1.",
)  # fmt: skip
@click.option(
    "--model", metavar="ID", default="",
    help="Count tokens against this model's context. The running server does it.",
)  # fmt: skip
@click.option("--directory", metavar="DIR", help="The data directory of the server.")
@json_option
@click.pass_obj
def check(output: Output, name: str, near: float, model: str, directory: str | None) -> None:
    """Find leaks, duplicates, personal data.

    Conflicts of labels, too; exit 1 when there is an error. DATASET is a directory, or the id of an
    approved dataset; an id, and --model, need the server.
    """
    if "/" in name and not model:
        report = checks.check(read(Path(name)), near)
    else:
        params: dict[str, JsonValue] = {"data": name, "model": model, "near": near}
        with admin_client(data_directory(directory), needs_server=True) as client:
            found = run_job(output, client, Checking.name, params)
        if (done := found.came_to(DatasetChecked)) is None:
            raise Refused(found.code or "job_failed", found.message or f"The job is {found.state}.")
        report = checks.read(done.document)
    output.data(report.document(), _report(report))
    output.require(report.ok)


@dataset.command("split")
@_directory_argument
@_split_options
@json_option
@click.pass_obj
def split_(output: Output, /, path: Path, **given: Any) -> None:
    """Split the items again.

    The signature is removed.
    """
    if given["by"] is None:
        raise click.UsageError("Say how: --by group, --by time or --by given.")
    _change(output, path, lambda found: changes.divided(found, _rule(**given)))


@dataset.command()
@_directory_argument
@json_option
@click.pass_obj
def mask(output: Output, path: Path) -> None:
    """Mask personal data in the inputs.

    Each find is replaced by its kind; the signature goes.
    """
    _change(output, path, changes.masked)


@dataset.command("remove-item")
@_directory_argument
@click.argument("ids", metavar="ITEM...", nargs=-1, required=True)
@click.option(
    "--seen-in", "seen_in", type=DIRECTORY, metavar="DATA",
    help="Tell which evaluations saw the items. Those of this data directory.",
)  # fmt: skip
@json_option
@click.pass_obj
def remove_item(output: Output, path: Path, ids: tuple[str, ...], seen_in: Path | None) -> None:
    """Take items out; the signature goes. With --seen-in tell what saw them."""
    found = directory.read(path)
    changed = changes.without(found, ids)
    saw: list[SeenBy] = []
    if seen_in is not None:
        trained = {item.id for item in found.splits.get("train", ())}
        with admin_client(seen_in) as client:
            wanted = SeenWanted.of(
                ids=list(ids),
                data=str(path.absolute()),
                trained=[name for name in ids if name in trained],
            )
            saw = client.call(SEEN, wanted).seen
    directory.rewrite(path, changed)
    lines = [
        f"evaluation {each.evaluation} {each.how} {safe(each.item)}: task {safe(each.task)}"
        for each in saw
    ]
    if seen_in is not None and not saw:
        lines = ["no evaluation saw them"]
    document = {"seen": [each.model_dump() for each in saw]} if seen_in is not None else {}
    _tell(output, path, changed, [*lines, _UNSIGNED], document)


def _change(output: Output, path: Path, change: Callable[[Dataset], Dataset]) -> None:
    changed = change(directory.read(path))
    directory.rewrite(path, changed)
    _tell(output, path, changed, [_UNSIGNED])


@dataset.command()
@_directory_argument
@click.option("--unlabelled", is_flag=True,
              help="The unlabelled items, too. A gate has those labelled that decide.")  # fmt: skip
@prints
def seal(output: Output, data: Path, path: Path, unlabelled: bool) -> None:
    """Encrypt the splits certify and test.

    From now on only the gate of this appliance opens them.
    """
    parts = sealing.SEALABLE if unlabelled else sealing.SEALED
    with admin_client(data) as client:
        sealed, told, document = sealed_here(client, path, parts)
    splits = ", ".join(sorted(sealed.seal.parts)) if sealed.seal else ""
    _tell(output, path, sealed, [*told, f"sealed: {splits}", _UNSIGNED], document)


def sealed_here(
    client: AdminClient, path: Path, parts: Sequence[str] = sealing.SEALED
) -> tuple[Dataset, list[str], dict[str, JsonValue]]:
    """Returns the dataset, its warnings and facts.

    Raises:
        DatasetRefused: as `directory.seal`.
    """
    found, made = directory.read(path), client.call(SEALING_KEY)
    key = sealing.SealKey(
        made.id,
        base64.b64decode(made.key),
        bytes.fromhex(made.wrapped),
        made.kek,
        base64.b64decode(made.marks),
    )
    found, told, document = _without_known(client, found, key, parts)
    if (alike := checks.shared(found)) > MOST:
        one, other = sealing.SEALED
        told.append(
            f"warning: {100 * alike:.0f} % of one of {one} and {other} is like an item of the "
            "other: a pass of one tells of the other (`appliance dataset check` names them)"
        )
    document["alike"] = round(alike, 4)
    return directory.seal(path, found, key, parts), told, document


def _without_known(
    client: AdminClient, found: Dataset, key: sealing.SealKey, parts: Sequence[str]
) -> tuple[Dataset, list[str], dict[str, JsonValue]]:
    """Without the few items that earlier looks saw."""
    told: list[str] = []
    taken: list[str] = []
    inherits: dict[str, int] = {}
    splits = dict(found.splits)
    for part in parts:
        items = splits.get(part, ())
        if not items:
            continue
        marks = sealing.describe(found.manifest.name, items, key.marks).marks
        known = client.call(
            SPLIT_KNOWN,
            Marks.of(
                names=sorted(marks.names), contents=sorted(marks.contents), items=list(marks.items)
            ),
        )
        if known.looks:
            inherits[part] = known.looks
            told.append(
                f"{part}: inherits {many(known.looks, 'look')}: more than 5 % of it was seen"
            )
        seen = set(known.items)
        out = [item.id for item in items if of_item(key.marks, item.text) in seen]
        told += _taken_out(part, out, "seen by earlier looks")
        if part == UNLABELLED and (open_ := _in_open(found, items)):
            told += _taken_out(part, open_, "with the group or the text of an open one")
            out += open_
        taken += out
        splits[part] = tuple(item for item in items if item.id not in set(out))
    return replace(found, splits=splits), told, {"taken_out": taken, "inherits": inherits}


def _taken_out(part: str, ids: list[str], why: str) -> list[str]:
    shown = ", ".join(safe(item) for item in ids[:_SHOWN])
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return [f"{part}: took out {many(len(ids), 'item')} {why}: {shown}{more}"] if ids else []


def _in_open(found: Dataset, items: Sequence[Item]) -> list[str]:
    """Items known to a labelled split, by group or text."""
    known = [item for name in LABELLED for item in found.splits.get(name, ())]
    groups, texts = {item.group for item in known}, {plain(item.text) for item in known}
    return [item.id for item in items if item.group in groups or plain(item.text) in texts]


@dataset.command()
@_directory_argument
@click.option("--items", "with_items", is_flag=True, help="Print the items, too.")
@click.option("--split", "only", type=click.Choice(SPLITS), help="Of this split only.")
@json_option
@click.pass_obj
def show(output: Output, path: Path, with_items: bool, only: str | None) -> None:
    """Show a dataset's items and groups by split."""
    found = directory.read(path)
    if with_items and found.seal is not None and only in found.seal.parts:
        raise DatasetRefused("dataset_sealed", f"The split {only} is sealed.")
    document: dict[str, JsonValue] = {**vars(found.manifest), **table_of(found.facts())}
    lines = list(_summary(found))
    if with_items:
        chosen = [
            (name, item)
            for name in SPLITS
            if only in (None, name)
            for item in found.splits.get(name, ())
        ]
        document["item_list"] = [
            {"id": item.id, "split": name, "group": item.group, "expected": item.expected}
            for name, item in chosen
        ]
        rows = [
            (name, safe(item.id), safe(item.group), safe(item.label), safe(item.text))
            for name, item in chosen
        ]
        lines += table(("SPLIT", "ID", "GROUP", "EXPECTED", "INPUT"), rows)
    output.data(document, lines)


@dataset.command()
@_directory_argument
@click.option("--key", "key_id", metavar="ID", required=True, help="The key whose requests.")
@click.option("--since", metavar="TIME", help="From this time on, ISO 8601.")
@click.option("--until", metavar="TIME", help="Before this time, ISO 8601.")
@click.option(
    "--group", type=click.Choice(["day", "request"]), default="day", show_default=True,
    help="day; request only if nothing ties a day together.",
)  # fmt: skip
@click.option("--unmasked", is_flag=True, help="Leave personal data as they are.")
@click.option("--answers", "out", type=OUT,
              help="Write the answers into this JSON file. By item; raters must not see it.",
)  # fmt: skip
@click.option("--name", help="By default the name of the directory.")
@prints
def capture(
    output: Output,
    /,
    data: Path,
    path: Path,
    name: str | None,
    unmasked: bool,
    out: Path | None,
    **given: Any,
) -> None:
    """Make unlabelled items of apps' requests.

    The owners of the keys must have agreed; the reading is recorded.
    """
    items: list[Item] = []
    left_out, after = 0, None
    answers: dict[str, str] = {}
    with admin_client(data) as client:
        while True:
            wanted = Capture.of(**given, mask=not unmasked, after=after, answers=out is not None)
            page = client.call(CAPTURE, wanted)
            items += [build(value, "an item of the log") for value in page.items]
            left_out += page.left_out
            answers |= page.answers
            if (after := page.next_after) is None:
                break
    manifest = DatasetManifest(
        name or path.absolute().name, source=f"requests of {given['key_id']}"
    )
    made = Dataset(manifest, split(items, SplitRule("given")))
    directory.write(path, made)
    if out is not None:
        output.file(out, json.dumps(answers, indent=2, sort_keys=True) + "\n")
    _tell(output, path, made, [f"{many(left_out, 'request')} left out"] if left_out else [])


def _tell(
    output: Output,
    path: Path,
    made: Dataset,
    more: list[str],
    fields: Mapping[str, JsonValue] | None = None,
) -> None:
    document = {"path": str(path), **table_of(made.facts()), **(fields or {})}
    output.data(document, [*_summary(made), *more])


def _summary(found: Dataset) -> Iterator[str]:
    yield f"{safe(found.manifest.name)}, version {found.manifest.version}"
    facts = found.facts()
    rows = [(name, str(items), str(facts.groups[name])) for name, items in facts.items.items()]
    yield from table(("SPLIT", "ITEMS", "GROUPS"), rows)


def _report(report: checks.CheckReport) -> Iterator[str]:
    facts = report.facts
    for problem in report.problems:
        yield f"{problem.level}: {problem.code} {problem.count}: {safe(problem.message)}"
        for example in problem.examples[:_SHOWN]:
            yield f"  {safe(_example(example))}"
    rows = [
        (
            name,
            str(each.items),
            str(each.groups),
            percent(each.smallest_effect),
            "-" if (bound := each.certifies_without_error) is None else percent(bound),
        )
        for name, each in facts.splits.items()
    ]
    yield from table(("SPLIT", "ITEMS", "GROUPS", "SMALLEST EFFECT", "CERTIFIES AT BEST"), rows)
    if tokens := facts.tokens:
        yield f"tokens: median {tokens.median}, p90 {tokens.p90}, most {tokens.max}"
    labels = facts.labels
    if labels.agreement is not None and labels.ceiling is not None:
        yield (
            f"labels: more than once: {many(labels.repeated_texts, 'text')}, of which two labels "
            f"agree {percent(labels.agreement)} of the time, best score there "
            f"{percent(labels.ceiling)}"
        )
    counts = facts.personal_data
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none found"
    yield f"personal data: {told}. Not looked for: {facts.not_looked_for}."
    if report.ok:
        yield "no error"


def _example(example: Any) -> str:
    if isinstance(example, dict):
        return ", ".join(f"{name} {value}" for name, value in example.items())
    return ", ".join(example) if isinstance(example, list | tuple) else str(example)


signs(dataset, directory.read)
imports(dataset, directory.read)
lists(dataset)
