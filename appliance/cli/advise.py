"""`advise`: what to do about a task, and what it costs.

Rules: measurements come from this appliance; answers come from a file, from questions in the
terminal and from options, and the later of these wins; the answer is first.
"""

import contextlib
import json
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

import click

from appliance.cli.connect import admin_client
from appliance.cli.output import FILE, OUT, Output, prints, safe, table
from appliance.errors import Refused
from appliance.jobs.kind import dumps
from appliance.text import within
from appliance.types import JsonValue
from appliance.wire.admin.advice import ADVISE, AdviceDocument, AdviceWanted
from appliance.wire.admin.results import UnknownResult

_SHOWN: Final = 8
EXAMPLE: Final = """\
# The answers to the advisor's four questions. Leave out what you do not know: it is then missing
# and never guessed. A number that is uncertain is a list of three: [P10, P50, P90].

[domain]                    # 1. What is the work?
quality = 0.85              # share of right answers that is wanted
changes_months = 12         # how long what is right stays so
# facts_days = 7            # where answers need facts: how soon these are out of date
# wrong_answer = 0.50       # what one costs

[data]                      # 2. What is there to learn from?
# examples = 2000           # labelled; groups = independent ones: both as measured if left out
hour = 45                   # of a person who labels
label_minutes = [0.5, 1, 2]
# agreement = 0.81          # how often two people agree: as the labels tell if left out

[load]                      # 3. How much, how fast?
# requests_day = [2000, 6000, 9000]     # from the log of this appliance if left out
seconds = 5                 # that 95 of 100 answers may take
tokens_in = 800             # of a request and of an answer, for models that are paid by the token
tokens_out = 100

[regulation]                # 4. What must be?
data_may_leave = false
# bound = 0.05              # error rate that a certificate has to exclude

[costs]
currency = "EUR"
machine = 2400
years = 4
watts_idle = 60
watts_busy = 100
kwh = 0.30
staff_hours = [2, 4, 8]     # a month
staff_hour = 60

# What you measured elsewhere: a cascade, a model of another host, a pilot.
# [[measured]]
# option = "cascade"          # or prompt, retrieval, tuned, larger, upstream
# quality = [0.93, 0.95, 0.97]
# groups = 400
# documents_s = 2.0
# coverage = 0.75             # of a cascade: what it answers itself
# source = "pilot of spring 2026"

# A model elsewhere, with the price that you found, where and when. Older than 90 days: no verdict.
# [[prices]]
# name = "cloud"
# million_in = 2.50
# million_out = 10
# as_of = 2026-11-01
# source = "price list of the provider"
# quality = [0.90, 0.92, 0.94]          # on the same items: low, value, high
# groups = 400
"""


