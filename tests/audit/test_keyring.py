"""Content keys are durable before use, used once, in order, and swept when unused."""

from collections.abc import Iterator
from pathlib import Path

import pysqlite3.dbapi2
import pytest

from appliance.audit.keyring import BATCH, Keyring, find_key
from appliance.clock import FixedClock
from appliance.errors import AuditRefused

KEK = bytes(32)


def stored(path: Path) -> list[str]:
    database = pysqlite3.dbapi2.connect(str(path))
    try:
        return [row[0] for row in database.execute("SELECT id FROM dek ORDER BY rowid")]
    finally:
        database.close()


def find(path: Path, kek: bytes, key_id: str) -> bytes | None:
    database = pysqlite3.dbapi2.connect(str(path))
    try:
        return find_key(database, kek, key_id)
    finally:
        database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


@pytest.fixture
def keyring(path: Path) -> Iterator[Keyring]:
    ring = Keyring(path, KEK, FixedClock())
    yield ring
    ring.abandon()


def test_no_key_is_made_before_one_is_needed(keyring: Keyring, path: Path) -> None:
    keyring.ensure(0)
    keyring.refill()
    assert stored(path) == []


def test_a_key_is_durable_before_it_is_taken(keyring: Keyring, path: Path) -> None:
    keyring.ensure(1)
    on_disk = stored(path)
    key_id, dek = keyring.take()
    assert len(on_disk) == BATCH
    assert on_disk[0] == key_id
    assert find(path, KEK, key_id) == dek


def test_more_than_a_batch_can_be_asked_for(keyring: Keyring) -> None:
    keyring.ensure(BATCH + 5)
    taken = [keyring.take() for _ in range(BATCH + 5)]
    assert len({key_id for key_id, _ in taken}) == len({dek for _, dek in taken}) == BATCH + 5


def test_keys_run_low_and_are_made_again(keyring: Keyring, path: Path) -> None:
    keyring.ensure(1)
    for _ in range(BATCH - 10):
        keyring.take()
    keyring.refill()
    assert len(stored(path)) == 2 * BATCH


def test_keys_put_back_come_out_in_their_old_order(keyring: Keyring) -> None:
    keyring.ensure(5)
    taken = [keyring.take() for _ in range(3)]
    keyring.put_back(taken)
    assert [keyring.take() for _ in range(3)] == taken


def test_unused_keys_are_destroyed_on_closing(keyring: Keyring, path: Path) -> None:
    keyring.ensure(1)
    used = [keyring.take()[0] for _ in range(3)]
    keyring.destroy_unused()
    assert stored(path) == used


def test_a_sweep_destroys_the_unused_end_only(keyring: Keyring, path: Path) -> None:
    keyring.ensure(1)
    used = {keyring.take()[0] for _ in range(3)}
    keyring.abandon()
    again = Keyring(path, KEK, FixedClock())
    assert again.sweep(used.__contains__) == BATCH - 3
    assert again.sweep(used.__contains__) == 0
    assert set(stored(path)) == used
    assert again.sweep(lambda _: False) == 3
    again.abandon()


def test_a_destroyed_key_leaves_no_trace_in_the_files(keyring: Keyring, path: Path) -> None:
    keyring.ensure(1)
    database = pysqlite3.dbapi2.connect(str(path))
    wrapped = database.execute("SELECT wrapped FROM dek LIMIT 1").fetchone()[0]
    database.close()
    written = path.read_bytes() + path.with_name("keys.db-wal").read_bytes()
    assert wrapped in written
    keyring.destroy_unused()
    left = path.read_bytes() + path.with_name("keys.db-wal").read_bytes()
    assert wrapped not in left


def test_another_kek_does_not_unwrap(keyring: Keyring, path: Path) -> None:
    keyring.ensure(1)
    key_id, _ = keyring.take()
    with pytest.raises(AuditRefused, match="does not unwrap"):
        find(path, bytes(31) + b"\1", key_id)
    assert find(path, KEK, "no such key") is None
