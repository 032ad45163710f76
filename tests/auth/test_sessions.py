"""Sessions: exactly the rights of their key, and an end by themselves."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.auth.key import CONTENT, EXAMPLES, PEOPLE, SHARES, SITE, TABLES, TASKS
from appliance.auth.keys import KeyStore
from appliance.auth.sessions import LONGEST_US, MOST_OF_A_KEY, PREFIX, PersonSessions
from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.errors import Unauthenticated
from appliance.types import EndUser

CERTIFICATE = b"c" * 32


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def keys(tmp_path: Path, clock: FixedClock) -> Iterator[KeyStore]:
    scripts = [TABLES, SHARES, CONTENT, EXAMPLES, TASKS, PEOPLE, SITE]
    engine = open_database(tmp_path / "appliance.db", scripts)
    store = KeyStore(engine, clock)
    yield store
    store.close()
    engine.dispose()


@pytest.fixture
def sessions(keys: KeyStore, clock: FixedClock) -> PersonSessions:
    return PersonSessions(keys, clock)


def begun(sessions: PersonSessions, keys: KeyStore, secret: str) -> str:
    return sessions.begin(keys.authenticate(secret), secret)[1]


def code(sessions: PersonSessions, token: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        sessions.authenticate(token)
    return refused.value.code


def test_a_session_is_its_key_and_a_key_needs_no_session(
    sessions: PersonSessions, keys: KeyStore
) -> None:
    _, secret = keys.create("paula", models=["orders"])
    token = begun(sessions, keys, secret)
    assert sessions.authenticate(token) == sessions.authenticate(secret)
    assert secret.rpartition("-")[2] not in repr(vars(sessions)) and token not in repr(
        vars(sessions)
    )
    assert code(sessions, f"{PREFIX}made-up") == "session_ended"
    assert code(sessions, "sk-wrong") == "invalid_api_key"


def test_a_session_ends_by_itself(
    sessions: PersonSessions, keys: KeyStore, clock: FixedClock
) -> None:
    _, secret = keys.create("paula")
    token = begun(sessions, keys, secret)
    clock.now_us += LONGEST_US - 1
    sessions.authenticate(token)  # the control
    clock.now_us += 1
    assert code(sessions, token) == "session_ended"


def test_a_session_ends_with_its_key_and_with_the_secret_that_began_it(
    sessions: PersonSessions, keys: KeyStore, clock: FixedClock
) -> None:
    key, secret = keys.create("paula")
    old = begun(sessions, keys, secret)
    _, newer = keys.rotate(key.id, overlap_us=1_000_000)
    new = begun(sessions, keys, newer)
    sessions.authenticate(old)  # the overlap holds for it, too
    clock.now_us += 1_000_001
    assert code(sessions, old) == "session_ended"
    sessions.authenticate(new)
    keys.revoke(key.id)
    assert code(sessions, new) == "session_ended"


def test_a_session_of_a_certificate_ends_with_its_key(
    sessions: PersonSessions, keys: KeyStore
) -> None:
    key, _ = keys.create("paula", certificate=CERTIFICATE)
    _, token = sessions.begin(keys.authenticate_certificate(CERTIFICATE), "")
    assert sessions.authenticate(token).key_id == key.id
    keys.revoke(key.id)
    assert code(sessions, token) == "session_ended"


def test_all_sessions_of_a_key_end_and_no_other(sessions: PersonSessions, keys: KeyStore) -> None:
    _, secret = keys.create("paula")
    _, other = keys.create("quentin")
    tokens = [begun(sessions, keys, secret) for _ in range(3)]
    theirs = begun(sessions, keys, other)
    assert sessions.end(tokens[0]) == 1 and sessions.end(tokens[0]) == 0
    assert sessions.end_all(keys.authenticate(secret)) == 2
    assert [code(sessions, token) for token in tokens] == ["session_ended"] * 3
    sessions.authenticate(theirs)
    sessions.authenticate(secret)


def test_a_key_has_a_few_sessions_and_the_oldest_goes(
    sessions: PersonSessions, keys: KeyStore
) -> None:
    key, secret = keys.create("paula")
    tokens = [begun(sessions, keys, secret) for _ in range(MOST_OF_A_KEY + 1)]
    assert code(sessions, tokens[0]) == "session_ended"
    assert [sessions.authenticate(token).key_id for token in tokens[1:]] == [key.id] * MOST_OF_A_KEY


def test_a_person_of_a_login_service_has_sessions_of_their_own(
    sessions: PersonSessions, keys: KeyStore
) -> None:
    key, _ = keys.create("page", person=True)
    people = {
        name: replace(keys.holder(key.id), person=EndUser(name, "oidc:corp", f"alias of {name}"))
        for name in ("ann", "bea")
    }
    tokens = {n: sessions.begin(who, "", f"token of {n}")[1] for n, who in people.items()}
    assert [sessions.token_of(token) for token in tokens.values()] == [
        "token of ann", "token of bea",
    ]  # fmt: skip
    assert sessions.token_of("sk-1") == sessions.token_of(f"{PREFIX}x") == ""
    assert sessions.end_all(people["ann"]) == 1
    assert code(sessions, tokens["ann"]) == "session_ended"
    assert sessions.token_of(tokens["ann"]) == ""
    sessions.authenticate(tokens["bea"])
