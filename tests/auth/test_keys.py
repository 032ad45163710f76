"""Keys: made once, stored as hashes, refused in one voice."""

import string
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, text

from appliance.auth.key import CONTENT, EXAMPLES, PEOPLE, SHARES, SITE, TABLES, TASKS, KeyChange
from appliance.auth.keys import KeyStore
from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.errors import AuditUnavailable, StateRefused, Unauthenticated
from appliance.types import KeyUsage, Limits, ModelCard, Priority


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    scripts = [TABLES, SHARES, CONTENT, EXAMPLES, TASKS, PEOPLE, SITE]
    engine = open_database(tmp_path / "appliance.db", scripts)
    yield engine
    engine.dispose()


@pytest.fixture
def keys(database: Engine, clock: FixedClock) -> Iterator[KeyStore]:
    store = KeyStore(database, clock)
    yield store
    store.close()


def refusal_of(keys: KeyStore, secret: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        keys.authenticate(secret)
    assert caught.value.code == "invalid_api_key"
    return caught.value.message


def test_a_new_key_authenticates_as_its_app(keys: KeyStore) -> None:
    key, secret = keys.create("billing", models=["a", "b"])
    principal = keys.authenticate(secret)
    assert (principal.key_id, principal.name) == (key.id, "billing")
    assert principal.may_use("a") and not principal.may_use("c")


def test_a_key_for_tasks_allows_no_model_by_itself(database: Engine, clock: FixedClock) -> None:
    store = KeyStore(database, clock)
    _, secret = store.create("clerk", tasks_only=True)
    _, other = store.create("free")
    again = KeyStore(database, clock)  # as the database keeps it
    model = ModelCard("m", "ab" * 32, 512, 1)
    task = replace(model, id="t", form="labels")
    for keys in (store, again):
        clerk, free = keys.authenticate(secret), keys.authenticate(other)
        assert clerk.may_answer(task) and not clerk.may_answer(model)
        assert free.may_answer(task) and free.may_answer(model)
    store.close()
    again.close()


def test_the_secret_has_256_bits_in_the_documented_form(keys: KeyStore) -> None:
    key, secret = keys.create("billing")
    prefix, key_id, random = secret.split("-", 2)
    assert (prefix, key_id, len(random)) == ("sk", key.id, 43)
    assert set(random) <= set(string.ascii_letters + string.digits + "-_")


def test_the_database_holds_no_secret(keys: KeyStore, tmp_path: Path) -> None:
    _, secret = keys.create("billing")
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"billing" in stored  # the control: the row is in these bytes
    assert secret.split("-", 2)[2].encode() not in stored


def test_keys_outlive_the_process(database: Engine, clock: FixedClock, keys: KeyStore) -> None:
    _, secret = keys.create("billing", models=["m"], expires_us=clock.now_us + 5)
    again = KeyStore(database, clock)
    assert again.list() == keys.list()
    assert again.authenticate(secret).models == {"m"}


def test_a_revoked_key_is_refused_at_once_and_after_a_restart(
    database: Engine, clock: FixedClock, keys: KeyStore
) -> None:
    key, secret = keys.create("billing")
    keys.authenticate(secret)
    assert keys.revoke(key.id).revoked_us == clock.now_us
    refusal_of(keys, secret)
    refusal_of(KeyStore(database, clock), secret)


def test_revoking_twice_keeps_the_first_time(keys: KeyStore, clock: FixedClock) -> None:
    key, _ = keys.create("billing")
    first = keys.revoke(key.id)
    clock.advance(5)
    assert keys.revoke(key.id) == first


def test_a_key_ends_at_its_expiry(keys: KeyStore, clock: FixedClock) -> None:
    _, secret = keys.create("billing", expires_us=clock.now_us + 1_000_000)
    clock.now_us += 999_999
    keys.authenticate(secret)
    clock.now_us += 1
    refusal_of(keys, secret)


def test_every_refusal_reads_the_same(keys: KeyStore, clock: FixedClock) -> None:
    key, secret = keys.create("one")
    old, expired = keys.create("two", expires_us=clock.now_us + 1)
    dead, revoked = keys.create("three")
    keys.revoke(dead.id)
    clock.advance(1)
    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    unknown = f"sk-{'0' * 12}-{secret[16:]}"
    mixed = f"sk-{old.id}-{secret[16:]}"
    messages = {refusal_of(keys, s) for s in ("", wrong, unknown, mixed, expired, revoked)}
    assert len(messages) == 1
    assert keys.authenticate(secret).key_id == key.id


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s + "=",
        lambda s: s + "\n",
        lambda s: " " + s,
        lambda s: s.upper(),
        lambda s: s[3:],
        lambda s: s.replace("sk-", "SK-"),
        lambda s: s[:-1] + "é",
        lambda s: s[:-1] + "\x00",
        lambda s: s * 10_000,
        lambda s: s[:15] + "-",
    ],
)  # fmt: skip
def test_a_malformed_secret_is_refused(keys: KeyStore, change: object) -> None:
    assert callable(change)
    _, secret = keys.create("billing")
    refusal_of(keys, change(secret))


