"""Data directories that older releases made: upgraded, verified, asked, and put back."""

import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pysqlite3.dbapi2
import pytest

from appliance import __version__, db
from appliance.api.app import create_lan_app
from appliance.app import SCHEMA, Services, open_services
from appliance.audit.verification.verify import verify_log
from appliance.clock import FixedClock
from appliance.errors import StateRefused, Unauthenticated
from appliance.retrieval.schema import MIGRATIONS
from appliance.wiring import schema
from auditor.verify_receipt import check
from installer.host import answers, releases
from installer.host.answers import Layout
from tests.cli.conftest import run_command
from tests.conftest import CHECKOUT
from tests.routing import world
from tests.smol import SMALL
from tests.system.old_data import BEFORE_TASKS, NAME, RELEASES, SHELF, code_of, run_old

COMMITS = sorted(path.name.partition(".")[0] for path in RELEASES.glob("*.tar.xz"))
DATABASES = ("audit/log.db", "audit/keys.db")
SHELF_FILE = f"collections/{SHELF}.db"
TABLES = {"deferred_items", "erasures_done", "agreement", "route_samples", "looks"}
"""Some that 730884e had not, and what erasures and the comparison with the log need."""


@dataclass(frozen=True)
class Old:
    """A data directory of an older release, where an installation has its own.

    Attributes:
        made: the release's own words of it.
        schemas: of its databases, by their files.
        files: its files as they were.
    """

    layout: Layout
    made: dict[str, Any]
    schemas: dict[str, int]
    files: dict[str, bytes]

    @property
    def data(self) -> Path:
        return self.layout.data

    def opened(self) -> Any:
        """Today's code on it, an hour later."""
        clock = FixedClock(self.made["time_us"] + 3_600_000_000)
        return open_services(self.data, config=SMALL, clock=clock)


