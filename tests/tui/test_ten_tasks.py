"""Ten tasks of an operator, each in at most five keys from the overview, as the guide has them."""

import re

from tests.conftest import CHECKOUT
from tests.tui.scripted import Script, Terminal
from tests.tui.staging import INCIDENTS, ROUTES, Scene, _datasets, _evaluations, give_tasks, staged

MOST = 5
KEYS = {"enter": "enter", "down": "down", "space": "space"}
# What the guide calls the task, and what stands on the screen at its end.
SEEN = {
    "the verdicts of all gates": ("+ pass", "~ underpowered"),
    "approve a model that arrived": ("Approve triage-notes-v2", "Meaning of your signature"),
    "why app X got 503 at 14:05": ("search 'key=", "in the log"),
    "copy a digest": ("copied: f09b6672",),
    "from a route to its task and its last wrong items": ("WRONG ITEMS", "replace pump"),
    "who filled the queue in the last hour": ("by app, per hour", "line-3-assistant"),
    "what expires in 30 days": ("1 of 4 end within 30 days", "metadata"),
    "acknowledge the disk alarm": ("disk_low is acknowledged",),
    "which host answered a request": ("AUDIT ENTRY", "gpu-1.example"),
    "answer the oldest deferred item": ("w0 is answered",),
}


def table() -> dict[str, list[str]]:
    guide = (CHECKOUT / "docs" / "operator-guide.md").read_text(encoding="utf-8")
    body = guide.partition("| task | keys |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", body, re.MULTILINE)
    return {task.strip(): re.findall(r"`([^`]+)`", keys) for task, keys in rows if "`" in keys}


def test_the_guide_has_all_ten_and_each_takes_five_keys_at_most() -> None:
    assert set(table()) == set(SEEN)
    assert {task: keys for task, keys in table().items() if len(keys) > MOST} == {}


async def _ready(opened: Terminal) -> None:
    await _datasets(opened)
    give_tasks(opened.desk.client)
    await _evaluations()(opened)
    server = opened.desk.client
    assert isinstance(server, Script)
    last = server.entries[-1]
    host = {"upstream": "large", "host": "https://gpu-1.example:8443"}
    server.entries[-1] = last.model_copy(update={"body": {**last.body, **host}})
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
                await opened.press(KEYS.get(key, key))
                await opened.refresh()
                await opened.refresh()
            for words in SEEN[task]:
                await opened.wait(words)
            while len(opened.app.screen_stack) > 1:
                await opened.press("escape")
            await opened.press("escape", "escape", "escape", "1")
            await opened.refresh()
