"""One way to carry any certificate over."""

from types import SimpleNamespace
from typing import Any, ClassVar, cast

import msgspec
import pytest

from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused, PolicyRefused
from appliance.looks.carry import Carriable, CarryOver
from appliance.types import Json

ITEMS = {f"i{n}": Item(f"i{n}", f"g{n}", {"text": "x"}, "a") for n in range(60)}


class Parts:
    engine = "new"

    def __init__(self) -> None:
        self.told: list[dict[str, Json]] = []

    def fresh(self) -> Any:
        return SimpleNamespace(check_change=lambda: None)

    def policy(self) -> Any:
        return None

    def record(self, job: Any, action: str, fields: dict[str, Json]) -> int:
        self.told.append({"action": action, **fields})
        return len(self.told)


class Plan(msgspec.Struct, forbid_unknown_fields=True):
    plan: str


class Moving(CarryOver[Plan]):
    name: ClassVar[str] = "move"
    noun: ClassVar[str] = "plan"
    action: ClassVar[str] = "plan_carried"
    form = Plan

    def __init__(self, otherwise: str = "", bounded: bool = True) -> None:
        self.kept_here: list[bytes] = []
        self.otherwise, self.bounded, self.out, self.changes = otherwise, bounded, "", 0
        super().__init__(cast(Any, Parts()), cast(Any, SimpleNamespace(add=self._add)), self._count)

    def _count(self) -> None:
        self.changes += 1

    def _add(self, envelope: bytes, policy: object) -> Any:
        self.kept_here.append(envelope)
        return SimpleNamespace(id="new id")

    def carriable(self, name: str, policy: Any) -> Carriable:
        if not self.bounded:
            raise PolicyRefused("evaluation_change_unbounded", "Too few groups.")

        async def ask(label: str, item: Item) -> Json:
            return "otherwise" if item.id == self.otherwise else "same"

        async def end(flips: int, named: str) -> None:
            self.out = f"{name}: {flips}, {named}"

        before: dict[str, Json] = dict.fromkeys(ITEMS, "same")
        made = b"new", "new id"
        return Carriable("old id", before, ITEMS, 60, 50_000, ask, lambda: made, end)


class Work:
    id, actor, params = 7, "uid:0", Plan("p")

    async def in_thread(self, work: Any, *args: Any) -> Any:
        return work(*args)

    async def unless_stopped(self, work: Any) -> Any:
        return await work

    def report(self, phase: str, done: int, total: int) -> None: ...


def told(kind: Moving) -> list[dict[str, Json]]:
    return cast(Parts, kind.parts).told


async def test_the_same_is_signed_recorded_and_kept_with_what_it_bounds() -> None:
    kind, job = Moving(), cast(Any, Work())
    result = (await kind.run(job)).document
    assert result == {
        "plan": "p", "engine": "new", "items": 60, "flips": [], "certificate": "new id",
        "groups": 60, "change": pytest.approx(0.0487, abs=1e-4),
    }  # fmt: skip
    (entry,) = told(kind)
    assert (entry["from"], entry["certificate"], entry["flips"]) == ("old id", "new id", 0)
    assert kind.kept_here == [b"new"] and kind.out == "" and kind.changes == 1


async def test_one_item_otherwise_is_out_of_service_and_nothing_is_kept() -> None:
    kind, job = Moving(otherwise="i9"), cast(Any, Work())
    result = (await kind.run(job)).document
    assert (result["flips"], result["certificate"]) == (["i9"], None)
    assert [entry["certificate"] for entry in told(kind)] == [""]
    assert kind.out == "p: 1, i9" and kind.kept_here == [] and kind.changes == 0


async def test_what_is_not_bounded_asks_nothing() -> None:
    kind, job = Moving(bounded=False), cast(Any, Work())
    with pytest.raises(PolicyRefused):
        await kind.run(job)
    assert told(kind) == [] and kind.kept_here == []


def test_parameters_are_a_name_and_no_more() -> None:
    assert Moving().key(Plan("p")) == "p new"
    with pytest.raises(EvaluationRefused) as caught:
        Moving().read('{"plan":"p","more":1}')
    assert caught.value.code == "evaluation_invalid"
