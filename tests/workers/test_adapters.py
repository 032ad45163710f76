"""Adapters beside a served model, with a played worker: what is kept when it fails.

The real worker is in test_adapters.py and tests/system/test_adapters.py.
"""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from appliance.errors import Refused, StateRefused, WorkerLost
from appliance.trust.artifacts.store import VerifiedAdapter, VerifiedModel
from appliance.workers.adapters import Attachments
from appliance.workers.memory_estimate import Estimate
from appliance.workers.supervised import SupervisedModel
from tests.trust.forge import Lab, make_lab, quiet, string


class PlayedWorker:
    def __init__(self) -> None:
        self.adapters: frozenset[str] = frozenset()
        self.fault: BaseException | None = None
        self.attached: list[str] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def attach(self, adapter: str, _sealed: object) -> None:
        self.attached.append(adapter)
        await self.may_go_on.wait()
        if self.fault:
            raise self.fault
        self.adapters |= {adapter}

    async def detach(self, adapter: str) -> None:
        if self.fault:
            raise self.fault
        self.adapters -= {adapter}


class Stage:
    def __init__(self, lab: Lab, model: VerifiedModel) -> None:
        self.lab, self.worker = lab, PlayedWorker()
        self.notes: list[str] = []
        self.taken: list[int] = []
        self.denied: set[str] = set()
        self.served = SupervisedModel(
            model,
            cast(Any, SimpleNamespace()),
            Estimate(0, 0, 0, 0),
            state="ready",
            worker=cast(Any, self.worker),
        )
        self.models = {"tiny": self.served}
        self.attached = Attachments(self.models, self._take, self._note, self._recheck)

    def _take(self, _model: str, needs: Estimate) -> None:
        if needs.adapters > 10_000:
            raise StateRefused("insufficient_memory", "no room")
        self.taken.append(needs.adapters)

    async def _note(self, served: SupervisedModel, event: str, **fields: object) -> None:
        self.notes.append(event)

    def _recheck(self, artifact: object) -> None:
        if cast(Any, artifact).id in self.denied:
            raise StateRefused("wrong_state", "denied")

    def adapter(self, name: str) -> VerifiedAdapter:
        path = self.lab.adapter(name, lambda gguf: gguf.pairs.update(_named(name)))
        model_id = self.lab.take(path, f"tiny:{name}")
        return self.lab.store.seal_adapter(model_id, self.served.model, self.lab.policy, quiet)


def _named(name: str) -> dict[str | bytes, bytes]:
    return {"general.name": string(name)}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    lab = make_lab(tmp_path)
    return Stage(lab, lab.store.seal(lab.approved(), lab.policy, quiet))


def code_of(action: Any) -> str:
    with pytest.raises(Refused) as caught:
        asyncio.run(action)
    return caught.value.code


def test_attached_found_and_detached_with_its_memory(stage: Stage) -> None:
    adapter = stage.adapter("fr")
    asyncio.run(stage.attached.attach(adapter))
    assert stage.attached.find("tiny:fr") is adapter and stage.attached.find("tiny:de") is None
    assert list(stage.attached) == [adapter] and stage.attached.base("tiny:x").id == "tiny"
    assert stage.taken[-1] == 2 * adapter.facts.lora.file_bytes
    assert code_of(stage.attached.attach(adapter)) == "wrong_state"
    asyncio.run(stage.attached.detach("tiny:fr"))
    assert stage.attached.find("tiny:fr") is None and stage.taken[-1] == 0
    assert adapter.sealed.fd == -1 and stage.notes == ["attach", "detach"]
    assert code_of(stage.attached.detach("tiny:fr")) == "wrong_state"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (WorkerLost("worker_lost", "gone"), "model_load_failed"),
        (StateRefused("not_sealed", "no"), "not_sealed"),
    ],
)
def test_what_the_worker_does_not_take_is_not_there(
    stage: Stage, fault: BaseException, code: str
) -> None:
    stage.worker.fault = fault
    assert code_of(stage.attached.attach(stage.adapter("fr"))) == code
    assert list(stage.attached) == [] and stage.taken[-1] == 0 and stage.notes == []


async def test_an_adapter_that_many_ask_for_at_once_is_attached_once(stage: Stage) -> None:
    """A worker keeps one of a digest: the memory of a second one would never come back."""
    adapter, other = stage.adapter("fr"), stage.adapter("de")
    stage.worker.may_go_on.clear()
    first = asyncio.create_task(stage.attached.attach(adapter))
    await asyncio.sleep(0)
    with pytest.raises(StateRefused) as caught:
        await stage.attached.attach(adapter)
    assert caught.value.code == "wrong_state"
    assert stage.attached.find("tiny:fr") is None  # not there yet, but its memory counts
    second = asyncio.create_task(stage.attached.attach(other))
    await asyncio.sleep(0)
    each = [2 * found.facts.lora.file_bytes for found in (adapter, other)]
    assert stage.taken == [each[0], sum(each)]
    stage.worker.may_go_on.set()
    await asyncio.gather(first, second)
    assert stage.worker.attached == [adapter.digest, other.digest]
    assert stage.taken[-1] == sum(each) and adapter.sealed.fd != -1


async def test_an_adapter_whose_base_ends_meanwhile_is_refused_and_takes_no_memory(
    stage: Stage,
) -> None:
    adapter = stage.adapter("fr")
    stage.worker.may_go_on.clear()
    attaching = asyncio.create_task(stage.attached.attach(adapter))
    await asyncio.sleep(0)
    del stage.models["tiny"]
    stage.worker.may_go_on.set()
    with pytest.raises(StateRefused) as caught:
        await attaching
    assert caught.value.code == "model_load_failed" and stage.served.adapters == {}
    assert len(stage.taken) == 1  # nothing is taken again for a model that has given it back


def test_no_base_no_adapter(stage: Stage) -> None:
    adapter = stage.adapter("fr")
    stage.served.state = "restarting"
    assert code_of(stage.attached.attach(adapter)) == "wrong_state"


def test_a_restart_keeps_what_is_allowed_and_what_the_worker_took(stage: Stage) -> None:
    adapters = [stage.adapter(name) for name in ("fr", "de", "it")]
    for adapter in adapters:
        asyncio.run(stage.attached.attach(adapter))
    stage.denied = {"tiny:fr"}
    asyncio.run(stage.attached.recheck(stage.served))
    assert [a.id for a in stage.attached] == ["tiny:de", "tiny:it"]
    stage.worker.adapters = frozenset({adapters[2].digest})  # as a new worker says
    asyncio.run(stage.attached.settle(stage.served))
    assert list(stage.attached) == [adapters[2]]
    assert [a.sealed.fd == -1 for a in adapters] == [True, True, False]


def test_a_worker_that_dies_at_a_detach_has_let_go(stage: Stage) -> None:
    asyncio.run(stage.attached.attach(stage.adapter("fr")))
    stage.worker.fault = WorkerLost("worker_lost", "gone")
    asyncio.run(stage.attached.detach("tiny:fr"))
    assert list(stage.attached) == [] and stage.notes[-1] == "detach"
