"""Untrusted text on every way to the screen, and the source that makes no other way.

Each string of the hostile set stands in place of every text that a server, a command or a file
may bring; every screen is walked, with its details and its questions.
"""

import ast
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.widgets import Static

from appliance.errors import Refused
from appliance.facts import table_of
from appliance.wire.admin.advice import Advice
from appliance.wire.admin.collections import Passages, ReportList, Shown
from appliance.wire.admin.gates import Certificate
from appliance.wire.admin.jobs import Job
from appliance.wire.admin.keys import Key
from appliance.wire.admin.labels import LabelDifferences, LabelNext, LabelQueue
from appliance.wire.admin.logs import LogLine
from appliance.wire.admin.models import (
    Entry,
    Model,
    ModelDetail,
    RunningRequest,
    Status,
    Verification,
)
from appliance.wire.admin.pointers import Name
from appliance.wire.admin.routes import Route
from appliance.wire.admin.site import SitePeerList
from appliance.wire.admin.tunings import LossRun
from appliance.wire.admin.upstreams import Upstream
from tests.conftest import CHECKOUT
from tests.tui.scripted import (
    NASTY,
    Script,
    Terminal,
    Told,
    evaluation,
    terminal,
    text_of,
    tuning,
)
from tests.tui.staging import PLACES, PLAN, TASK_FACTS, give_tasks, model_facts, script
from tui.widgets.rows import Rows

pytestmark = pytest.mark.long

_KEPT = {"role", "level", "state", "actions", "priority"}


def everywhere(value: Any, text: str, name: str = "") -> Any:
    """But for texts that have a fixed set."""
    if isinstance(value, dict):
        return {key: everywhere(part, text, str(key)) for key, part in value.items()}
    if isinstance(value, list):
        return [everywhere(part, text, name) for part in value]
    return text if isinstance(value, str) and name not in _KEPT else value


def facts(model: Model, text: str) -> dict[str, Any]:
    """Facts of a task, of a model, and of a refused one such as no release can read."""
    if model.state == text:
        return {"name": text, "kind": text, text: text}
    known = TASK_FACTS if model.kind == "task" else model_facts()
    return {**everywhere(table_of(known), text), "kind": known.kind}


def hostile(text: str) -> Script:
    """The made-up server with this text everywhere."""
    made, plain = Script(), script()
    give_tasks(plain)
    status = everywhere(plain.found.model_dump(), text)
    for number, listed in enumerate(status["models"]):
        listed["id"] = f"{number}{text}"  # ids differ, as they do in a store
        listed["state"] = text if number == 2 else listed["state"]
        if plain.found.models[number].kind == "task":
            listed["kind"] = "task"
    made.found = Status.model_validate(status)
    signed = [{"name": text, "meaning": text, "time": text}]
    made.details = {
        model.id: ModelDetail.model_validate(
            {**model.model_dump(), "facts": facts(model, text), "approvals": signed}
        )
        for model in made.found.models
    }
    made.jobs_found = [
        Job.model_validate({**everywhere(evaluation(n).model_dump(), text), "kind": "evaluation"})
        for n in (2, 1)
    ]
    tuned = everywhere(tuning(4).model_dump(), text)
    made.jobs_found.append(Job.model_validate({**tuned, "kind": "tune"}))
    made.losses_found = {4: [LossRun(name=text, points=[(1, 2.0, None), (2, 1.0, 1.5)])]}
    made.queues = [
        LabelQueue.model_validate(  # what is no id is refused by the client, whoever sent it
            {**everywhere(q.model_dump(), text), "done": {text: 3}, "name": q.name}
        )
        for q in plain.queues
    ]
    made.shelves = [Shown.model_validate(everywhere(s.model_dump(), text)) for s in plain.shelves]
    made.routes_found = [
        Route.model_validate(
            {**everywhere(r.model_dump(), text), "certificates": [
                {**everywhere(c.model_dump(), text), "verdict": c.verdict} for c in r.certificates
            ]}
        )
        for r in plain.routes_found
    ]  # fmt: skip
    made.upstreams_found = [
        Upstream.model_validate(everywhere(u.model_dump(), text)) for u in plain.upstreams_found
    ]
    made.site_found = SitePeerList.model_validate(everywhere(plain.site_found.model_dump(), text))
    made.reported = ReportList.model_validate(everywhere(plain.reported.model_dump(), text))
    made.passages_found = Passages.model_validate(
        everywhere(plain.passages_found.model_dump(), text)
    )
    made.advised = [
        Advice.model_validate({**everywhere(each.model_dump(), text), "task": f"{n}{text}"})
        for n, each in enumerate(plain.advised)
    ]
    made.to_label = [
        LabelNext.model_validate(
            {**everywhere(each.model_dump(), text), "labels": [text, "b"], "input": {text: text}}
        )
        for each in plain.to_label
    ]
    assert plain.differences is not None
    made.differences = LabelDifferences.model_validate(
        {**everywhere(plain.differences.model_dump(), text), "labels": [text, "b"]}
    )
    made.evaluated = [
        Certificate.model_validate(everywhere(c.model_dump(), text)) for c in plain.evaluated
    ]
    made.named = [Name.model_validate(everywhere(n.model_dump(), text)) for n in plain.named]
    made.running = [
        RunningRequest.model_validate(everywhere(r.model_dump(), text)) for r in plain.running
    ]
    made.keys_found = [
        Key.model_validate(everywhere(k.model_dump(), text)) for k in plain.keys_found
    ]
    made.entries = [
        Entry(seq=n, kind=text, time=text, leaf=text, prev=text, body={text: text, "model": text})
        for n in range(3)
    ]
    made.log = [
        LogLine(id=text, time=text, level=text, logger=text, message=text, fields={text: text})
    ]
    made.verified = Verification.model_validate(
        {"ok": False, "entries": 3, "from": 0, "to": 2, "root": text, "open_intents": 0,
         "problems": [{"seq": 1, "code": text, "message": text}], "problem_count": 1,
         "unwitnessed": 0}
    )  # fmt: skip
    made.note = text + "\n1\nroot\n"
    return made