def test_checking_a_key_reads_no_database(database: Engine, keys: KeyStore) -> None:
    _, secret = keys.create("billing")
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    event.listen(database, "before_cursor_execute", count)
    keys.authenticate(secret)
    refusal_of(keys, "sk-nonsense")
    assert statements == 0
    with database.connect() as connection:  # the control: the counter counts
        connection.execute(text("SELECT 1"))
    assert statements > 0


def stored_last_use(database: Engine, key_id: str) -> int | None:
    with database.connect() as connection:
        sql = text("SELECT last_used_us FROM api_keys WHERE id = :id")
        value: int | None = connection.execute(sql, {"id": key_id}).scalar_one()
        return value


def test_last_use_is_known_at_once_and_written_at_close(
    database: Engine, keys: KeyStore, clock: FixedClock
) -> None:
    key, secret = keys.create("billing")
    assert keys.list()[0].last_used_us is None
    keys.authenticate(secret)
    assert keys.list()[0].last_used_us == clock.now_us
    assert stored_last_use(database, key.id) is None
    keys.close()
    assert stored_last_use(database, key.id) == clock.now_us
    assert keys.list()[0].last_used_us == clock.now_us


def test_last_use_is_written_once_a_minute_by_another_thread(
    database: Engine, keys: KeyStore, clock: FixedClock
) -> None:
    key, secret = keys.create("billing")
    writers: list[str] = []

    def note(_connection: object) -> None:
        writers.append(threading.current_thread().name)

    event.listen(database, "commit", note)
    clock.advance(59)
    keys.authenticate(secret)
    assert writers == []
    clock.advance(1)
    keys.authenticate(secret)
    keys.authenticate(secret)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and "_flush" in thread.name:
            thread.join()
    assert len(writers) == 1 and writers[0] != threading.current_thread().name
    assert stored_last_use(database, key.id) == clock.now_us


def test_a_rotated_key_has_two_secrets_until_the_overlap_ends(
    database: Engine, keys: KeyStore, clock: FixedClock
) -> None:
    key, old = keys.create("billing")
    rotated, new = keys.rotate(key.id, 3_000_000)
    assert rotated.id == key.id and old != new
    for store in (keys, KeyStore(database, clock)):
        assert {store.authenticate(s).key_id for s in (old, new)} == {key.id}
    clock.advance(3)
    for store in (keys, KeyStore(database, clock)):
        assert store.authenticate(new).key_id == key.id
        refusal_of(store, old)


def test_a_second_rotation_ends_the_first_secret(keys: KeyStore) -> None:
    key, first = keys.create("billing")
    _, second = keys.rotate(key.id, 60_000_000)
    _, third = keys.rotate(key.id, 60_000_000)
    refusal_of(keys, first)
    assert keys.authenticate(second) == keys.authenticate(third)


def test_a_rotation_without_overlap_ends_the_old_secret_at_once(keys: KeyStore) -> None:
    key, old = keys.create("billing")
    keys.rotate(key.id, 0)
    refusal_of(keys, old)


def test_a_revoked_key_has_no_secret_at_all_and_is_not_rotated(keys: KeyStore) -> None:
    key, old = keys.create("billing")
    _, new = keys.rotate(key.id, 60_000_000)
    keys.revoke(key.id)
    refusal_of(keys, old)
    refusal_of(keys, new)
    with pytest.raises(StateRefused):
        keys.rotate(key.id, 0)


def test_limits_come_with_the_principal_and_can_be_changed(
    database: Engine, keys: KeyStore, clock: FixedClock
) -> None:
    limits = Limits(rpm=10, tpm=1000, concurrency=2, weight=3, priority=Priority.BATCH)
    key, secret = keys.create("billing", limits=limits)
    assert keys.authenticate(secret).limits == limits
    keys.limit(key.id, Limits(rpm=20))
    for store in (keys, KeyStore(database, clock)):
        assert store.authenticate(secret).limits == Limits(rpm=20)


