"""A command with `--json` does whatever the screens show or do."""

from collections.abc import Iterator

import click
import pytest

from appliance.cli.main import cli
from tui.app import PAGES
from tui.screens.acting import Acting
from tui.screens.entry import EntryScreen
from tui.screens.evaluations import EvaluationScreen
from tui.screens.receipt import ReceiptScreen
from tui.screens.tuning import TuningScreen

SAME = {
    "overview": "metrics", "overview look": "status", "overview serve": "serve",
    "models": "model list", "models look": "model show", "models load": "model load",
    "models unload": "model unload", "models approve": "model approve",
    "models suspend": "model suspend", "models retire": "model retire",
    "models revoke": "model revoke", "models recheck": "model recheck",
    "requests": "request list", "requests cancel": "request cancel",
    "audit": "audit search", "audit verify": "audit verify",
    "audit checkpoint": "audit checkpoint", "audit export": "audit export",
    "audit replay": "audit replay", "entry replay": "audit replay",
    "entry": "audit show", "entry proof": "audit proof", "entry decrypt": "audit show",
    "receipt": "audit search", "receipt replay": "audit replay", "receipt proof": "audit proof",
    "receipt check": "audit check-proof",
    "keys": "key list", "keys look": "key show", "keys create": "key new",
    "keys limit": "key limit", "keys rotate": "key rotate", "keys revoke": "key revoke",
    "jobs": "job list", "jobs pause": "job pause", "jobs resume": "job resume",
    "jobs cancel": "job cancel", "logs": "logs",
    "tasks": "task list", "tasks look": "model show", "tasks approve": "model approve",
    "tasks suspend": "model suspend", "tasks retire": "model retire",
    "tasks revoke": "model revoke",
    "evaluations": "eval list", "evaluations look": "eval show",
    "evaluations report": "eval report", "evaluation": "eval show",
    "evaluations ledger": "eval ledger", "evaluations errors": "eval errors",
    "evaluations flips": "eval compare",
    "evaluation report": "eval report",
    "collections": "collection list", "collections search": "collection search",
    "routes": "route list", "routes look": "route show",
    "upstreams": "upstream list", "upstreams look": "upstream show",
    "upstreams probe": "upstream probe", "upstreams drain": "upstream drain",
    "upstreams reload": "upstream reload",
    "site": "site status", "incidents": "incident list", "incidents acknowledge": "incident ack",
    "tuning": "tune list", "tuning look": "tune show", "tuning compare": "tune compare",
    "tuning report": "tune report", "one tuning": "tune show", "one tuning report": "tune report",
    "labels": "label list", "labels look": "label show", "labels label": "label next",
    "labels differences": "label show", "labelling": "label next", "labelling look": "label set",
    "advice": "advise", "advice report": "advise",
    "import": "model places", "import look": "model plan", "import import": "model import",
    "import directory": "model places", "import approve": "model approve",
    "import load": "model load",
    "usage": "usage", "usage app": "usage", "usage person": "usage", "usage task": "usage",
    "usage model": "usage",
    "people": "queue list", "people look": "queue show", "people answer": "queue answer",
    "drift": "drift show", "drift restart": "drift restart", "drift report": "drift report",
    "trust": "trust show",
    "datasets": "dataset list", "datasets look": "dataset show",
    "datasets approve": "model approve", "datasets suspend": "model suspend",
    "datasets retire": "model retire", "datasets revoke": "model revoke",
    "start": "init", "start look": "model demo", "start init": "serve",
}  # fmt: skip


def shown() -> Iterator[str]:
    """Every screen and everything that may be done there."""
    parts: list[tuple[str, type[Acting]]] = [(page.TITLE.lower(), page) for page in PAGES]
    parts += [
        ("entry", EntryScreen), ("receipt", ReceiptScreen), ("evaluation", EvaluationScreen),
        ("one tuning", TuningScreen),
    ]  # fmt: skip
    for name, screen in parts:
        yield name
        for act in screen.ACTS:
            yield f"{name} {act.name}"
        if hasattr(screen, "action_write"):
            yield f"{name} report"
    yield "labelling"
    yield "start init"


def command(words: str) -> click.Command:
    found: click.Command = cli
    for word in words.split():
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), word)
        assert inner is not None, words
        found = inner
    return found


def test_everything_on_the_screens_is_in_the_table() -> None:
    assert set(shown()) - set(SAME) == set()
    assert {name for name in SAME if not name.endswith(" look")} - set(shown()) == set()


@pytest.mark.parametrize("words", sorted(set(SAME.values())))
def test_there_is_such_a_command_and_it_answers_in_json(words: str) -> None:
    assert "--json" in [option for made in command(words).params for option in made.opts]