def commands(text: str) -> Told:
    plan = {**everywhere(PLAN, text), "differences": [{"fact": text, "now": text, "then": text}]}
    return Told(
        model_places=everywhere(PLACES, text),
        model_plan=plan,
        model_import=Refused("file_changed", text),
        audit_export=Refused("file_changed", text),
    )


def check(opened: Terminal) -> None:
    shown = opened.text
    assert opened.app.is_running
    assert all(row.isprintable() for row in shown.split("\n")), shown


MIXED = "[@click=app.quit]x[/] \x1b[31m a\tb\nc " + "漢字" * 20
"""Markup, an escape, white space and wide letters in one text; alone they are slow."""


@pytest.mark.parametrize(
    "text",
    [MIXED, "x" * 10_000, *(pytest.param(text, marks=pytest.mark.slow) for text in NASTY)],
)
async def test_no_text_steers_the_terminal_or_ends_the_program(text: str) -> None:
    made = hostile(text)
    async with terminal(made, size=(120, 40), commands=commands(text)) as opened:
        check(opened)
        await opened.press("2")
        await opened.refresh()
        for keys in (
            ("down",),
            ("a", "a"),
            ("escape",),
            ("a", "s"),
            ("escape",),
            ("question_mark",),
        ):
            await opened.press(*keys)
            check(opened)
        await opened.press("escape", "3")
        await opened.refresh()
        check(opened)
        await opened.press("a", "c")
        check(opened)
        await opened.press("n", "4")
        await opened.refresh()
        check(opened)
        await opened.press("enter")
        check(opened)
        await opened.press("escape", "a", "v")
        await opened.wait("! entry 1")
        check(opened)
        await opened.press("escape", "a", "c")
        await opened.wait("root")
        check(opened)
        await opened.press("escape", "5")
        await opened.refresh()
        check(opened)
        await opened.press("a", "l")
        check(opened)
        await opened.press("escape", "7")
        await opened.refresh()
        await opened.refresh()
        check(opened)
        await opened.press("a", "s")
        check(opened)
        await opened.press("escape", "8")
        await opened.refresh()
        await opened.refresh()
        check(opened)
        await opened.press("enter")
        check(opened)
        await opened.press("escape", "t")
        await opened.refresh()
        check(opened)
        await opened.press("a", "l")
        await opened.wait("of 40")
        check(opened)
        await opened.press("enter")
        await opened.refresh()
        check(opened)
        await opened.press("escape", "down", "a", "d")
        await opened.wait("together")
        check(opened)
        await opened.press("enter")
        await opened.refresh()
        check(opened)
        await opened.press("escape", "escape", "v")
        await opened.refresh()
        check(opened)
        await opened.press("escape", "m")
        await opened.refresh()
        await opened.refresh()
        check(opened)
        await opened.press("enter")
        check(opened)
        await opened.press("escape", "9")
        await opened.refresh()
        check(opened)
        await opened.press("0")
        await opened.wait("artifacts")
        await opened.press("enter")
        await opened.wait("Next: a i")
        check(opened)
        await opened.press("a", "i", "enter")
        check(opened)
        await opened.press("escape", "1")
        made.error = Refused("file_changed", text)
        await opened.refresh()
        check(opened)


