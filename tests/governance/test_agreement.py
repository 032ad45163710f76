"""`appliance.db` against the log: each edit is noticed, legitimate changes never."""

import asyncio
import contextlib
import os
import pwd
import shutil
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from appliance.app import Services, initialise, open_services
from appliance.audit import recovery
from appliance.audit.log import Draft
from appliance.auth.groups import KeyGroups
from appliance.auth.keys import KeyStore
from appliance.datasets.directory import write
from appliance.datasets.label_queues import LabelQueues
from appliance.errors import ApplianceError
from appliance.facts import RouteFacts
from appliance.governance import rows
from appliance.governance.agreement import AGREES
from appliance.governance.log_state import KINDS
from appliance.trust.artifacts.records import Records
from appliance.trust.artifacts.store import load_policy
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from appliance.types import Json, Limits
from appliance.wire.admin import collections as groupwire
from appliance.wire.admin import keys as wire
from appliance.wire.admin.keys import KeyCreate, KeyLimits
from appliance.wire.admin.labels import LABEL_NEXT, LABEL_QUEUE_NEW, LABEL_SET, LabelSet, LabelsNew
from appliance.wire.admin.models import STATUS
from appliance.wire.admin.state import STATE, STATE_SETTLE, Settle
from tests.api.admin.lab import LabData, approve_model, client_of, import_model, point_name
from tests.audit.segmented import ROWS, open_segments
from tests.audit.segmented import fill as fill_log
from tests.datasets.examples import dataset, orders
from tests.routing import world
from tests.smol import APPROVERS, SMALL, key

pytestmark = pytest.mark.xdist_group("routes")
NAME: Final = "orders-now"
RATER: Final = pwd.getpwuid(os.getuid()).pw_name


@dataclass(frozen=True)
class Lab:
    """A data directory that has a row of each kind.

    Attributes:
        secrets: of keys by their names.
    """

    data: Path
    secrets: dict[str, str]


def point(services: Services, task: str, previous: str) -> str:
    """Point the name at a task; the id of the pointer."""
    version = TaskVersion(task, services.store.inventory.record(task).digest or "")
    made = TaskPointer(NAME, version, previous, APPROVERS[0], "read", "2026-09-21T00:00:00Z")
    envelope = made.sign(key(services.data, APPROVERS[0]))
    with client_of(services) as client:
        point_name(client, envelope)
    return TaskPointer.verify(envelope, load_policy(services.data / "trust")).id


