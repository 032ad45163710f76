"""`/people` in a browser: a person's ten tasks, a screen reader, a keyboard, and texts that would
like to be script.

`CONTRACT_PICTURES=DIR` keeps the pictures of the walk.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest

from appliance.api.people_page import POLICY
from appliance.app import Services
from appliance.config import OidcConfig, PeopleConfig
from appliance.datasets.directory import write
from appliance.datasets.items import Item
from appliance.people.end_users import EndUsers
from appliance.retrieval.access import ADMIN
from appliance.retrieval.collection import Settings
from appliance.routing.people import Form
from appliance.types import Caller, Citation, CitedFrom, Delta, ModelCard, TaskAnswer
from tests.api.admin.lab import APPROVERS, LabData
from tests.api.fake import FakeGeneration, FakeInference, FakeSupervisor, with_fakes
from tests.browser import Tab, chromium
from tests.conftest import need_tool
from tests.contract.conftest import (
    CITING,
    COLLECTION,
    SMALL,
    TASK,
    Live,
    live,
    npm_packages,
    serving,
)
from tests.contract.test_login_service import PROVIDER, login_service
from tests.datasets.examples import dataset, orders
from tests.evals.orders import write_task
from tests.parts import having
from tests.ports import free_port
from tests.retrieval.shelf import incoming
from tests.routing import world

DESK, QUEUE, PERSON = "part-desk", "notices", "paula"
MOST_CLICKS: Final = 3
CONFIG = "\n[engine]\nthreads = 1\n[models.default]\nn_ctx = 512\n"
MANUAL = "# Pumps\n\nThe relief valve opens at 12 bar."
BAD = '<img src="x" onerror="window.ran = 1"><script>window.ran = 1</script>'
"""A text that runs where a page makes markup of it."""
SHOWN = "main :is(h1, h2, .card, form, .choices)"


def pictures() -> Path | None:
    named = os.environ.get("CONTRACT_PICTURES")
    return None if named is None else Path(named)


@dataclass
class Walk:
    """A person at the page.

    Attributes:
        clicks: of each task.
        wide: views whose content is wider than a phone.
        faults: what axe calls serious or critical, by view.
    """

    tab: Tab
    axe: str
    clicks: dict[str, int] = field(default_factory=dict)
    wide: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    task: str = ""

    def begin(self, task: str) -> None:
        self.task = task
        self.clicks[task] = 0

    def click(self, selector: str, then: str) -> None:
        self.clicks[self.task] += 1
        self.tab.click(selector, then)

    def look(self, name: str) -> None:
        """Look at the page on a desk and on a phone, by day and by night."""
        for width, scheme in ((1100, "light"), (360, "light"), (360, "dark")):
            self.tab.look(width, 800, scheme)
            wide = self.tab.evaluate("document.documentElement.scrollWidth")
            self.wide += [name] if wide > width else []
            self.faults += [f"{name}, {scheme}: {fault}" for fault in self._faults()]
            if (to := pictures()) is not None:
                to.mkdir(parents=True, exist_ok=True)
                (to / f"{name}-{width}-{scheme}.png").write_bytes(self.tab.picture())
        self.tab.look(1100, 800)

    def _faults(self) -> list[str]:
        self.tab.evaluate(f"if (!window.axe) {{ {self.axe} }}")
        told = self.tab.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations"
            ".map(v => [v.impact, `${v.id}: ${v.nodes.map(n => n.html).join(' ')}`]))"
        )
        return [words[:300] for impact, words in told if impact in ("serious", "critical")]


@pytest.fixture(scope="module")
def axe() -> str:
    packages = npm_packages(Path(__file__).parent / "axe")
    return (packages / "node_modules/axe-core/axe.min.js").read_text("utf-8")


@dataclass
class Desk:
    live: Live
    secret: str

    @property
    def page(self) -> str:
        return self.live.base_url.removesuffix("/v1") + "/people"

    def ask(self, method: str, path: str, secret: str = "", **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {secret or self.secret}"}
        url = f"{self.live.base_url}{path}"
        return httpx.request(method, url, headers=headers, timeout=120, **more)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, default_model_path: Path) -> Iterator[Desk]:
    need_tool("chromium")
    directory = tmp_path_factory.mktemp("people")
    with live(directory, default_model_path, CONFIG, {}, "people = true\n", method=True) as server:
        run = server.run
        manual = directory / "manual.md"
        manual.write_text(MANUAL, "utf-8")
        run("collection", "new", COLLECTION)
        run("collection", "add", COLLECTION, manual, "--everyone")
        deferring(server, directory)
        items = orders(75)
        made = [*items[:60], *(replace(item, expected=None) for item in items[60:])]
        write(directory / "notices", dataset(made))
        raters = ("--rater", f"key:{PERSON}", "--rater", "ben")
        labels = ("--label", "hydraulics", "--label", "engine", "--label", "undercarriage")
        run("label", "new", directory / "notices", *raters, *labels, "--name", QUEUE)
        made_key = run("key", "create", PERSON, "--role", "queue", "--json").document
        found = Desk(server, str(made_key["secret"]))
        for text in ("replace xylo", "replace zwick"):
            body = {"model": DESK, "messages": [{"role": "user", "content": text}]}
            reply = found.ask("POST", "/chat/completions", server.api_key, json=body)
            assert reply.json()["error"]["code"] == "task_queued", reply.text
        yield found


def deferring(server: Live, directory: Path) -> None:
    lab = LabData(server.data)
    digest = str(server.run("model", "show", SMALL, "--json").document["digest"])
    text = world.ROUTE.format(more="", small=digest, large="")
    text = text[: text.rindex("[[stages]]")] + '[[stages]]\nname = "people"\nkind = "queue"\n'
    text = text.replace("[terms]", 'on_defer = "queue"\n[terms]').replace("margin = 0.1\n", "")
    for old, new in ((world.ROUTE_ID, DESK), (world.SMALL_ID, SMALL)):
        text = text.replace(f'"{old}"', f'"{new}"')
    path = write_task(directory / DESK, text)
    (path / "task.toml").rename(path / "route.toml")
    server.run("route", "sign", path, "--key", lab.key("publisher"))
    server.run("route", "import", path)
    for name in APPROVERS:
        key = lab.key(name)
        server.run("model", "approve", DESK, "--as", name, "--key", key, "--meaning", "fit")


@pytest.fixture(scope="module")
def walk(desk: Desk, axe: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    files = tmp_path_factory.mktemp("downloads")
    with chromium(need_tool("chromium")) as tab:
        tab.command("Page.setDownloadBehavior", behavior="allow", downloadPath=str(files))
        walked = Walk(tab, axe)
        elsewhere = desk.ask("POST", "/sessions", json={}).json()["token"]
        sign_in(walked, desk)
        ask_a_task(walked)
        ask_the_handbook(walked)
        receipt = keep_and_check(walked, files)
        assert json.loads(receipt.read_text())["request_id"] in receipt.name
        label(walked, desk)
        answer_the_oldest(walked, desk)
        see_the_week(walked)
        assert desk.ask("GET", "/models", elsewhere).status_code == 200
        sign_out_everywhere(walked)
        assert desk.ask("GET", "/models", elsewhere).status_code == 401
        assert desk.ask("GET", "/models").status_code == 200  # the key stays good
        yield walked


def sign_in(walked: Walk, desk: Desk) -> None:
    tab = walked.tab
    tab.look(1100, 800)
    tab.open(desk.page, "#key")
    walked.look("sign-in")
    walked.begin("sign in")
    tab.write("#key", desk.secret)
    walked.click("form button.main", "#which")
    assert desk.secret not in tab.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")


def ask(walked: Walk, task: str, text: str) -> None:
    walked.click("#which", f"#which option[value='{task}']")
    walked.tab.evaluate(f"document.getElementById('which').value = {json.dumps(task)}")
    walked.tab.write("#text", text)
    walked.click("form button.main", "main article h2")


def ask_a_task(walked: Walk) -> None:
    walked.begin("ask a task")
    ask(walked, TASK, "replace hose number 4")
    words = walked.tab.evaluate("document.querySelector('main article').innerText")
    assert re.search(r"\b(hydraulics|engine)\b", words) and "%" in words
    walked.look("task")


def ask_the_handbook(walked: Walk) -> None:
    tab = walked.tab
    tab.evaluate("document.querySelector('main article').remove()")
    walked.begin("ask the handbook and open the passage")
    ask(walked, CITING, "When does the relief valve open?")
    walked.look("handbook")
    walked.click("main article .sources button", "#passage[open] blockquote mark")
    marked = tab.evaluate("document.querySelector('#passage mark').textContent")
    assert "opens at 12 bar" in marked and marked in MANUAL
    walked.look("passage")
    tab.press("Escape")
    tab.wait("#passage:not([open])")


def keep_and_check(walked: Walk, files: Path) -> Path:
    walked.begin("keep the receipt")
    walked.click("main article .row button", "#said:not(:empty)")
    walked.tab.downloaded(1)
    (receipt,) = files.iterdir()
    walked.begin("check the receipt")
    walked.click("nav a[href='#check']", "#file")
    walked.clicks[walked.task] += 1
    walked.tab.choose_file("#file", str(receipt))
    walked.tab.wait("main .good + .good")
    walked.look("check")
    changed = files / "changed.json"
    told = json.loads(receipt.read_text())
    told["outcome"]["leaf"] = told["intent"]["leaf"]
    changed.write_text(json.dumps(told))
    walked.tab.choose_file("#file", str(changed))
    walked.tab.wait("main .problem + .problem")  # the control
    return receipt


def label(walked: Walk, desk: Desk) -> None:
    tab = walked.tab
    walked.begin("label ten items")
    walked.click("nav a[href='#label']", "[data-item]")
    walked.look("label")
    seen = [shown_item(tab)]
    for _ in range(10):
        tab.click(".choices button[data-key='1']", f"[data-item]:not([data-item='{seen[-1]}'])")
        seen.append(shown_item(tab))
    walked.clicks[walked.task] += 1  # for each item
    assert len(set(seen)) == 11
    walked.begin("skip one with a reason")
    walked.click("main summary", "main details[open]")
    walked.look("aside")
    walked.click("main details button", f"[data-item]:not([data-item='{seen[-1]}'])")
    queue = desk.live.run("label", "show", QUEUE, "--json").document
    assert queue["done"][f"key:{PERSON}"] == 10 and queue["aside"] == {"unreadable": 1}
    assert queue["kappa"] is None


def shown_item(tab: Tab) -> str:
    return str(tab.evaluate("document.querySelector('[data-item]').dataset.item"))


def answer_the_oldest(walked: Walk, desk: Desk) -> None:
    walked.begin("answer the oldest deferred request")
    walked.click("nav a[href='#answer']", "[data-item^='wait-']")
    assert "replace xylo" in walked.tab.evaluate("document.querySelector('main .card').innerText")
    walked.look("answer")
    first = shown_item(walked.tab)
    walked.click("main .choices button[data-key='1']", f"[data-item]:not([data-item='{first}'])")
    assert "replace zwick" in walked.tab.evaluate("document.querySelector('main').innerText")
    waiting = desk.ask("GET", "/queue", desk.live.api_key).json()["data"]
    assert {item["input"]["text"]: item["state"] for item in waiting} == {
        "replace xylo": "answered", "replace zwick": "waiting",
    }  # fmt: skip


def see_the_week(walked: Walk) -> None:
    walked.begin("see what I asked this week")
    walked.click("nav a[href='#mine']", "main .cards .card:nth-child(2)")
    walked.tab.evaluate(
        "new Promise(done => { const look = () => [...document.querySelectorAll('.asked')]"
        ".every(p => p.textContent) ? done(1) : requestAnimationFrame(look); look(); })"
    )
    words = walked.tab.evaluate("document.querySelector('main').innerText")
    assert "When does the relief valve open?" in words and "replace hose number 4" in words
    walked.look("mine")


def sign_out_everywhere(walked: Walk) -> None:
    walked.begin("sign out everywhere")
    walked.click("#me button:last-child", "#key")
    assert walked.tab.evaluate("sessionStorage.length") == 0
    walked.look("signed-out")


def test_ten_tasks_take_at_most_three_clicks_each(walk: Walk) -> None:
    assert len(walk.clicks) == 10
    assert {task: n for task, n in walk.clicks.items() if n > MOST_CLICKS} == {}


def test_axe_finds_nothing_serious(walk: Walk) -> None:
    assert walk.faults == []
    walk.tab.evaluate("document.querySelector('label').remove()")
    walk.tab.evaluate("document.documentElement.removeAttribute('lang')")
    assert walk._faults()  # the control


def test_nothing_is_wider_than_a_phone(walk: Walk) -> None:
    assert walk.wide == []


def test_no_request_leaves_the_origin_and_the_policy_hinders_nothing(
    walk: Walk, desk: Desk
) -> None:
    asked = [url for url in walk.tab.requested if not url.startswith("blob:")]
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(desk.page).netloc}
    assert any("/v1/responses" in url for url in asked)
    assert walk.tab.complaints == []
    refused = "fetch('http://192.0.2.1/x').then(() => '', error => error.name)"
    assert walk.tab.evaluate(refused) == "TypeError"
    assert any("violates" in text for text in walk.tab.complaints)  # the control
    assert httpx.get(desk.page).headers["content-security-policy"] == POLICY


# By keyboard alone


FOCUSABLE = (
    "[...document.querySelectorAll('a, button, input, select, textarea, summary')]"
    ".filter(e => e.checkVisibility() && !e.disabled)"
)


def reached(tab: Tab) -> set[int]:
    """The places of the elements that Tab comes to, each with a focus that can be seen."""
    found: set[int] = set()
    tab.evaluate("document.activeElement.blur()")
    for _ in range(tab.evaluate(f"{FOCUSABLE}.length") + 3):
        tab.press("Tab")
        at, outline = tab.evaluate(
            f"[{FOCUSABLE}.indexOf(document.activeElement),"
            " getComputedStyle(document.activeElement).outlineStyle]"
        )
        if at >= 0:
            assert outline != "none", at
            found.add(at)
    return found


@pytest.fixture
def tab(desk: Desk) -> Iterator[Tab]:
    with chromium(need_tool("chromium")) as opened:
        opened.look(360, 800)
        opened.open(desk.page, "#key")
        yield opened


def test_everything_is_reached_and_done_by_keyboard(tab: Tab, desk: Desk) -> None:
    assert tab.evaluate("document.activeElement.id") == "key"
    assert reached(tab) == set(range(tab.evaluate(f"{FOCUSABLE}.length")))
    tab.write("#key", desk.secret)
    tab.press("Enter", "\r")
    tab.wait("#which")
    tab.wait("#text")
    assert reached(tab) == set(range(tab.evaluate(f"{FOCUSABLE}.length")))
    tab.write("#text", "replace turbo number 2")
    tab.evaluate(f"document.getElementById('which').value = {json.dumps(TASK)}")
    tab.press("Enter", "\r", modifiers=2)
    tab.wait("main article h2")
    tab.wait("main article h2:focus")
    tab.evaluate("document.querySelector('nav a[href=\"#label\"]').focus()")
    tab.press("Enter", "\r")
    tab.wait("[data-item]")
    tab.wait("h1:focus")
    item = shown_item(tab)
    tab.press("2", "2")
    tab.wait(f"[data-item]:not([data-item='{item}'])")
    assert reached(tab) == set(range(tab.evaluate(f"{FOCUSABLE}.length")))


def test_each_field_has_a_name_and_what_happens_is_said(tab: Tab, desk: Desk) -> None:
    tab.write("#key", "sk-wrong")
    tab.click("form button.main", "[role=alert]")
    assert "invalid_api_key" in tab.evaluate("document.querySelector('[role=alert]').textContent")
    names = tab.evaluate("[...document.querySelectorAll('input')].map(e => e.labels[0]?.innerText)")
    assert names == ["Your API key"]
    assert tab.evaluate("document.getElementById('said').getAttribute('aria-live')") == "polite"


# Texts of others


class _Hostile(FakeInference):
    passage = ""

    def cards(self, principal: object) -> list[ModelCard]:
        del principal
        return [ModelCard(BAD, "ab" * 32, 512, 1, form="text", citations=True)]

    async def start(self, caller: Any, request: Any) -> FakeGeneration:
        asked = replace(request, model="org/echo:1")
        generation = await super().start(caller, asked)
        at = Citation(1, self.passage, BAD, BAD, 1, 0, 5, "0" * 64, "0" * 64, BAD, 0, len(BAD))
        generation.about = TaskAnswer(
            BAD, 1, "", BAD, confidence=0.5, distribution=((BAD, 0.5),),
            cited=CitedFrom("bad", 1, 1, (at,), 0, refused=False),
        )  # fmt: skip
        return generation


@pytest.fixture
def hostile(contract_services: Services) -> Iterator[tuple[str, str]]:
    inference = _Hostile(contract_services.audit, (Delta(BAD, 1, "stop"),))
    config = contract_services.config
    services = having(
        with_fakes(contract_services, inference, FakeSupervisor(["ready"])),
        config=replace(config, server=replace(config.server, people=True)),
    )
    key, secret = services.keys.create(BAD[:60], role="queue")
    caller = Caller(services.keys.authenticate(secret), "req-bad", "", "/v1/responses")
    services.people.put(caller, BAD, {BAD: BAD}, Form((BAD, "b")), hours=1, reason=BAD)
    items = [Item(BAD, "g", {BAD: BAD}), Item("other", "g", {"text": BAD})]
    services.labels.create("bad", BAD, items, [BAD, "b"], [f"key:{BAD[:60]}", "ben"])
    services.retrieval.library.create("bad", Settings())
    document = incoming(BAD, BAD, embedded=False)
    shelf = services.retrieval.library.get("bad")
    shelf.collection.put(document, "p", 1)
    inference.passage = shelf.searcher.search(ADMIN, "window", 1).passages[0].id
    with serving(services) as url:
        yield url, secret
    services.labels.remove("bad")
    services.retrieval.library.drop("bad")
    services.keys.revoke(key.id)


RAN = "window.ran === undefined && !document.querySelector('main img, main script, header img')"


def test_no_text_of_others_becomes_script(hostile: tuple[str, str]) -> None:
    url, secret = hostile
    with chromium(need_tool("chromium")) as tab:
        tab.open(f"{url}/people", "#key")
        tab.write("#key", secret)
        tab.click("form button.main", "#which")
        tab.write("#text", BAD)
        tab.click("form button.main", "main article h2")
        views: list[tuple[str, Callable[[], None]]] = [
            ("article", lambda: None),
            ("sources", lambda: tab.click("main .sources button", "#passage[open] mark")),
            ("label", lambda: tab.open(f"{url}/people#label", "[data-item]")),
            ("answer", lambda: tab.open(f"{url}/people#answer", "main .choices")),
            ("mine", lambda: tab.open(f"{url}/people#mine", "main .cards .card")),
        ]
        for name, go in views:
            go()
            shown = tab.evaluate("document.body.innerText")
            assert tab.evaluate(RAN), name
            assert name == "mine" or BAD in shown, name
        # The control: where markup is made of the text it runs, and this page does not let it be.
        made = f"document.body.innerHTML = {json.dumps(BAD)}"
        assert tab.evaluate(f"(() => {{ try {{ {made} }} catch (e) {{ return e.name }} }})()") == (
            "TypeError"
        )
        tab.open(f"{url}/openapi.json", "pre")
        tab.evaluate(
            "new Promise(done => { Object.defineProperty(window, 'ran', {set: done}); "
            + made
            + "})"
        )


# Signing in at a login service


def arrived(tab: Tab, selector: str) -> None:
    """Wait for an element across pages: the one that is left forgets that it was asked."""
    while True:
        with contextlib.suppress(RuntimeError):
            tab.wait(selector)
            return


def test_a_person_signs_in_at_a_login_service(contract_services: Services) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    login = OidcConfig(issuer, "page", f"{issuer}/jwks", authorize=f"{issuer}/auth",
                       token=f"{issuer}/token")  # fmt: skip
    config = replace(
        contract_services.config,
        server=replace(contract_services.config.server, people=True),
        people=PeopleConfig(page_key="page of people"),
        oidc={"corp": login},
    )
    aliases, clock = contract_services.end_users.aliases, contract_services.clock
    known = EndUsers(config, contract_services.data, aliases, clock)
    faked = with_fakes(contract_services, FakeInference(contract_services.audit))
    services = having(faked, config=config, end_users=known)
    key, _ = services.keys.create("page of people", person=True)
    with (
        serving(services) as url,
        login_service(npm_packages(PROVIDER), port, page=f"{url}/people"),
        chromium(need_tool("chromium")) as tab,
    ):
        tab.open(f"{url}/people", "#key")
        tab.evaluate("document.querySelector('main > button').click()")
        arrived(tab, "input[name=login]")
        tab.write("input[name=login]", "ann")
        tab.write("input[name=password]", "any")
        tab.evaluate("document.querySelector('form').requestSubmit()")
        arrived(tab, "input[name=prompt][value=consent]")
        tab.evaluate("document.querySelector('form').requestSubmit()")
        arrived(tab, "#which")
        assert tab.evaluate("location.href") == f"{url}/people#ask"
        assert tab.evaluate("document.querySelector('.who').textContent") == "Name of ann"
        # Of the page's own requests none went to the service: the browser only visited it.
        tab.write("#text", "Hi")
        tab.click("form button.main", "main article h2")
        tab.click("#me button:last-child", "#key")
        # A code that this tab did not ask for is not looked at.
        tab.open(f"{url}/people?code=theirs&state=theirs", "#key")
        assert "did not ask" in tab.evaluate("document.querySelector('main').innerText")
    services.keys.revoke(key.id)
