"""API keys over the admin socket."""

from collections.abc import Callable

import pytest

from appliance.app import Services
from appliance.audit.search import Query
from appliance.client import AdminClient
from appliance.errors import ApplianceError, Refused, Unauthenticated, Unavailable
from appliance.types import KeyUsage, Limits
from appliance.wire.admin import keys as wire
from appliance.wire.admin.keys import KeyCreate, KeyLimits
from tests.api.admin.lab import client_of
from tests.parts import having


def error_of(call: Callable[[], object]) -> ApplianceError:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value


def test_a_new_key_works_and_is_recorded_without_its_secret(
    services: Services, client: AdminClient
) -> None:
    made = client.call(wire.KEY_CREATE, KeyCreate(name="app", models=["a"], expires="2099-01-01"))
    principal = services.keys.authenticate(made.secret)
    assert (principal.key_id, principal.models) == (made.id, frozenset({"a"}))
    assert made.expires == "2099-01-01T00:00:00Z"
    (entry,) = services.reader.search(Query(kind="admin")).entries
    assert (entry.body["action"], entry.body["key_id"]) == ("key_create", made.id)
    assert made.secret.encode()[-43:] not in entry.raw


def test_the_list_has_no_secrets(client: AdminClient) -> None:
    made = client.call(wire.KEY_CREATE, KeyCreate(name="app"))
    (listed,) = client.call(wire.KEYS).keys
    assert listed.model_dump() == made.model_dump(exclude={"secret"})


def test_a_revoked_key_is_useless_and_stays_listed(services: Services, client: AdminClient) -> None:
    made = client.call(wire.KEY_CREATE, KeyCreate(name="app"))
    assert client.call(wire.KEY_REVOKE, key_id=made.id).revoked
    with pytest.raises(Unauthenticated):
        services.keys.authenticate(made.secret)
    assert [key.revoked for key in client.call(wire.KEYS).keys] == [True]
    actions = [
        entry.body["action"] for entry in services.reader.search(Query(kind="admin")).entries
    ]
    assert actions == ["key_create", "key_revoke"]


def test_limits_are_told_changed_and_recorded(services: Services, client: AdminClient) -> None:
    made = client.call(
        wire.KEY_CREATE, KeyCreate(name="app", rpm=5, tpm=100, weight=3, priority="batch")
    )
    assert (made.limits.rpm, made.limits.weight, made.limits.priority) == (5, 3, "batch")
    changed = client.call(wire.KEY_LIMIT, KeyLimits(concurrency=2), key_id=made.id)
    assert changed.limits == Limits(concurrency=2)
    services.keys.note_usage(made.id, 10, 4)
    shown = client.call(wire.KEY, key_id=made.id)
    assert shown.limits == changed.limits
    assert shown.usage == KeyUsage(requests=1, prompt_tokens=10, completion_tokens=4)
    newest = services.reader.search(Query(kind="admin")).entries[-1].body
    assert newest["action"] == "key_limit"
    assert newest["limits"] == {
        "rpm": None, "tpm": None, "concurrency": 2, "weight": 1, "priority": "interactive",
    }  # fmt: skip


def test_a_rotated_key_keeps_its_id_and_its_old_secret_for_the_overlap(
    services: Services, client: AdminClient
) -> None:
    made = client.call(wire.KEY_CREATE, KeyCreate(name="app"))
    rotated = client.call(wire.KEY_ROTATE, wire.KeyRotate.of(overlap=60), key_id=made.id)
    assert rotated.id == made.id and rotated.rotated_until is not None
    for secret in (made.secret, rotated.secret):
        assert services.keys.authenticate(secret).key_id == made.id
    again = client.call(wire.KEY_ROTATE, wire.KeyRotate.of(overlap=0), key_id=made.id)
    with pytest.raises(Unauthenticated):
        services.keys.authenticate(rotated.secret)
    services.keys.authenticate(again.secret)
    newest = services.reader.search(Query(kind="admin")).entries[-1]
    assert newest.body["action"] == "key_rotate"
    assert again.secret.encode()[-43:] not in newest.raw


@pytest.mark.parametrize(
    ("wanted", "code", "param"),
    [
        (KeyCreate(name=" app"), "invalid_key_name", "name"),
        (KeyCreate(name="a\x1b[2J"), "invalid_key_name", "name"),
        (KeyCreate(name="app", role="root"), "invalid_value", "role"),
        (KeyCreate(name="app", expires="tomorrow"), "invalid_value", "expires"),
        (KeyCreate(name="app", expires="2001-01-01"), "invalid_value", "expires"),
    ],
)
def test_a_key_that_cannot_be(
    services: Services, client: AdminClient, wanted: KeyCreate, code: str, param: str
) -> None:
    error = error_of(lambda: client.call(wire.KEY_CREATE, wanted))
    assert (error.code, error.param) == (code, param)
    assert services.keys.list() == ()
    assert services.reader.search(Query(kind="admin")).entries == []


def test_a_name_is_used_once(client: AdminClient) -> None:
    client.call(wire.KEY_CREATE, KeyCreate(name="app"))
    assert (
        error_of(lambda: client.call(wire.KEY_CREATE, KeyCreate(name="app"))).code
        == "key_name_taken"
    )


@pytest.mark.parametrize("key_id", ["0123456789ab", "x"])
def test_an_unknown_key_is_refused(client: AdminClient, key_id: str) -> None:
    assert error_of(lambda: client.call(wire.KEY_REVOKE, key_id=key_id)).code == "unknown_key_id"


def test_no_record_no_key_and_no_change_of_one(
    services: Services, client: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = client.call(wire.KEY_CREATE, KeyCreate(name="kept"))
    monkeypatch.setattr(services.audit, "_reserve", 1 << 62)  # the disk is full
    changes: tuple[Callable[[], object], ...] = (
        lambda: client.call(wire.KEY_CREATE, KeyCreate(name="app")),
        lambda: client.call(wire.KEY_LIMIT, KeyLimits(rpm=1), key_id=made.id),
        lambda: client.call(wire.KEY_ROTATE, wire.KeyRotate.of(overlap=60), key_id=made.id),
        lambda: client.call(wire.KEY_REVOKE, key_id=made.id),
    )
    for change in changes:
        with pytest.raises(Unavailable) as caught:
            change()
        assert caught.value.code == "audit_unavailable"
    (key,) = services.keys.list()
    assert (key.name, key.limits.rpm, key.old_until_us) == ("kept", None, None)
    assert key.revoked_us is not None  # it ends, recorded or not


@pytest.mark.parametrize(
    ("profile", "asked", "tasks_only"),
    [
        ("lab", {}, False),
        ("lab", {"tasks_only": True}, True),
        ("site", {}, True),
        ("site", {"models": ["a"]}, False),
        ("site", {"models": ["a"], "tasks_only": True}, True),
        ("site", {"tasks_only": False}, False),
    ],
)
def test_at_a_site_a_key_that_names_no_models_is_for_tasks(
    services: Services, profile: str, asked: dict[str, object], tasks_only: bool
) -> None:
    with client_of(having(services, profile=profile)) as client:
        made = client.call(wire.KEY_CREATE, KeyCreate.of(name="app", **asked))
    assert (made.tasks_only, services.keys.get(made.id).tasks_only) == (tasks_only, tasks_only)
    entry = services.reader.search(Query(kind="admin")).entries[0]
    assert entry.body["tasks_only"] is tasks_only