@pytest.fixture(params=COMMITS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Old:
    with tarfile.open(RELEASES / f"{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path / "made", filter="tar")
    layout = answers.layout(answers.combine(), user=True, home=tmp_path)
    layout.data.parent.mkdir(parents=True)
    (tmp_path / "made" / "data").rename(layout.data)
    made = json.loads((tmp_path / "made" / "made.json").read_text())
    made["commit"] = request.param
    return Old(layout, made, schemas(layout.data), files(layout.data))


def files(data: Path) -> dict[str, bytes]:
    found = (path for path in data.rglob("*") if path.is_file())
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in found}


def schemas(data: Path) -> dict[str, int]:
    names = [*DATABASES, *releases.databases(data)]
    return {name: pragma(data / name) for name in names}


def pragma(path: Path) -> int:
    connection = pysqlite3.dbapi2.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def states(data: Path) -> dict[str, str]:
    connection = pysqlite3.dbapi2.connect(str(data / "appliance.db"))
    try:
        return dict(connection.execute("SELECT id, state FROM models"))
    finally:
        connection.close()


def lan(services: Services, secret: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_lan_app(services))
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.AsyncClient(transport=transport, base_url="http://lan", headers=headers)


async def ask(client: httpx.AsyncClient, model: str, text: str) -> httpx.Response:
    turn = {"role": "user", "content": text}
    return await client.post("/v1/chat/completions", json={"model": model, "messages": [turn]})


def test_there_is_one_of_each_release() -> None:
    assert {"730884e", "1055724"} <= set(COMMITS)
    assert all(path.stat().st_size < 1_000_000 for path in RELEASES.iterdir())


async def test_it_is_upgraded_and_verified_and_answers(old: Old) -> None:
    before, secrets = states(old.data), old.made["secrets"]
    assert verify_log(old.data / "audit").ok and old.schemas["appliance.db"] < SCHEMA
    with old.opened() as services:
        assert services.agreement.standing.differences == ()
        assert services.agreement.standing.alarms() == []
        assert services.agreement.size > len(old.made["requests"])
        assert {r.id: r.state for r in services.store.inventory.records()} == before
        keys = {key.name: key for key in services.keys.list()}
        assert {name: key.id for name, key in keys.items()} == old.made["ids"]
        assert keys["limited"].limits.rpm == 5
        place = services.usage.follow()
        used = services.usage.used("app", "month")
        assert place.left == 0 and place.known_us <= old.made["time_us"]
        assert sum(sums.requests for sums in used.values()) >= len(old.made["requests"])
        with pytest.raises(Unauthenticated):
            services.keys.authenticate(secrets["revoked"])
        assert services.keys.authenticate(secrets["app"]).name == "app"
        if old.made["commit"] != BEFORE_TASKS:
            await answers_as_before(services, old)
        await services.inference.drain(30)
    with old.opened() as services:
        assert services.agreement.standing.alarms() == []
    assert run_command("audit", "verify", "--json", data=old.data).document["ok"]
    now = {**old.schemas, "appliance.db": SCHEMA}
    if SHELF_FILE in now:
        now[SHELF_FILE] = len(MIGRATIONS)
    assert schemas(old.data) == now
    connection = pysqlite3.dbapi2.connect(str(old.data / "appliance.db"))
    assert {n for (n,) in connection.execute("SELECT name FROM sqlite_schema")} >= TABLES
    connection.close()


async def answers_as_before(services: Services, old: Old) -> None:
    genesis = (old.data / "audit" / "genesis.pub").read_text()
    requests = list(old.made["requests"])
    async with lan(services, old.made["secrets"]["app"]) as client:
        for model in (old.made["task"], NAME, "orders"):
            answer = await ask(client, model, old.made["text"])
            assert answer.status_code == 200, answer.text
            assert answer.json()["choices"][0]["message"]["content"] == "engine"
            requests.append(answer.headers["x-request-id"])
        asked = {"collection": SHELF, "query": "oil of the pump"}
        found = await client.post("/v1/search", json=asked)
        assert "12 litres" in found.text
        waits = services.people.get(old.made["waits"])
        assert (waits.state, waits.input, waits.same) == (
            "waiting",
            {"text": old.made["text"]},
            None,
        )
        sure = (await ask(client, "orders", world.SURE)).json()["x_appliance"]["route"]
        assert sure["stage"] == "small" and sure["certificate"]  # it is in force
        await services.inference.drain(30)
        for request in requests:
            receipt = await client.get(f"/v1/receipts/{request}")
            assert receipt.status_code == 200, receipt.text
            proven = check(receipt.content, genesis, leaf=receipt.json()["outcome"]["leaf"])
            assert proven.entry["request_id"] == request
    async with lan(services, old.made["secrets"]["revoked"]) as client:
        assert (await ask(client, NAME, old.made["text"])).status_code == 401


def test_a_text_of_then_is_erased(old: Old) -> None:
    request = old.made["requests"][0]
    with old.opened() as services:
        connection = services.keys._database.raw_connection()
        assert connection.cursor().execute("PRAGMA secure_delete").fetchone()[0] == 1
        connection.close()
        before = verify_log(old.data / "audit")
        services.erasure.erase(request, "uid:0", "asked to")
        assert verify_log(old.data / "audit").ok and before.ok
    with old.opened() as services:
        assert services.agreement.standing.alarms() == []


def test_the_older_release_refuses_and_takes_the_copy_of_before(old: Old) -> None:
    taken = releases.snapshot(old.layout, "next")
    assert taken == old.schemas["appliance.db"] and files(old.data) == old.files
    with old.opened() as services:
        if SHELF_FILE in old.schemas:
            services.retrieval.library.get(SHELF)
    assert releases.changed(old.layout, "next")
    then = schema.MIGRATIONS[:taken]
    upgraded = (old.data / "appliance.db").read_bytes()
    with pytest.raises(StateRefused) as caught:
        db.open_database(old.data / "appliance.db", then)
    assert caught.value.code == "database_newer"
    assert f"schema {SCHEMA}, of release {__version__};" in caught.value.message
    assert (old.data / "appliance.db").read_bytes() == upgraded

    releases.put_back(old.layout, "next")
    for name in releases.databases(old.data):
        assert (old.data / name).read_bytes() == old.files[name]
    db.open_database(old.data / "appliance.db", then).dispose()
    assert schemas(old.data) == old.schemas  # the log has no tables that it did not know
    assert verify_log(old.data / "audit").ok

    with old.opened() as services:  # and up again, with a log that went on
        assert services.agreement.standing.alarms() == []
        assert services.agreement.standing.differences == ()


def test_a_key_that_was_revoked_before_going_back_is_held_back(old: Old) -> None:
    releases.snapshot(old.layout, "next")
    with old.opened() as services:
        services.keys.revoke(old.made["ids"]["app"])
    releases.put_back(old.layout, "next")
    with old.opened() as services:
        assert len(services.agreement.standing.alarms()) == 1
        with pytest.raises(Unauthenticated):
            services.keys.authenticate(old.made["secrets"]["app"])
        assert services.keys.authenticate(old.made["secrets"]["limited"]).name == "limited"


@pytest.mark.slow
def test_the_code_of_then_refuses_and_goes_on_with_the_copy(old: Old) -> None:
    commit = old.made["commit"]
    known = ["git", "-C", str(CHECKOUT), "cat-file", "-e", commit]
    if subprocess.run(known, stderr=subprocess.DEVNULL).returncode:
        pytest.skip(f"SKIPPED WITHOUT the history: {commit}")
    releases.snapshot(old.layout, "next")
    with old.opened() as services:
        if SHELF_FILE in old.schemas:
            services.retrieval.library.get(SHELF)
    with code_of(commit) as tree:

        def command(*arguments: str) -> subprocess.CompletedProcess[str]:
            return run_old(tree, "-m", "appliance", *arguments, "--json", "--data", old.data)

        refused = command("key", "list")
        assert refused.returncode == 1 and "schema version" in refused.stdout
        releases.put_back(old.layout, "next")
        assert command("audit", "verify").returncode == 0
        assert command("key", "revoke", old.made["ids"]["limited"]).returncode == 0
        if SHELF_FILE in old.schemas:
            assert command("collection", "show", SHELF).returncode == 0
        listed = json.loads(command("key", "list").stdout)["keys"]
        assert {key["id"] for key in listed} == set(old.made["ids"].values())
    with open_services(old.data, config=SMALL) as services:
        assert services.agreement.standing.alarms() == []
