"""What the people's page asks for, twice: as a session of the page, and as an app with the key.

Half of the readers have a personal key; the others sign in at a login service, and an app asks for
them with the key of the page and their token. What changes a thing changes one of two equal ones.
"""

import random
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import httpx

from appliance.api.app import create_lan_app
from appliance.api.openai.sessions import LOGIN
from appliance.app import Services
from appliance.config import PeopleConfig, PeopleGroupConfig
from appliance.datasets.items import Item
from appliance.people.end_users import EndUsers
from appliance.retrieval.access import ADMIN
from appliance.retrieval.collection import Settings
from appliance.routing.answering import RoutedInference
from appliance.routing.people import Form
from appliance.serving.backend import PreparedRequest
from appliance.serving.inference import InferenceParts
from appliance.serving.recording import Recording
from appliance.tasks.backends import TaskBackends
from appliance.tasks.catalogue import Drafts
from appliance.types import Caller, Delta, Principal
from tests.api.fake import FakeInference, with_fakes
from tests.parts import having
from tests.people.login import Login, Vouching
from tests.retrieval.shelf import incoming
from tests.serving.test_backend import One, Scripted
from tests.tasks.example import LABELS
from tests.tasks.test_loaded import loaded

SHELF: Final = "rights"
TASK: Final = loaded(
    LABELS.split("[output]")[0].replace("excavator-system", "asks")
    + f'[output]\nform = "text"\ncollection = "{SHELF}"\n[gate]'
    + LABELS.split("[gate]")[1]
)
MODELS: Final = ("asks", TASK.task.candidate.model)
READ: Final = (
    "/v1/models", "/v1/queue", "/v1/queue/{item}", "/v1/labels", "/v1/labels/{queue}-0",
    "/v1/requests", "/v1/receipts/{request}", "/v1/responses/{response}",
    "/v1/responses/{response}/input_items", f"/v1/collections/{SHELF}/passages/{{passage}}",
)  # fmt: skip
CHANGED: Final = ("ask", "label", "answer", "mcp list", "mcp search", "mcp ask", "mcp receipt")
KINDS: Final = (*READ, *CHANGED)
TASKS: Final = ("orders", "triage")
KEYS: Final[Sequence[tuple[str, Sequence[str]]]] = (
    ("app", []), ("queue", ["orders"]), ("queue", []), ("app", ["asks"]),
)  # fmt: skip
"""Roles and models of the personal keys."""
GROUPS: Final = {
    "ward": PeopleGroupConfig(("corp/Ward",), ("triage", "asks")),
    "board": PeopleGroupConfig(("corp/Board",), ("*",)),
}
PEOPLE: Final = {"ann": "Ward", "bea": "Board", "cyd": "Nobody", "dan": "Ward"}
"""The people of the login service, with their groups there."""
ITEMS: Final = [Item(f"u{n}", "g", {"text": f"text {n}"}) for n in range(5)]
ASIDE: Final = {"aside": "unreadable"}
VOLATILE: Final = frozenset(
    {
        "id", "created", "created_at", "deadline", "queue", "request_id", "receipt", "nonce",
        "proof", "checkpoint", "root", "size",
    }
)  # fmt: skip
"""Fields of two like answers that differ: names, times, and the log, which grows."""


class Call(NamedTuple):
    method: str
    path: str
    body: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Reader:
    """One person of the page.

    Attributes:
        app, session: headers of an app that asks for them, and of their session.
        listed: their name on access lists, which colleagues share.
        rater: their name on label queues.
    """

    app: Mapping[str, str]
    session: Mapping[str, str]
    listed: str
    rater: str


class Quoting(Scripted):
    """A model that answers with the first passage of its prompt."""

    async def run(self, prepared: PreparedRequest) -> AsyncGenerator[Delta, None]:
        prompt = str((prepared.request.messages or ({},))[-1].get("content"))
        shown = re.search(r"^\[1\] .*\n  (.+)$", prompt, re.MULTILINE)
        yield Delta(f'"{shown[1]}" [1]' if shown else "None.", 1, "stop")


