"""Ten tasks of an operator, each in at most five keys from the overview, as the guide has them.

What a person types is not counted: a search, and the three lines of an approval, each with enter.
"""

import re

from appliance.types import JsonValue
from appliance.wire.admin.logs import LogLine
from appliance.wire.admin.models import Entry
from tests.conftest import CHECKOUT
from tests.tui.scripted import Script, Terminal, Told, log_line
from tests.tui.staging import INCIDENTS, ROUTES, Scene, _datasets, _evaluations, give_tasks, staged

MOST = 5
ANSWERED = "req-46bc"
"""A request in the middle of the log."""
# What the guide calls the task, and what stands on the screen at its end.
SEEN = {
    "the verdicts of all gates": ("+ pass", "~ underpowered"),
    "approve a model that arrived": ("+ jo approved triage-notes-v2, which is approved",),
    "why app X got 503 at 14:05": (
        "2026-11-18 14:05:09", "POST /v1/chat/completions 503", "model_suspended", "planner",
    ),
    "copy a digest": ("copied: f09b6672",),
    "from a route to its task and its last wrong items": ("WRONG ITEMS", "replace pump"),
    "who filled the queue in the last hour": ("by app, per hour", "line-3-assistant"),
    "what expires in 30 days": ("1 of 4 ends within 30 days", "metadata"),
    "acknowledge the disk alarm": ("disk_low is acknowledged",),
    "which host answered a request": ("AUDIT ENTRY", ANSWERED, "gpu-1.example"),
    "answer the oldest deferred item": ("w0 is answered",),
}  # fmt: skip
APPROVAL = ("jo", "/k.pem", "fit")
TYPED = {
    "FORM": tuple(part for text in APPROVAL for part in (*text, "enter")),
    "503": tuple("503"),
    "request=ID": tuple(f"request={ANSWERED}"),
}
"""What a person types where the guide has a word without quotes."""


def table() -> dict[str, list[str]]:
    guide = (CHECKOUT / "docs" / "operator-guide.md").read_text(encoding="utf-8")
    body = guide.partition("| task | keys |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", body, re.MULTILINE)
    return {task.strip(): keys.split() for task, keys in rows if "`" in keys}


def test_the_guide_has_all_ten_and_each_takes_five_keys_at_most() -> None:
    assert set(table()) == set(SEEN)
    counted = {task: [key for key in keys if key[0] == "`"] for task, keys in table().items()}
    assert {task: keys for task, keys in counted.items() if len(keys) > MOST} == {}
    typed = {word for keys in table().values() for word in keys if word[0] != "`"}
    assert typed == set(TYPED)


def _host(outcome: Entry) -> dict[str, JsonValue]:
    """One host answered `ANSWERED`, another one all others."""
    host = "gpu-1" if outcome.body["request_id"] == ANSWERED else "gpu-2"
    return {"upstream": "large", "host": f"https://{host}.example:8443"}


def _line(number: int, at: str, message: str, level: str = "info", **fields: str) -> LogLine:
    made = log_line(number, message, level, **fields)
    return made.model_copy(update={"time": f"2026-11-18T{at}.000Z"})


async def _ready(opened: Terminal) -> None:
    await _datasets(opened)
    give_tasks(opened.desk.client)
    await _evaluations()(opened)
    server = opened.desk.client
    assert isinstance(server, Script)
    server.entries = [
        one.model_copy(update={"body": {**one.body, **_host(one)}})
        if one.kind == "outcome" else one
        for one in server.entries
    ]  # fmt: skip
    commands = opened.desk.commands
    assert isinstance(commands, Told)
    commands.answers["model_approve"] = {"state": "approved"}
    refused = {"app": "planner", "code": "model_suspended", "status": "503"}
    busy = "POST /v1/chat/completions"
    server.log = [
        *server.log,
        _line(100, "13:05:09", f"{busy} 200", app="planner"),
        _line(101, "14:05:09", f"{busy} 503", level="warning", **refused),
        *(_line(102 + n, f"14:06:{n:02}", f"{busy} 200", app="triage") for n in range(60)),
    ]
    models = sorted(server.found.models, key=lambda m: m.id == "pump-manual-1b")
    server.found = server.found.model_copy(update={"models": models})
    first = ROUTES[0].stages[0].model_copy(update={"task": "excavator-system"})
    server.routes_found = [ROUTES[0].model_copy(update={"stages": [first]})]
    server.incidents_found = [INCIDENTS[1].model_copy(update={"acked_by": ""})]
    await opened.press("1")


async def test_each_is_done_by_the_keys_of_the_guide() -> None:
    async with staged(Scene("ten", "", _ready), (140, 45)) as opened:
        for task, keys in table().items():
            for key in keys:
                for part in TYPED.get(key, (key.strip("`"),)):
                    await (opened.type(part) if len(part) == 1 else opened.press(part))
                await opened.refresh()
                await opened.refresh()
            for words in SEEN[task]:
                await opened.wait(words)
            while len(opened.app.screen_stack) > 1:
                await opened.press("escape")
            await opened.press("escape", "escape", "escape", "1")
            await opened.refresh()
        commands = opened.desk.commands
        assert isinstance(commands, Told)
        name, key, meaning = APPROVAL
        approved = ("--as", name, "--key", key, "--meaning", meaning)
        assert ("model", "approve", "triage-notes-v2", *approved) in commands.ran