def fill(certified: world.Certified, root: Path) -> Lab:
    """Make one, by people's actions only."""
    data = certified.copy(root)
    lab, secrets = LabData(data), {}
    source = root / "unlabelled"
    items = orders(66)
    write(source, dataset([*items[:60], *(replace(i, expected=None) for i in items[60:])]))

    async def use(services: Services) -> None:
        assert certified.result["certificate"]
        again = await world.calibrate(services, world.terms(services))
        services.audit.append(
            Draft(
                "admin",
                {
                    "action": "route_suspended", "actor": "uid:0", "route": world.ROUTE_ID,
                    "certificate": again["certificate"], "reason": "complaints",
                },
            )
        ).result()  # fmt: skip
        services.routes.suspend(again["certificate"], "complaints")
        await services.pool.suspend("uid:0", "suspended", "drift")
        await services.pool.retire("uid:0", "retired", "old")
        await services.inference.drain(30)

    with open_services(data, config=SMALL) as services, client_of(services) as client:
        for name in ("tiny", "suspended", "retired", "spare"):
            lab.approved(client, name)
        import_model(client, lab.artifact("fresh"), "fresh")
        approve_model(client, "fresh", lab.approval(client, "fresh", APPROVERS[0]))
        for name in ("app", "revoked", "limited", "small", "rotated"):
            limits: Any = {"rpm": 5} if name == "limited" else {}
            models = ["tiny"] if name == "small" else []
            made = client.call(wire.KEY_CREATE, KeyCreate.of(name=name, models=models, **limits))
            secrets[name] = made.secret
        ids = {found.name: found.id for found in client.call(wire.KEYS).keys}
        client.call(wire.KEY_REVOKE, key_id=ids["revoked"])
        client.call(wire.KEY_ROTATE, wire.KeyRotate.of(overlap=3600), key_id=ids["rotated"])
        client.call(wire.KEY_LIMIT, KeyLimits(rpm=6), key_id=ids["limited"])
        client.call(
            groupwire.GROUP_CHANGE,
            groupwire.GroupChange(name="staff", add=[ids["app"], ids["small"]]),
        )
        client.call(
            groupwire.GROUP_CHANGE, groupwire.GroupChange(name="staff", remove=[ids["small"]])
        )
        wanted = LabelsNew.of(
            name="queue", data=str(source), labels=["hose", "pump"], raters=[RATER, "ben"]
        )
        client.call(LABEL_QUEUE_NEW, wanted)
        for _ in range(2):
            item = client.call(LABEL_NEXT, name="queue").item
            assert item is not None
            client.call(LABEL_SET, LabelSet.of(item=item, label="hose"), name="queue")
        first = point(services, world.SMALL_ID, "")
        point(services, world.LARGE_ID, first)
        asyncio.run(use(services))
    return Lab(data, secrets)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the many openings verifies only a little of the log: tests/audit has the rest."""
    monkeypatch.setattr(recovery, "TAIL", 100)


@pytest.fixture(scope="module")
def filled(certified: world.Certified, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return fill(certified, tmp_path_factory.mktemp("agreement"))


@pytest.fixture
def lab(filled: Lab, tmp_path: Path) -> Lab:
    return Lab(Path(shutil.copytree(filled.data, tmp_path / "data")), filled.secrets)


def edit(data: Path, *scripts: str) -> None:
    connection = sqlite3.connect(data / "appliance.db")
    before = connection.total_changes
    for script in scripts:
        connection.execute(script)
    assert connection.total_changes > before  # the edit is one
    connection.commit()
    connection.close()


ONE = "(SELECT id FROM api_keys WHERE name = '{}')"
EDITS: Final = {
    "a key is not revoked": ("UPDATE api_keys SET revoked_us = NULL WHERE name = 'revoked'",),
    "a key without limits": ("UPDATE api_keys SET rpm = NULL WHERE name = 'limited'",),
    "a key for all models": ("UPDATE api_keys SET models = '[]' WHERE name = 'small'",),
    "a key for people's answers": ("UPDATE api_keys SET role = 'queue' WHERE name = 'app'",),
    "a key that does not expire": ("UPDATE api_keys SET expires_us = 9e15 WHERE name = 'app'",),
    "another secret": ("UPDATE api_keys SET secret_sha256 = zeroblob(32) WHERE name = 'app'",),
    "the old secret again": (
        "UPDATE api_keys SET old_until_us = 9000000000000000 WHERE name = 'rotated'",
    ),
    "texts that are not kept": ("UPDATE api_keys SET content = 'off' WHERE name = 'app'",),
    "a key that nobody made": (
        "INSERT INTO api_keys SELECT 'aaaaaaaaaaaa', 'x', role, models, zeroblob(32), 0, NULL,"
        " NULL, NULL, rpm, tpm, concurrency, weight, priority, NULL, NULL, NULL, 0, 0, 0, content,"
        " 0, 0, 0 FROM api_keys WHERE name = 'app'",
    ),
    "a member of a group": (f"INSERT INTO key_groups VALUES ('staff', {ONE.format('small')})",),
    "an artifact is not retired": ("UPDATE models SET state = 'approved' WHERE id = 'retired'",),
    "a suspension of drift is lifted": (
        "UPDATE models SET state = 'approved' WHERE id = 'suspended'",
    ),
    "approvals count again": ("UPDATE models SET round = 0 WHERE id = 'suspended'",),
    "an artifact is approved": ("UPDATE models SET state = 'approved' WHERE id = 'fresh'",),
    "other facts": (
        "UPDATE models SET facts = json_set(facts, '$.version', 9) WHERE id = 'orders-small'",
    ),
    "another digest": ("UPDATE models SET digest = 'ab' WHERE id = 'tiny'",),
    "an approval is added": (
        "INSERT INTO model_approvals SELECT 'fresh', 'other', envelope FROM model_approvals"
        " WHERE model = 'tiny' LIMIT 1",
    ),
    "looks are taken away": ("DELETE FROM look_marks", "DELETE FROM looks"),
    "a look's groups are taken away": ("DELETE FROM look_marks",),
    "a verdict is another": ("UPDATE looks SET verdict = 'fail'",),
    "a certificate is taken away": (
        "DELETE FROM route_certificates WHERE added_us ="
        " (SELECT max(added_us) FROM route_certificates)",
    ),
    "a suspended route": ("DELETE FROM route_suspensions",),
    "a pointer is taken back": ("DELETE FROM task_pointers WHERE position = 2",),
    "a label is removed": ("DELETE FROM labels WHERE id = 1",),
    "a label is added": (
        "INSERT INTO labels SELECT 99, queue, item, 'ben', 0, label, actor, time_us FROM labels"
        " LIMIT 1",
    ),
    "the result of a gate": ("UPDATE jobs SET result = '{}' WHERE kind = 'route'",),
}


def alarms(data: Path) -> list[str]:
    """The alarms of a start."""
    with open_services(data, config=SMALL) as services:
        return services.agreement.standing.alarms()


def test_what_people_did_agrees(lab: Lab) -> None:
    assert alarms(lab.data) == [] == alarms(lab.data)


def code(call: Callable[[], object]) -> str:
    with pytest.raises(ApplianceError) as caught:
        call()
    return caught.value.code


@pytest.mark.parametrize(
    "column", ["models.state", "models.facts", "api_keys.models", "api_keys.priority"]
)
def test_a_row_that_cannot_be_read_ends_the_start_with_a_code(lab: Lab, column: str) -> None:
    table, name = column.split(".")
    edit(lab.data, f"UPDATE {table} SET {name} = '{{'")
    assert code(lambda: alarms(lab.data)) == "database_unusable"


HELD: Final[dict[str, Callable[[Services, Lab], object]]] = {
    "a key is not revoked": lambda s, lab: s.keys.authenticate(lab.secrets["revoked"]),
    "a key for all models": lambda s, lab: s.keys.authenticate(lab.secrets["small"]),
    "an artifact is not retired": lambda s, lab: seal(s, "retired"),
    "a suspension of drift is lifted": lambda s, lab: seal(s, "suspended"),
    "looks are taken away": lambda s, lab: asyncio.run(world.calibrate(s, world.terms(s))),
    "a suspended route": lambda s, lab: valid(s),
    "a certificate is taken away": lambda s, lab: valid(s),
    "a pointer is taken back": lambda s, lab: s.pointers.current(
        NAME, load_policy(s.data / "trust")
    ),
    "a label is removed": lambda s, lab: s.labels.check("queue"),
}


def seal(services: Services, model: str) -> None:
    services.store.seal(model, load_policy(services.data / "trust"), lambda *_: None).close()


def valid(services: Services) -> None:
    record = services.store.inventory.record_of(world.ROUTE_ID, RouteFacts)
    assert record is not None
    policy = load_policy(services.data / "trust")
    services.routes.certificates.valid(record.digest or "", record.facts.terms, policy)


@pytest.mark.parametrize("name", HELD)
def test_what_only_the_database_permits_is_refused(lab: Lab, name: str) -> None:
    edit(lab.data, *EDITS[name])
    with open_services(lab.data, config=SMALL) as services:
        refused = code(lambda: HELD[name](services, lab))
    assert refused in ("state_differs", "invalid_api_key")


@pytest.mark.parametrize("name", EDITS)
def test_each_edit_is_noticed_and_a_person_settles_it_as_strict_as_the_log(
    lab: Lab, name: str
) -> None:
    edit(lab.data, *EDITS[name])
    first = alarms(lab.data)
    assert first
    with open_services(lab.data, config=SMALL) as services, client_of(services) as client:
        # A start changes nothing of it.
        assert services.agreement.standing.alarms() == first
        assert set(first) <= set(client.call(STATUS).alarms)
        shown = client.call(STATE)
        assert not shown.agrees
        assert [one.sentence for one in shown.differences if one.what != "absent"] == first
        settled = client.call(STATE_SETTLE, Settle(reason="looked at"))
        assert (settled.agrees, settled.differences) == (True, [])
        (entry,) = world.entries(services, action="state_settled")
        assert (entry["reason"], len(entry["settled"])) == ("looked at", len(shown.differences))
        assert code(lambda: client.call(STATE_SETTLE, Settle(reason="again"))) == "state_agrees"
        states = {r.id: r.state for r in services.store.inventory.records()}
        assert states["retired"] == "retired" and states["fresh"] in ("verified", "suspended")
    with open_services(lab.data, config=SMALL) as services:
        assert services.agreement.standing.alarms() == []
        refused = code(lambda: services.keys.authenticate(lab.secrets["revoked"]))
        assert refused == "invalid_api_key"
        if name == "another secret":
            services.keys.authenticate(lab.secrets["app"])  # the log had its hash


def put_back(data: Path, older: Path, *names: str) -> None:
    """Replace parts of a data directory by those of an older copy."""
    for name in names:
        for path in data.glob(name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in older.glob(name):
            copy = shutil.copytree if path.is_dir() else shutil.copy2
            copy(path, data / path.name)


DATABASE: Final = "appliance.db*"


def test_a_backup_of_both_that_is_put_back_agrees(lab: Lab, tmp_path: Path) -> None:
    older = Path(shutil.copytree(lab.data, tmp_path / "older"))
    with open_services(lab.data, config=SMALL) as services, client_of(services) as client:
        client.call(wire.KEY_CREATE, KeyCreate(name="later"))
    assert alarms(lab.data) == []
    assert alarms(older) == []
    with open_services(older, config=SMALL) as services, client_of(services) as client:
        client.call(wire.KEY_CREATE, KeyCreate(name="another"))
    assert alarms(older) == []


def test_going_back_revives_nothing(lab: Lab, tmp_path: Path) -> None:
    """Last week's database beside today's log."""
    older = Path(shutil.copytree(lab.data, tmp_path / "older"))
    with open_services(lab.data, config=SMALL) as services, client_of(services) as client:
        ids = {found.name: found.id for found in client.call(wire.KEYS).keys}
        client.call(wire.KEY_REVOKE, key_id=ids["app"])
        client.call(wire.KEY_CREATE, KeyCreate(name="later"))
        asyncio.run(services.pool.retire("uid:0", "spare", "old"))
    put_back(lab.data, older, DATABASE)
    with open_services(lab.data, config=SMALL) as services, client_of(services) as client:
        assert code(lambda: services.keys.authenticate(lab.secrets["app"])) == "invalid_api_key"
        refused = code(lambda: seal(services, "spare"))
        told = {(d.table, d.subject, d.what) for d in client.call(STATE).differences}
        assert ("api_keys", ids["app"], "revived") in told
        assert refused == "wrong_state"  # completed: it was the last entry


def test_a_log_that_ends_before_the_database_stops_answers_until_a_person_decides(
    lab: Lab, tmp_path: Path
) -> None:
    older = Path(shutil.copytree(lab.data, tmp_path / "older"))
    with open_services(lab.data, config=SMALL) as services, client_of(services) as client:
        secret = client.call(wire.KEY_CREATE, KeyCreate(name="later")).secret
    put_back(lab.data, older, "audit")
    for _ in range(2):  # entries of a start do not hide it
        with open_services(lab.data, config=SMALL) as services, client_of(services) as client:
            services.audit.append(Draft("start", {"profile": "lab"})).result()
            ask = lambda: asyncio.run(world.answer(services, world.app(), world.SURE))  # noqa: E731
            assert code(ask) == "log_ends_early"
            status = client.call(STATUS)
            assert status.state == "refusing"
            assert any("appliance.db knows" in alarm for alarm in status.alarms)
    with open_services(lab.data, config=SMALL) as services, client_of(services) as client:
        assert client.call(STATE_SETTLE, Settle(reason="the disk was lost")).agrees
        assert client.call(STATUS).state != "refusing"
        (entry,) = world.entries(services, action="state_settled")
        assert "appliance.db knows" in entry["ends_early"]
        assert code(lambda: services.keys.authenticate(secret)) == "invalid_api_key"
        services.keys.authenticate(lab.secrets["app"])
    assert alarms(lab.data) == []


def test_a_record_that_was_changed_is_not_believed(lab: Lab) -> None:
    edit(
        lab.data,
        "UPDATE api_keys SET revoked_us = NULL WHERE name = 'revoked'",
        "UPDATE agreement SET record ="
        " CAST(replace(CAST(record AS TEXT), '\"rank\":1', '\"rank\":0') AS BLOB)",
    )
    (alarm,) = alarms(lab.data)
    assert "was withdrawn by entry" in alarm


def test_while_it_runs_a_difference_counts_when_two_looks_have_it(lab: Lab) -> None:
    with open_services(lab.data, config=SMALL) as services:
        assert services.agreement.look().alarms() == []
        edit(lab.data, *EDITS["a key for all models"])
        assert services.agreement.look().alarms() == []  # a row may be behind its entry
        assert services.agreement.look().alarms() != []
        assert services.agreement.look().alarms() != []
        assert code(lambda: services.keys.authenticate(lab.secrets["small"])) == "invalid_api_key"


class Crash(Exception):
    """The end of the process between the entry and the row."""


def crash(*_: object, **__: object) -> None:
    raise Crash


CRASHES: Final[dict[str, tuple[Any, str, Callable[[Services, Lab], object]]]] = {
    "create": (KeyStore, "_insert", lambda s, lab: s.keys.create("new")),
    "limit": (KeyStore, "_update", lambda s, lab: s.keys.limit(id_of(s, "app"), Limits(rpm=1))),
    "rotate": (KeyStore, "_update", lambda s, lab: s.keys.rotate(id_of(s, "app"), 3_600_000_000)),
    "approve": (Records, "add_approval", lambda s, lab: approved(s)),
    "suspend": (Records, "save", lambda s, lab: asyncio.run(s.pool.suspend("u", "spare", "why"))),
    "retire": (Records, "save", lambda s, lab: asyncio.run(s.pool.retire("u", "spare", "why"))),
    "label": (LabelQueues, "set", lambda s, lab: labelled(s)),
    "group": (KeyGroups, "change", lambda s, lab: grouped(s)),
}  # fmt: skip


def id_of(services: Services, name: str) -> str:
    return next(found.id for found in services.keys.list() if found.name == name)


def approved(services: Services) -> None:
    with client_of(services) as client:
        lab = LabData(services.data)
        approve_model(client, "fresh", lab.approval(client, "fresh", APPROVERS[1]))


def labelled(services: Services) -> None:
    with client_of(services) as client:
        item = client.call(LABEL_NEXT, name="queue").item
        assert item is not None
        client.call(LABEL_SET, LabelSet.of(item=item, label="pump"), name="queue")


def grouped(services: Services) -> None:
    with client_of(services) as client:
        change = groupwire.GroupChange(name="staff", remove=[id_of(services, "app")])
        client.call(groupwire.GROUP_CHANGE, change)


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_between_entry_and_row_is_no_alarm(
    lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, method, act = CRASHES[name]
    with (
        monkeypatch.context() as patch,
        contextlib.suppress(Crash, ApplianceError),
        open_services(lab.data, config=SMALL) as services,
    ):
        patch.setattr(owner, method, crash)
        act(services, lab)
    found = [a for a in alarms(lab.data) if not a.startswith("The look ")]
    assert found == [] == [a for a in alarms(lab.data) if not a.startswith("The look ")]
    with open_services(lab.data, config=SMALL) as services:
        services.keys.authenticate(lab.secrets["app"])
        state = services.store.inventory.record("spare").state
        wanted = {"suspend": "suspended", "retire": "retired"}.get(name, "approved")
        assert state == wanted  # what was taken away is completed
        if name == "limit":
            assert services.keys.get(id_of(services, "app")).limits.rpm == 1
        if name == "group":
            assert services.groups.of(id_of(services, "app")) == ()


def test_a_row_that_a_full_disk_refused_is_completed_while_it_runs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_services(lab.data, config=SMALL) as services:
        with monkeypatch.context() as patch, pytest.raises(Crash):
            patch.setattr(Records, "save", crash)
            asyncio.run(services.pool.suspend("uid:0", "spare", "why"))
        assert services.store.inventory.record("spare").state == "approved"
        assert services.agreement.look().alarms() == [] == services.agreement.look().alarms()
        assert services.store.inventory.record("spare").state == "suspended"
        (entry,) = world.entries(services, action="state_settled")
        assert entry["actor"] == "appliance"


def test_a_start_on_a_full_disk_holds_back_what_it_cannot_complete(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without the full disk the next start completes it."""
    with (
        monkeypatch.context() as patch,
        contextlib.suppress(Crash),
        open_services(lab.data, config=SMALL) as services,
    ):
        patch.setattr(Records, "save", crash)
        asyncio.run(services.pool.suspend("u", "spare", "why"))
    full = "CREATE TRIGGER full_{0} BEFORE {1} ON {0} BEGIN SELECT RAISE(FAIL, 'full'); END;"
    with contextlib.closing(sqlite3.connect(lab.data / "appliance.db")) as connection:
        connection.executescript(full.format("agreement", "INSERT"))
        connection.executescript(full.format("models", "UPDATE"))
    with open_services(lab.data, config=SMALL) as services:
        (alarm,) = services.agreement.standing.alarms()
        assert "spare was withdrawn" in alarm
    with contextlib.closing(sqlite3.connect(lab.data / "appliance.db")) as connection:
        connection.executescript("DROP TRIGGER full_agreement; DROP TRIGGER full_models;")
    assert alarms(lab.data) == []


