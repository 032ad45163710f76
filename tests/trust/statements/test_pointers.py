"""The pointers of an appliance: each follows the newest, and a crash leaves exactly one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.db import open_database
from appliance.errors import PolicyRefused, StateRefused
from appliance.trust.statements import pointers
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from appliance.trust.statements.pointers import Pointers
from tests.trust import policies
from tests.trust.statements.test_pointer import POINTER, signed


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Pointers]:
    database = open_database(tmp_path / "a.db", [pointers.TABLES])
    yield Pointers(database)
    database.dispose()


def nothing() -> None:
    pass


def flip(kept: Pointers, task: str, previous: str = "") -> str:
    envelope = signed(replace(POINTER, live=TaskVersion(task, "ab" * 32), previous=previous))
    made = TaskPointer.verify(envelope, policies.parsed())
    kept.flip(made, nothing)
    return made.id


def live(kept: Pointers) -> str | None:
    found = kept.current("orders", policies.parsed())
    return None if found is None else found.said.live.task


def test_the_newest_is_live_and_the_others_stay(kept: Pointers) -> None:
    assert live(kept) is None and kept.names() == []
    first = flip(kept, "v1")
    second = flip(kept, "v2", first)
    assert live(kept) == "v2" and kept.names() == ["orders"]
    flip(kept, "v1", second)
    assert live(kept) == "v1" and len(kept.history("orders")) == 3


def test_a_pointer_that_does_not_follow_is_refused(kept: Pointers) -> None:
    first = flip(kept, "v1")
    flip(kept, "v2", first)
    for previous in ("", first, "ab" * 32):
        with pytest.raises(StateRefused) as caught:
            flip(kept, "v3", previous)
        assert caught.value.code == "pointer_moved"
    assert live(kept) == "v2" and len(kept.history("orders")) == 2


def test_of_many_at_once_one_wins(kept: Pointers) -> None:
    first = flip(kept, "v1")

    def race(number: int) -> bool:
        try:
            flip(kept, f"r{number}", first)
        except StateRefused:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        won = list(threads.map(race, range(8)))
    assert won.count(True) == 1 and live(kept) == f"r{won.index(True)}"


def test_a_death_before_the_row_leaves_the_old_pointer(kept: Pointers) -> None:
    first = flip(kept, "v1")

    def dies() -> None:
        raise KeyboardInterrupt

    envelope = signed(replace(POINTER, live=TaskVersion("v2", "ab" * 32), previous=first))
    with pytest.raises(KeyboardInterrupt):
        kept.flip(TaskPointer.verify(envelope, policies.parsed()), dies)
    assert live(kept) == "v1"


def test_a_pointer_of_a_revoked_key_points_nowhere(kept: Pointers) -> None:
    flip(kept, "v1")
    revoked = policies.put("revoked", "keys", [policies.hint(policies.ALICE)])
    with pytest.raises(PolicyRefused) as caught:
        kept.current("orders", policies.parsed(revoked))
    assert caught.value.code == "key_revoked"