def test_a_key_is_live_until_its_end(keys: KeyStore, clock: FixedClock) -> None:
    key, _ = keys.create("billing", expires_us=clock.now_us + 1_000_000)
    other, _ = keys.create("other")
    assert keys.is_live(key.id) and keys.is_live(other.id)
    clock.advance(1)
    keys.revoke(other.id)
    assert not any(map(keys.is_live, (key.id, other.id, "nothing")))


def test_a_client_certificate_stands_for_its_key(
    database: Engine, keys: KeyStore, clock: FixedClock
) -> None:
    key, _ = keys.create("billing", certificate=b"c" * 32)
    for store in (keys, KeyStore(database, clock)):
        assert store.authenticate_certificate(b"c" * 32).key_id == key.id
        assert store.holder(key.id) == store.authenticate_certificate(b"c" * 32)
        with pytest.raises(Unauthenticated):
            store.authenticate_certificate(b"d" * 32)
    with pytest.raises(StateRefused):
        keys.create("other", certificate=b"c" * 32)
    keys.revoke(key.id)
    with pytest.raises(Unauthenticated):
        keys.authenticate_certificate(b"c" * 32)
    with pytest.raises(Unauthenticated):
        keys.holder(key.id)
    keys.create("other", certificate=b"c" * 32)


def test_a_key_with_a_certificate_has_no_secret(
    database: Engine, keys: KeyStore, clock: FixedClock
) -> None:
    key, secret = keys.create("billing", certificate=b"c" * 32)
    assert secret == ""
    with pytest.raises(StateRefused) as caught:
        keys.rotate(key.id, 60_000_000)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "id")
    other, good = keys.create("other")
    with database.begin() as connection:  # as an earlier version made it: both
        connection.execute(
            text(
                "UPDATE api_keys SET certificate_sha256 = :c, old_sha256 = secret_sha256,"
                " old_until_us = :until WHERE id = :id"
            ),
            {"c": b"d" * 32, "until": clock.now_us + 10**9, "id": other.id},
        )
    assert keys.authenticate(good).key_id == other.id  # positive control: the secret was good
    again = KeyStore(database, clock)
    with pytest.raises(Unauthenticated):
        again.authenticate(good)
    assert again.authenticate_certificate(b"d" * 32).key_id == other.id


def test_an_expired_key_is_not_valid(keys: KeyStore, clock: FixedClock) -> None:
    key, _ = keys.create("billing", expires_us=clock.now_us + 1_000_000)
    assert key.state(clock.now_us) == "valid"
    clock.advance(1)
    assert keys.get(key.id).state(clock.now_us) == "expired"
    assert keys.revoke(key.id).state(clock.now_us) == "revoked"


def test_reading_again_leaves_no_moment_without_keys_and_counts_nothing_twice(
    keys: KeyStore, database: Engine, clock: FixedClock
) -> None:
    key, secret = keys.create("app")
    other, others = keys.create("gone")
    keys.note_usage(key.id, 10, 5)
    keys.authenticate(others)
    keys.close()  # written
    found = []

    def asked(*_: object) -> None:
        found.append(keys.is_live(key.id) and keys.authenticate(secret).key_id)

    with database.begin() as connection:
        connection.execute(text("DELETE FROM api_keys WHERE id = :id"), {"id": other.id})
    event.listen(database, "before_cursor_execute", asked)
    keys.read()
    event.remove(database, "before_cursor_execute", asked)
    assert set(found) == {key.id}
    assert keys.get(key.id).usage == KeyUsage(1, 10, 5)
    with pytest.raises(Unauthenticated):
        keys.authenticate(others)
    keys.close()
    assert KeyStore(database, clock).get(key.id).usage == KeyUsage(1, 10, 5)


def test_usage_is_known_at_once_and_outlives_the_process(
    database: Engine, keys: KeyStore, clock: FixedClock
) -> None:
    key, secret = keys.create("billing")
    keys.authenticate(secret)
    keys.note_usage(key.id, 10, 5)
    keys.note_usage(key.id, 1, 1)
    keys.note_usage("nothing", 1, 1)
    assert keys.get(key.id).usage == KeyUsage(2, 11, 6)
    assert KeyStore(database, clock).get(key.id).usage == KeyUsage()
    keys.close()
    assert (
        keys.get(key.id).usage == KeyStore(database, clock).get(key.id).usage == KeyUsage(2, 11, 6)
    )