class Page:
    """A server with the page, and those who use it."""

    def __init__(self, services: Services, client: httpx.AsyncClient) -> None:
        self.services, self._client = services, client
        self.readers: list[Reader] = []
        self._rng, self._sent = random.Random(3), 0
        self._things: list[Mapping[str, str]] = []
        self._twins: list[str] = []

    async def differences(self, queries: int, *, mixed_up: bool = False) -> Counter[str]:
        """The kinds of queries that a session and its key answer otherwise; each in turn.

        Args:
            mixed_up: each session is that of another person who signed in in the same way.
        """
        found, sessions = Counter[str](), [one.session for one in self.readers]
        if mixed_up:
            keys, people = sessions[: len(KEYS)], sessions[len(KEYS) :]
            sessions = [*keys[1:], keys[0], *people[1:], people[0]]
        for number in range(queries):
            kind, who = KINDS[number % len(KINDS)], self._rng.randrange(len(self.readers))
            things = self._things[self._rng.choice([who, self._rng.randrange(len(self.readers))])]
            first, second = self._calls(kind, things)
            told = await self._told(kind, first, self.readers[who].app)
            found[kind] += told != await self._told(kind, second, sessions[who])
        return +found

    async def _told(self, kind: str, call: Call, headers: Mapping[str, str]) -> tuple[int, Any]:
        reply = await self._client.request(call.method, call.path, json=call.body, headers=headers)
        volatile = VOLATILE if kind in CHANGED else {"proof", "checkpoint"}
        return reply.status_code, _without(reply.json(), volatile)

    def _calls(self, kind: str, things: Mapping[str, str]) -> tuple[Call, Call]:
        """What the key and the session ask; the things are of one reader."""
        some = self._rng.choice
        if kind in READ:
            return (Call("GET", kind.format(**things)),) * 2
        if kind == "label":
            said = {"item": some(ITEMS).id, **some([{"label": some("abc")}, ASIDE])}
            first, second = (f"/v1/labels/{things['queue']}-{twin}" for twin in range(2))
            return Call("POST", first, said), Call("POST", second, said)
        if kind == "answer":
            task, body = some(TASKS), {"answer": some("xyz")}
            first, second = (f"/v1/queue/{one}/answer" for one in self._new_twins(task))
            return Call("POST", first, body), Call("POST", second, body)
        if kind == "ask":
            asked = {"model": some(MODELS), "input": things["word"]}
            return (Call("POST", "/v1/responses", asked),) * 2
        params = {
            "mcp list": {},
            "mcp search": _tool("search_collection", collection=SHELF, query=things["word"]),
            "mcp ask": _tool("ask", task="asks", text=things["word"]),
            "mcp receipt": _tool("check_receipt", request_id=things["request"]),
        }[kind]
        method = "tools/call" if params else "tools/list"
        rpc = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return (Call("POST", "/mcp", rpc),) * 2

    def _new_twins(self, task: str) -> list[str]:
        """Two equal items, which take the place of the last ones."""
        for name in self._twins:
            if self.services.people.get(name).state == "waiting":
                self.services.people.answer(name, "x", "uid:0")
        self._twins = [self._item(task), self._item(task)]
        return self._twins

    def _item(self, task: str) -> str:
        """A new item, of a key that nobody here has."""
        self._sent += 1
        sender = Principal(f"k-sender-{self._sent}", "sender")
        caller = Caller(sender, f"req-sent-{self._sent}", "", "/v1/responses")
        return self.services.people.put(caller, task, {}, Form(("x", "y")), hours=9, reason="").id

    async def furnish(self) -> None:
        """Give each reader an item, two equal label queues, a document and an answer."""
        services = self.services
        services.retrieval.library.create(SHELF, Settings())
        shelf = services.retrieval.library.get(SHELF)
        for number, reader in enumerate(self.readers):
            word, queue = f"word{number}", f"{SHELF}-{number}"
            for twin in range(2):
                raters = [reader.rater, "b"]
                services.labels.create(f"{queue}-{twin}", "", ITEMS, ["a", "b"], raters)
            text = f"This {word} stands in the documents."
            document = incoming(word, text, access=[reader.listed], embedded=False)
            shelf.collection.put(document, "p", 1)
            (passage,) = shelf.searcher.search(ADMIN, word, 1).passages
            body, headers = {"model": "asks", "input": word}, reader.session
            reply = await self._client.post("/v1/responses", json=body, headers=headers)
            request = reply.headers["x-request-id"]
            self._things.append({
                "word": word, "queue": queue, "item": self._item(self._rng.choice(TASKS)),
                "passage": passage.id, "request": request,
                "response": request.replace("req-", "resp_", 1),
            })  # fmt: skip

    def clear(self) -> None:
        self.services.retrieval.library.drop(SHELF)
        for things in self._things:
            for twin in range(2):
                self.services.labels.remove(f"{things['queue']}-{twin}")

    async def join(self, secret: str, listed: str, rater: str, token: str = "") -> None:
        """Sign in with a key; with a token in place of it, at the login service."""
        app = {"authorization": f"Bearer {secret}"}
        body = {
            "login": "corp", "code": token, "verifier": "v" * 43, "nonce": "n" * 22,
            "redirect": "r",
        }  # fmt: skip
        begun = await (
            self._client.post(LOGIN, json=body)
            if token
            else self._client.post("/v1/sessions", json={}, headers=app)
        )
        session = {"authorization": f"Bearer {begun.json()['token']}"}
        app |= {"x-end-user-token": token} if token else {}
        self.readers.append(Reader(app, session, listed, rater))