def test_pruned_entries_are_no_difference_and_stay_known(tmp_path: Path) -> None:
    data = tmp_path / "data"
    initialise(data, "lab")
    with open_services(data) as services:
        services.keys.create("kept")
        services.keys.revoke(services.keys.create("revoked")[0].id)
        services.audit.append(Draft("start", {"profile": "lab", AGREES: 1})).result()
    with open_segments(data / "audit") as log:
        fill_log(log, 2 * ROWS + 3)
    assert alarms(data) == []
    with open_segments(data / "audit") as log:
        fields: dict[str, Json] = {
            "actor": "uid:0", "reason": "old", "before": 2 * ROWS, "root": "00" * 32,
            "approvals": [],
        }  # fmt: skip
        log.append(Draft("prune", fields)).result()
        log.append(Draft("start", {"profile": "lab", AGREES: 1})).result()
    assert alarms(data) == []
    edit(data, "UPDATE api_keys SET revoked_us = NULL WHERE name = 'revoked'")
    (alarm,) = alarms(data)
    assert "was withdrawn" in alarm
    edit(data, "DELETE FROM agreement")
    (alarm,) = alarms(data)
    assert "before it was pruned" in alarm


def test_a_start_reads_entries_of_its_kinds_alone_from_where_both_agreed(lab: Lab) -> None:
    """The index finds them: the cost depends only on newer decisions."""
    with open_services(lab.data, config=SMALL) as services:
        end = services.reader.size
        kinds = {entry.kind for entry in services.reader.since(0, end, KINDS)}
        assert kinds <= set(KINDS)
        seqs = [entry.seq for entry in services.reader.since(0, end, KINDS)]
        assert seqs == sorted(seqs) and len(seqs) < end
        assert services.agreement.size == end
    connection = sqlite3.connect(next((lab.data / "audit").glob("log*.db")))
    plan = connection.execute(
        "EXPLAIN QUERY PLAN SELECT seq FROM leaf INDEXED BY leaf_kind"
        " WHERE kind = 'admin' AND seq >= 5 AND seq < 9 ORDER BY seq"
    ).fetchall()
    connection.close()
    assert "(kind=? AND rowid>? AND rowid<?)" in plan[0][3] and len(plan) == 1


