"""Names in front of real classifiers: a canary's apps, and a shadow that no app ever hears."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.admission.places import Place
from appliance.app import Services, initialise, open_services
from appliance.audit.search import Query
from appliance.serving import inference
from appliance.serving.backend import ModelBackend, PreparedRequest
from appliance.serving.generation import Admitted
from appliance.tasks.names import in_share
from appliance.trust.artifacts.store import load_policy
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from appliance.types import Caller, GenerationRequest
from appliance.wire.admin.pointers import ShadowTally
from tests.answers import collect
from tests.smol import APPROVERS, SMALL, approve, caller, key
from tests.tasks.versions import LABELS, import_version


def add(services: Services, path: Path, labels: tuple[str, ...]) -> TaskVersion:
    digest = import_version(services, path, labels)
    approve(services, path.name, *APPROVERS)
    return TaskVersion(path.name, digest)


def point(services: Services, wanted: TaskPointer) -> str:
    envelope = wanted.sign(key(services.data, APPROVERS[0]))
    signed = TaskPointer.verify(envelope, load_policy(services.data / "trust"))
    services.pointers.flip(signed, lambda: None)
    return signed.id


@pytest.fixture(scope="module")
def opened(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Services, list[TaskVersion]]]:
    root = tmp_path_factory.mktemp("shadows")
    initialise(root / "data", "lab")
    with open_services(root / "data", config=SMALL) as services:
        turned = (LABELS[1], LABELS[0], LABELS[2])
        versions = [add(services, root / "v1", LABELS), add(services, root / "v2", turned)]
        yield services, versions


@contextlib.asynccontextmanager
async def watched(services: Services) -> AsyncIterator[None]:
    running = asyncio.create_task(services.shadows.run(services.inference))
    yield
    await asyncio.wait_for(services.shadows.settled(), 30)
    running.cancel()


def an_app(services: Services) -> str:
    return services.keys.create(secrets.token_hex(4))[0].id


async def ask(services: Services, text: str, app: str = "", request_id: str = "req-1") -> str:
    app = app or an_app(services)
    request = GenerationRequest(model="orders", messages=({"role": "user", "content": text},))
    made = await services.inference.start(caller(app, request_id=request_id), request)
    text, _ = await collect(made)
    while services.inference.running():  # the shadow is told when it has left these
        await asyncio.sleep(0)
    return text


async def test_a_shadow_is_compared_and_recorded_and_never_sent(
    opened: tuple[Services, list[TaskVersion]],
) -> None:
    services, (first, second) = opened
    made = TaskPointer(
        "orders", first, "", APPROVERS[0], "trying", "2026-09-21T00:00:00Z", shadow=second
    )
    told = point(services, made)
    async with watched(services):
        assert await ask(services, "hose leak", request_id="req-a") == "hydraulics"
        assert await ask(services, "lamp dark", request_id="req-b") == "electrical"
    tally = services.shadows.tally(told)
    assert (tally.same, tally.differs, tally.failed, tally.dropped) == (1, 1, 0, 0)
    assert tally.differing == ["req-a"]
    recorded = services.reader.search(Query(kind="intent", limit=100)).entries
    asked = {str(e.body["request_id"]): (e.body["key_id"], e.body["model"]) for e in recorded}
    assert asked["req-a"][0] != "shadow" and asked["req-a"][1] == "v1"
    assert asked["req-a-shadow"] == ("shadow", "v2")

    last = TaskPointer("orders", first, told, APPROVERS[0], "enough", "2026-09-21T00:00:00Z")
    without = point(services, last)
    async with watched(services):
        assert await ask(services, "oil leak") == "hydraulics"
    assert services.shadows.tally(without) == ShadowTally()


async def test_a_task_that_asks_its_model_something_else_has_a_shadow_too(
    opened: tuple[Services, list[TaskVersion]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prepared task over a model names the model, and has the rendered prompt."""
    services, (first, second) = opened
    newest = services.pointers.newest("orders")
    made = TaskPointer(
        "orders", first, newest[0] if newest else "", APPROVERS[0], "a model",
        "2026-09-21T00:00:00Z", shadow=second,
    )  # fmt: skip
    told = point(services, made)

    def admitted(
        who: Caller,
        asked: GenerationRequest,
        backend: ModelBackend,
        made: PreparedRequest,
        place: Place,
    ) -> Admitted:
        made = replace(made, request=replace(made.request, model="base"))
        return Admitted(who, asked, backend, made, place)

    monkeypatch.setattr(inference, "Admitted", admitted)
    monkeypatch.setattr(services.shadows, "_queue", asyncio.Queue(9))  # of this event loop
    async with watched(services):
        await ask(services, "hose leak")
    assert services.shadows.tally(told).differs == 1


async def test_a_canary_answers_its_apps(opened: tuple[Services, list[TaskVersion]]) -> None:
    services, (first, second) = opened
    newest = services.pointers.newest("orders")
    made = TaskPointer(
        "orders", first, newest[0] if newest else "", APPROVERS[0], "trying",
        "2026-09-21T00:00:00Z", canary=second, percent=50,
    )  # fmt: skip
    point(services, made)
    seen = set[str]()
    while len(seen) < 2:  # each app has its version
        app = an_app(services)
        answer = await ask(services, "hose leak", app)
        assert answer == ("engine" if in_share(made, app) else "hydraulics")
        assert await ask(services, "hose leak", app) == answer
        seen.add(answer)


async def test_what_the_queue_cannot_hold_is_counted(
    opened: tuple[Services, list[TaskVersion]], monkeypatch: pytest.MonkeyPatch
) -> None:
    services, (first, second) = opened
    monkeypatch.setattr(services.shadows, "_queue", asyncio.Queue(1))
    newest = services.pointers.newest("orders")
    made = TaskPointer(
        "orders", first, newest[0] if newest else "", APPROVERS[0], "again",
        "2026-09-21T00:00:00Z", shadow=second,
    )  # fmt: skip
    told = point(services, made)
    for _ in range(3):  # nothing takes from the queue
        await ask(services, "hose leak")
    assert services.shadows.tally(told).dropped == 2


async def test_a_shadow_that_is_withdrawn_is_not_asked(
    opened: tuple[Services, list[TaskVersion]],
) -> None:
    services, (_, second) = opened
    await services.pool.suspend("uid:0", second.task, "complaints")
    intents = services.reader.size
    async with watched(services):
        assert await ask(services, "hose leak") == "hydraulics"
    recorded = [services.reader.entry(n).body for n in range(intents, services.reader.size)]
    assert not any(body.get("key_id") == "shadow" for body in recorded)