LISTS = {"2": "store", "3": "running", "4": "entries", "5": "apps", "7": "tasks",
         "8": "evaluations", "t": "queues", "v": "advice", "m": "tunings",
         "9": "lines"}  # fmt: skip


@pytest.mark.parametrize("size", [(60, 20), (80, 24)])
async def test_a_long_name_leaves_every_screen_its_room(size: tuple[int, int]) -> None:
    long = "x" * 10_000
    made = hostile(long)
    made.found = made.found.model_copy(update={"alarms": [long] * 30})

    def room(opened: Terminal) -> None:
        body = opened.app.query_one("#body")
        assert body.region.height >= size[1] // 2, opened.text
        assert opened.app.query_one("#nav").region.y == 1 and ": Find" in opened.text

    async with terminal(made, size=size, commands=commands(long)) as opened:
        room(opened)
        assert opened.app.query_one(".sections").region.height >= 4, opened.text
        for digit, rows in LISTS.items():
            await opened.press(digit)
            await opened.refresh()
            room(opened)
            shown = opened.app.query(Rows).filter(f"#{rows}").first()
            assert shown.region.height >= min(4, shown.virtual_size.height), opened.text
        await opened.press("2", "a", "s")
        assert "enter next" in await opened.press("tab"), opened.text
        await opened.press("escape", "3", "a", "c")
        assert "y yes" in opened.text
        await opened.press("escape", "0")
        await opened.wait("Enter checks")
        room(opened)
        shown = opened.app.query_one("#artifacts", Rows)
        assert shown.region.height >= min(4, shown.virtual_size.height), opened.text
        made.error = made.refused["cancel"] = Refused("file_changed", long)
        await opened.refresh()
        room(opened)


async def test_the_control_reaches_the_screen() -> None:
    class Careless(App[None]):
        def compose(self) -> ComposeResult:
            yield Static(Content("\x1b]0;owned", strip_control_codes=False))

    app = Careless()
    async with app.run_test():
        assert not all(row.isprintable() for row in text_of(app).split("\n"))


# the source

_RAW = {
    "DataTable", "RichLog", "Log", "TextArea", "Label", "OptionList", "Tree", "Markdown", "Select",
    "Button", "Header", "ListView", "Pretty", "Link", "Digits", "Tabs",
}  # fmt: skip
_MADE = {"lines", "line", "cell", "quiet", "alarm", "state", "table"}


def raw_strings(source: str) -> list[str]:
    """Places where a text could reach a widget without having been made safe."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("textual.widgets"):
            found += [f"{node.lineno}: {a.name}" for a in node.names if a.name in _RAW]
        if isinstance(node, ast.Attribute) and node.attr in ("notify", "from_markup", "sub_title"):
            found.append(f"{node.lineno}: {node.attr}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            first = node.args[0] if node.args else None
            made = isinstance(first, ast.Call) and getattr(first.func, "id", "") in _MADE
            plain = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            if node.func.id == "Static" and not (made and plain.get("markup") is False):
                found.append(f"{node.lineno}: Static")
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if getattr(target, "attr", "") in ("border_title", "border_subtitle", "tooltip"):
                    fixed = isinstance(node.value, ast.Constant) or "title" in ast.dump(node.value)
                    found += [] if fixed else [f"{node.lineno}: {ast.unparse(target)}"]
    return found


def test_no_raw_string_reaches_a_widget() -> None:
    found = {
        p: raw_strings(p.read_text(encoding="utf-8")) for p in (CHECKOUT / "tui").rglob("*.py")
    }
    assert len(found) > 50
    assert {str(path): places for path, places in found.items() if places} == {}


@pytest.mark.parametrize(
    "source",
    [
        "Static(name)", "Static('x', markup=False)", "Static(cell(x))", "app.notify(x)",
        "from textual.widgets import DataTable", "box.border_title = model.id",
        "Content.from_markup(x)",
    ],
)  # fmt: skip
def test_the_control_is_noticed(source: str) -> None:
    assert raw_strings(source)


async def test_no_text_of_a_host_steers_the_terminal() -> None:
    async with terminal(hostile(MIXED), size=(120, 40), commands=commands(MIXED)) as opened:
        await opened.press("h")
        await opened.refresh()
        for keys in (("down",), ("a", "d"), ("escape",), ("a", "p"), ("escape",)):
            await opened.press(*keys)
            check(opened)
