"""Names beside ids: answered by the newest pointer, or not at all."""

from types import SimpleNamespace
from typing import Any, cast

from msgspec.structs import replace

from appliance.errors import PolicyRefused
from appliance.tasks.catalogue import CatalogueEntry, Tasks
from appliance.tasks.names import TaskNames, in_share
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from appliance.trust.statements.pointers import Pointers
from appliance.trust.statements.statement import Signed

V1, V2, V3 = (TaskVersion(f"v{n}", f"{n}a" * 32) for n in (1, 2, 3))
POINTER = TaskPointer("orders", V1, "", "Alice", "read", "2026-09-21T00:00:00Z")
CANARY = replace(POINTER, canary=V2, percent=20, shadow=V3)
APPS = [f"key-{n}" for n in range(2000)]


class Approved:
    def __init__(self, *versions: TaskVersion) -> None:
        self._entries = {
            v.task: CatalogueEntry(v.task, "smol", "labels", v.digest) for v in versions
        }

    def entries(self) -> list[CatalogueEntry]:
        return list(self._entries.values())

    def entry(self, task_id: str) -> CatalogueEntry | None:
        return self._entries.get(task_id)


class Pointing:
    def __init__(self, pointer: TaskPointer | Exception) -> None:
        self._pointer = pointer
        self.verified = 0

    def names(self) -> list[str]:
        return ["orders"]

    def newest(self, name: str) -> tuple[str, bytes] | None:
        return ("id", b"") if name == "orders" else None

    def current(self, _name: str, _policy: Any) -> Signed[TaskPointer]:
        self.verified += 1
        if isinstance(self._pointer, Exception):
            raise self._pointer
        return Signed(self._pointer, "id", "key", b"")


def names(pointer: TaskPointer | Exception, *versions: TaskVersion) -> TaskNames:
    policy = cast(Any, lambda: SimpleNamespace(version=1))
    return TaskNames(cast(Tasks, Approved(*versions)), cast(Pointers, Pointing(pointer)), policy)


def id_of(entry: CatalogueEntry | None) -> str | None:
    return None if entry is None else entry.id


def test_a_name_answers_by_its_live_version() -> None:
    found = names(POINTER, V1, V2)
    assert id_of(found.live("orders")) == id_of(found.answers("orders", "app")) == "v1"
    assert found.shadow("orders") is None
    assert found.live("else") is found.answers("else", "app") is None
    assert found.shadow("else") is None
    assert found.entries() == [CatalogueEntry("orders", "smol", "labels", V1.digest)]


def test_a_canary_answers_its_share_of_the_apps_and_always_the_same_ones() -> None:
    found = names(CANARY, V1, V2, V3)
    met = {app: id_of(found.answers("orders", app)) for app in APPS}
    assert 330 < list(met.values()).count("v2") < 470  # of 2,000, 20 %: five standard deviations
    assert set(met.values()) == {"v1", "v2"}
    wider = replace(CANARY, percent=60)
    assert all(in_share(wider, app) for app in APPS if in_share(CANARY, app))
    other = replace(CANARY, canary=V3, shadow=None)
    assert {app for app in APPS if in_share(other, app)} != {a for a in APPS if in_share(CANARY, a)}


def test_a_canary_that_may_not_serve_leaves_its_apps_to_the_live_version() -> None:
    found = names(CANARY, V1, V3)
    assert {id_of(found.answers("orders", app)) for app in APPS[:100]} == {"v1"}


def test_a_shadow_is_told_while_it_may_serve() -> None:
    shadow = names(CANARY, V1, V3).shadow("orders")
    assert shadow is not None and (shadow[0], shadow[1].id) == ("id", "v3")
    assert names(CANARY, V1).shadow("orders") is None


def test_another_task_under_the_id_does_not_answer() -> None:
    found = names(POINTER, TaskVersion("v1", "11" * 32))
    assert found.live("orders") is None and found.entries() == []


def test_a_name_whose_pointer_does_not_hold_answers_nothing() -> None:
    found = names(PolicyRefused("key_revoked", "Key x is revoked."), V1)
    assert found.live("orders") is found.answers("orders", "app") is None


def test_a_signature_is_verified_once_for_a_policy() -> None:
    version, pointing = [1], Pointing(POINTER)
    found = TaskNames(
        cast(Tasks, Approved(V1)),
        cast(Pointers, pointing),
        cast(Any, lambda: SimpleNamespace(version=version[0])),
    )
    assert found.live("orders") and found.live("orders") and pointing.verified == 1
    version[0] = 2
    assert found.live("orders") and pointing.verified == 2