def test_two_live_keys_cannot_share_a_name(keys: KeyStore) -> None:
    key, _ = keys.create("billing")
    with pytest.raises(StateRefused) as caught:
        keys.create("billing")
    assert caught.value.code == "key_name_taken"
    keys.revoke(key.id)
    keys.create("billing")
    assert [k.name for k in keys.list()] == ["billing", "billing"]


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "a\x1b[2Jb", "\u202eabc", " a", "e\u0301"])
def test_names_are_short_and_printable(keys: KeyStore, name: str) -> None:
    with pytest.raises(StateRefused) as caught:
        keys.create(name)
    assert caught.value.code == "invalid_key_name"
    assert keys.list() == ()


@pytest.mark.parametrize("name", ["x", "x" * 64, "Rechnungsprüfung 2", "日本"])
def test_printable_names_of_any_script_are_fine(keys: KeyStore, name: str) -> None:
    assert keys.create(name)[0].name == name


def test_unknown_roles_and_past_expiries_are_refused(keys: KeyStore, clock: FixedClock) -> None:
    for options in ({"role": "admin"}, {"expires_us": clock.now_us}):
        with pytest.raises(StateRefused) as caught:
            keys.create("billing", **options)
        assert caught.value.code == "invalid_value"


def test_revoking_an_unknown_key_is_refused(keys: KeyStore) -> None:
    with pytest.raises(StateRefused) as caught:
        keys.revoke("nothing")
    assert caught.value.code == "unknown_key_id"


SECRET_LIKE = st.from_regex(r"sk-[0-9a-f]{12}-[A-Za-z0-9_-]{43}", fullmatch=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=80) | SECRET_LIKE)
def test_no_text_passes_by_chance_or_breaks_the_check(keys: KeyStore, secret: str) -> None:
    refusal_of(keys, secret)


def test_a_key_of_another_appliance_is_taken_whole(database: Engine, clock: FixedClock) -> None:
    told: list[KeyChange] = []
    here = KeyStore(database, clock, told.append)
    key, secret = here.create("crm", limits=Limits(rpm=1))
    here.note_usage(key.id, 5, 6)
    row = here.row(key.id)
    assert row is not None and here.rows() == [row]
    here.take(replace(row, key=replace(row.key, limits=Limits(rpm=2))), "site b")
    here.take(replace(row, secret=b"x" * 32, old=row.secret), "site b")
    refusal_of(here, secret)  # its overlap is over
    assert here.get(key.id).usage.requests == 1
    again = KeyStore(database, clock)  # as the database keeps it
    assert again.row(key.id) == here.row(key.id)
    ended = replace(row, key=replace(row.key, revoked_us=clock.now_us))
    here.take(ended, "site b")
    assert [change.action for change in told] == [
        "key_create", "key_limit", "key_rotate", "key_revoke",
    ]  # fmt: skip
    assert {change.actor for change in told[1:]} == {"site b"} and not here.is_live(key.id)


def test_a_key_ends_even_where_that_cannot_be_recorded(keys: KeyStore, clock: FixedClock) -> None:
    key, secret = keys.create("crm")
    row = keys.row(key.id)
    assert row is not None

    def full(change: KeyChange) -> None:
        raise AuditUnavailable("audit_unavailable", "the disk is full")

    keys._record = full
    with pytest.raises(AuditUnavailable):
        keys.take(replace(row, key=replace(row.key, limits=Limits(rpm=2))), "site b")
    assert keys.get(key.id).limits == Limits()
    with pytest.raises(AuditUnavailable):
        keys.take(replace(row, key=replace(row.key, revoked_us=clock.now_us)), "site b")
    refusal_of(keys, secret)


def test_one_certificate_of_two_keys_is_that_of_one_until_it_ends(
    keys: KeyStore, clock: FixedClock
) -> None:
    first, _ = keys.create("crm", certificate=b"c" * 32)
    row = keys.row(first.id)
    assert row is not None
    lowest = replace(row, key=replace(row.key, id="000000000000", name="erp"))
    keys.take(lowest, "site b")
    assert keys.authenticate_certificate(b"c" * 32).name == "erp"
    keys.take(replace(lowest, key=replace(lowest.key, revoked_us=clock.now_us)), "site b")
    assert keys.authenticate_certificate(b"c" * 32).name == "crm"
    keys.revoke(first.id)
    with pytest.raises(Unauthenticated):
        keys.authenticate_certificate(b"c" * 32)