@asynccontextmanager
async def page_of(real: Services, login: Login) -> AsyncIterator[Page]:
    """A server with the page, `/mcp` and a login service, and eight people who use it."""
    config = replace(
        login.site(PeopleConfig(page_key="page"), longest_minutes=1440),
        server=replace(real.config.server, people=True, mcp=True),
        groups=GROUPS,
    )
    people = EndUsers(config, real.data, real.end_users.aliases, real.clock)
    card = replace(Scripted().card, id=MODELS[1], digest=TASK.task.candidate.digest)
    models, drafts = One(Quoting(card=card)), Drafts({"asks": TASK})
    backends = TaskBackends(models, drafts, evidence=real.retrieval.evidence)
    recording = Recording(real.audit, real.metrics)
    parts = InferenceParts(recording, real.clock, real.keys, real.shares)
    services = having(
        with_fakes(real, FakeInference(real.audit)),
        config=config, end_users=people,
        inference=RoutedInference(real.inference.parts, backends, parts),
    )  # fmt: skip
    app = create_lan_app(services)
    app.state.code_flow = Vouching({}, services.data, people)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://lan") as client:
        made = Page(services, client)
        for number, (role, allowed) in enumerate(KEYS):
            key, secret = services.keys.create(f"reader {number}", role=role, models=allowed)
            await made.join(secret, f"key:{key.id}", f"key:{key.name}")
        _, secret = services.keys.create("page", role="queue", person=True)
        now = int(real.clock.wall_us()) // 1_000_000
        for name, group in PEOPLE.items():
            token = login.token(sub=name, groups=[group], iat=now, exp=now + 80_000)
            await made.join(secret, f"people:{group.lower()}", f"oidc:corp/{name}", token)
        await made.furnish()
        try:
            yield made
        finally:
            made.clear()


def _without(told: Any, volatile: Set[str]) -> Any:
    if isinstance(told, dict):
        if "structuredContent" in told:
            del told["content"]  # says it once more, as a text
        return {k: _without(v, volatile) for k, v in told.items() if k not in volatile}
    return [_without(one, volatile) for one in told] if isinstance(told, list) else told


def _tool(name: str, **arguments: object) -> dict[str, object]:
    return {"name": name, "arguments": arguments}
