"""The writer alone: time that never falls, keys that are not lost, heads that consist."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from appliance.audit import store
from appliance.audit.ballast import Ballast
from appliance.audit.checkpoint import VerifierKey, verify
from appliance.audit.entry import NO_ENTRY, Draft, decode
from appliance.audit.handover import Epoch
from appliance.audit.host import Moment
from appliance.audit.keyring import Keyring
from appliance.audit.merkle import Frontier, consistency_proof, verify_consistency
from appliance.audit.segments import Log
from appliance.audit.writer import Tail, Writer
from appliance.clock import FixedClock
from appliance.errors import AuditRefused
from tests.audit.logs import ORIGIN, admin, intent

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class Script:
    def __init__(self) -> None:
        self.moment = Moment(1, "boot-1", 100)

    def now(self) -> Moment:
        return self.moment


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[Keyring]:
    ring = Keyring(tmp_path / "keys.db", bytes(32), FixedClock())
    yield ring
    ring.abandon()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = store.open_log(tmp_path / "log.db")
    yield opened
    opened.dispose()


@pytest.fixture
def writer(engine: Engine, keyring: Keyring, script: Script, tmp_path: Path) -> Iterator[Writer]:
    with engine.connect() as connection:
        yield Writer(
            connection,
            keyring,
            Tail(Frontier(), NO_ENTRY, None, {}),
            epoch=Epoch.first(VerifierKey(ORIGIN, KEY.public_key().public_bytes_raw())),
            key=KEY,
            mode="encrypted",
            moments=script,
            ballast=Ballast(tmp_path / "ballast", 0),
        )


def times(engine: Engine) -> list[tuple[object, object]]:
    with engine.connect() as connection:
        rows = store.leaves(Log.of(store.raw(connection)), 0, 1_000)
        bodies = [decode(row[3]) for row in rows]
    return [(b["boot_id"], b["mono_us"]) for b in bodies]


def test_time_since_boot_never_falls_within_a_boot(
    writer: Writer, script: Script, engine: Engine
) -> None:
    for boot, mono in [("boot-1", 100), ("boot-1", 90), ("boot-2", 5), ("boot-2", 6)]:
        script.moment = Moment(1, boot, mono)
        writer.commit([[admin("x")]])
    assert times(engine) == [("boot-1", 100), ("boot-1", 100), ("boot-2", 5), ("boot-2", 6)]


def test_a_refused_draft_gives_its_content_key_back(writer: Writer, keyring: Keyring) -> None:
    keyring.ensure(1)
    first = keyring.take()
    keyring.put_back([first])
    bad = Draft("admin", {}, {"text": b"x"})
    (refused,) = writer.commit([[intent("a"), bad]])
    assert isinstance(refused, AuditRefused)
    assert keyring.take() == first


def test_nothing_valid_means_no_commit(writer: Writer, engine: Engine) -> None:
    writer.commit([[Draft("admin", {})]])
    writer.commit([])
    assert writer.size == 0
    assert writer.note == b""
    with engine.connect() as connection:
        assert store.newest_note(Log.of(store.raw(connection))) is None


def test_all_heads_are_consistent_with_each_other(writer: Writer, engine: Engine) -> None:
    public = VerifierKey(ORIGIN, KEY.public_key().public_bytes_raw())
    heads = []
    for count in (1, 3, 1, 300, 7, 255, 1):
        writer.commit([[admin("x") for _ in range(count)]])
        heads.append(verify(writer.note, public))
    with engine.connect() as connection:
        at = store.subtree(Log.of(store.raw(connection)))
        for old, new in itertools.pairwise(heads):
            path = consistency_proof(old.size, new.size, at)
            assert verify_consistency(old.size, new.size, path, old.root, new.root)


def test_a_commit_that_fails_moves_nothing_on(writer: Writer, engine: Engine) -> None:
    writer.commit([[admin("x")]])
    note = writer.note
    with engine.connect() as connection:
        store.raw(connection).execute(
            "INSERT INTO leaf VALUES (1, x'{0}', x'{0}', x'7b7d')".format("ab" * 32)
        )
    with pytest.raises(store.FAILURES):
        writer.commit([[admin("y")]])
    assert (writer.size, writer.note) == (1, note)