def _example(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    """Print the example and end; called before a data directory is looked for."""
    if wanted:
        ctx.ensure_object(Output).data({"example": EXAMPLE}, [EXAMPLE.rstrip()])
        ctx.exit()


@click.command()
@click.argument("task", metavar="[TASK]", required=False)
@click.option("--answers", type=FILE, help="The answers, TOML or JSON.")
@click.option("--report", "out", type=OUT, help="The HTML file to write.")
@click.option("--result", "result", type=OUT,
              help="The JSON file to write. The log names its digest.")  # fmt: skip
@click.option("--ask", is_flag=True, help="Ask the four questions in the terminal.")
@click.option("--example", is_flag=True, expose_value=False, callback=_example,
              help="Print a file of answers. It needs no data directory.")  # fmt: skip
@click.option("--requests-day", type=float, help="Requests a day.")
@click.option("--seconds", type=float, help="Seconds that 95 of 100 answers may take.")
@click.option("--quality", type=float, help="Share of right answers that is wanted.")
@click.option("--examples", type=int, help="Labelled examples.")
@click.option("--data-may-leave/--data-stays", "may_leave", default=None,
              help="Allow the data to leave the network.")  # fmt: skip
@prints
def advise(
    output: Output,
    /,
    data: Path,
    task: str | None,
    answers: Path | None,
    out: Path | None,
    result: Path | None,
    ask: bool,
    **given: Any,
) -> None:
    """Advise on TASK.

    Classifier, prompt, tuning, a larger model, or none of them. Without TASK nothing is measured,
    and only the answers decide.
    """
    told = {} if answers is None else _read(answers)
    if ask:
        _merge(told, _asked())
    _merge(told, _flags(given))
    wanted = AdviceWanted.of(task=task, answers=told)
    with admin_client(data) as client:
        found = client.call(ADVISE, wanted)
    for path, text in ((out, found.html), (result, dumps(found.document.document))):
        if path is not None:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            path.write_text(text, encoding="utf-8")
            output.note(f"wrote {path}")
    output.data({"task": found.task, **found.document.document}, _lines(found.document))


def _read(path: Path) -> dict[str, JsonValue]:
    """As JSON values.

    Raises:
        Refused: `answers_invalid`.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused("answers_invalid", f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise Refused("answers_invalid", f"{path} is no table.")
    plain: dict[str, JsonValue] = json.loads(json.dumps(found, default=_date))
    return plain


def _date(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()[:10]
    raise Refused("answers_invalid", f"{value} is no date.")


def _flags(given: dict[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    places = {
        "requests_day": ("load", "requests_day"),
        "seconds": ("load", "seconds"),
        "quality": ("domain", "quality"),
        "examples": ("data", "examples"),
        "may_leave": ("regulation", "data_may_leave"),
    }
    found: dict[str, dict[str, JsonValue]] = {}
    for name, value in given.items():
        if value is not None:
            part, field = places[name]
            found.setdefault(part, {})[field] = value
    return found


def _asked() -> dict[str, dict[str, JsonValue]]:
    def number(text: str, default: float | None = None) -> float | None:
        said = click.prompt(text, default="" if default is None else f"{default:g}", err=True)
        try:
            return float(said) if said else None
        except ValueError as error:
            raise click.BadParameter(f"{said!r} is no number.") from error

    wanted = {
        "domain": {
            "quality": number("1 Domain: share of right answers that is wanted", 0.85),
            "facts_days": number("  Facts that answers need are out of date after days (or none)"),
        },
        "data": {"examples": number("2 Data: labelled examples (or none: as measured)")},
        "load": {
            "requests_day": number("3 Volume: requests a day (or none: as the log says)"),
            "seconds": number("  Latency: seconds that an answer may take", 5),
        },
    }
    found: dict[str, dict[str, JsonValue]] = {
        part: {name: value for name, value in each.items() if value is not None}
        for part, each in wanted.items()
    }
    may = click.confirm("4 Regulation: may the data leave the network?", default=False, err=True)
    found["regulation"] = {"data_may_leave": may}
    return found


def _merge(told: dict[str, JsonValue], more: dict[str, dict[str, JsonValue]]) -> None:
    for part, fields in more.items():
        kept = told.get(part, {})
        told[part] = {**kept, **fields} if isinstance(kept, dict) else kept


def _lines(found: AdviceDocument | UnknownResult) -> Iterator[str]:
    if isinstance(found, UnknownResult):
        yield from (f"{safe(name)}: {safe(str(value))}" for name, value in found.document.items())
        return
    yield safe(found.answer)
    rows = [
        (
            option.name,
            safe(option.title),
            option.state,
            "-" if option.interval is None else within(option.interval),
            "-" if option.cost_month is None else f"{option.cost_month.p50:,.2f}",
            "-" if option.seconds_p95 is None else f"{option.seconds_p95:.3g} s",
            ", ".join(option.missing) or "-",
        )
        for option in found.options
    ]
    if rows:
        yield from table(
            ("OPTION", "MEASURED", "STATE", "RIGHT", "A MONTH", "P95", "MISSING"), rows
        )
    for flip in found.flips_if[:_SHOWN]:
        now, then = _said(flip.now), _said(flip.then)
        yield f"flips if {flip.name} is {then} (now {now}): {flip.verdict}"
    for note in found.notes:
        yield f"note: {safe(note)}"


def _said(value: float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.6g}"