def test_a_comparison_keeps_nobody_from_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialise(tmp_path / "d", "lab")
    with open_services(tmp_path / "d", config=SMALL) as services:
        read, wrote = rows.read, []

        def meanwhile(connection: Any) -> Any:
            with services.agreement._database.begin() as other:
                wrote.append(other.exec_driver_sql("UPDATE api_keys SET name = name").rowcount)
            return read(connection)

        monkeypatch.setattr(rows, "read", meanwhile)
        assert services.agreement.look().alarms() == [] and wrote == [0]


def test_a_look_and_a_decision_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialise(tmp_path / "d", "lab")
    with open_services(tmp_path / "d", config=SMALL) as services:
        agreement, waits, inside = services.agreement, threading.Event(), []
        compare, lock = agreement._compare, agreement._one

        class Watched:
            """A lock that tells when a second one waits for it."""

            def __enter__(self) -> None:
                if not lock.acquire(blocking=False):
                    waits.set()
                    lock.acquire()

            def __exit__(self, *_: object) -> None:
                lock.release()

        def compared(**more: Any) -> Any:
            inside.append(threading.current_thread().name)
            if len(inside) == 1:
                deciding.start()
                assert waits.wait(60)
            found = compare(**more)
            assert inside[-1] == threading.current_thread().name
            return found

        def decide() -> None:
            with pytest.raises(ApplianceError) as caught:
                agreement.settle("uid:0", "why")
            assert caught.value.code == "state_agrees"

        deciding = threading.Thread(target=decide, name="deciding")
        monkeypatch.setattr(agreement, "_one", Watched())
        monkeypatch.setattr(agreement, "_compare", compared)
        agreement.look()
        deciding.join(60)
        assert inside[-1] == "deciding" and len(inside) == 2
