"""A bad night: each fault of the operator guide's table is really produced, and reported
everywhere.

Where it cannot be, the limit or the injected clock moves instead.
"""

import ast
import asyncio
import contextlib
import functools
import json
import logging
import os
import platform
import shutil
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from appliance.advisor import watch
from appliance.api.app import create_lan_app
from appliance.app import Services, initialise, open_services
from appliance.audit import log as log_module
from appliance.audit.checkpoint import VerifierKey
from appliance.audit.log import Draft
from appliance.auth import certificates
from appliance.auth.certificates import CaKey
from appliance.cli import gpu as cli_gpu
from appliance.client import AdminClient
from appliance.clock import Clock, FixedClock, SystemClock, iso
from appliance.config import (
    AuditConfig,
    Config,
    EngineConfig,
    ForwardConfig,
    NotifyConfig,
    PeerConfig,
    RolesConfig,
    TlsConfig,
    UpstreamConfig,
)  # fmt: skip
from appliance.errors import ApplianceError, Refused, Unavailable
from appliance.forwarding import forwarder
from appliance.host.hardware import host_facts
from appliance.incidents.rules import BY_CODE
from appliance.observability import log_file
from appliance.observability.unexpected import kept
from appliance.peers.witness import PeerKeys
from appliance.routing.upstreams.health import HostProbe, ProbeVerdict
from appliance.types import Json, Limits
from appliance.wire.admin.keys import KEY_CREATE, KEY_REVOKE, KeyCreate
from appliance.wire.admin.models import MODEL_SUSPEND, MODELS, Reason
from appliance.wire.admin.results import AnswerReplayed
from appliance.wire.admin.state import STATE_SETTLE, Settle
from appliance.workers import crashes, gpu_probe, supervised, supervisor
from appliance.workers.gpu_driver import Driver
from tests.advisor.weeks import watched
from tests.api.admin.lab import (
    APPROVERS,
    LabData,
    approve_model,
    client_of,
    import_model,
    make_lab,
)
from tests.batches.site import site as batch_site
from tests.conftest import CHECKOUT
from tests.evals.sealed import add_task
from tests.forwarding.receiving import Heap, sink
from tests.forwarding.test_forwarder import until as wait
from tests.governance.test_agreement import put_back
from tests.governance.test_trust_updates import later, update
from tests.incidents import alerts
from tests.incidents.following import ENDED, SCRAPED, TOLD, Night, followed
from tests.peers.appliances import Member, member, posting
from tests.peers.site_members import made_site, opened
from tests.people.login import Login
from tests.ports import free_port
from tests.routing.upstreams import site as upstreams
from tests.routing.upstreams.engine import Engine
from tests.site import make_site
from tests.smol import ID, SMALL, approve, make_data, until
from tests.trust.simulator import Simulator
from tests.trust.test_certified_tasks import certify
from tests.workers.test_supervisor import die_while_preparing

DAY_S = 86_400
MIB = 1 << 20
ELSEWHERE = {
    "model_on_disk": ("tests/test_held_on_disk.py", "served"),
    **dict.fromkeys(
        ("route_suspended", "route_unwatched", "route_missing_wrong", "route_weights"),
        ("tests/routing/test_answering.py", "test_each_alarm_of_a_route_is_seen_and_ends"),
    ),
}
"""Faults of worlds that are long to make, and the functions that follow them there."""
TLS = Config(tls=TlsConfig(enabled=True))


@contextlib.contextmanager
def night(
    lab: LabData,
    caplog: pytest.LogCaptureFixture,
    config: Config | None = None,
    clock: Clock | None = None,
) -> Iterator[Night]:
    with (
        open_services(lab.data, config=config, clock=clock) as services,
        followed(services, caplog) as seen,
    ):
        yield seen


@pytest.fixture
def lab(tmp_path: Path) -> LabData:
    return make_lab(tmp_path)


@pytest.fixture
def still_disk(lab: LabData, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    found = os.statvfs(lab.data)

    def room(times: int) -> None:
        free = (found.f_bfree * times, found.f_bavail * times)
        now = os.statvfs_result((*found[:3], *free, *found[5:]))
        monkeypatch.setattr(os, "statvfs", lambda _place: now)

    room(1)
    return room


@pytest.mark.parametrize(
    ("code", "share"), [("disk_low", 0.5), ("insufficient_disk", 2.0), ("log_unwritable", 2.0)]
)
def test_little_disk_is_left(
    lab: LabData,
    caplog: pytest.LogCaptureFixture,
    still_disk: Callable[[int], None],
    code: str,
    share: float,
) -> None:
    reserve = int(share * host_facts(lab.data).disk_free) // MIB
    with night(lab, caplog, Config(audit=AuditConfig(reserve_mib=reserve))) as seen:
        seen.tells(code)
        still_disk(20)
        seen.ends(code)


def test_the_disk_fills(
    lab: LabData, caplog: pytest.LogCaptureFixture, still_disk: Callable[[int], None]
) -> None:
    with night(lab, caplog) as seen:
        free, trend = host_facts(lab.data).disk_free, seen.services.disk_trend
        now = seen.services.clock.wall_us() / 1e6
        for hour in range(13):  # a hundredth of it an hour
            trend.note(now - 3_600 * (13 - hour), free + (13 - hour) * free // 100)
        seen.tells("disk_fills", "down to its reserve")
        still_disk(2)
        for hour in range(13):
            trend.note(now + 3_600 * hour, 2 * free)
        seen.ends("disk_fills")


def test_the_log_file_is_full(lab: LabData, caplog: pytest.LogCaptureFixture) -> None:
    (lab.data / "logs").mkdir()
    log_file.log_file(lab.data).symlink_to("/dev/full")  # each write gives ENOSPC
    with night(lab, caplog) as seen:
        root = logging.getLogger()
        with log_file.kept(lab.data, 1, seen.services.log_file):
            logging.getLogger("appliance").warning("a line that is lost")
            for handler in root.handlers:
                handler.flush()
            seen.tells("log_file_unwritable", "No space left on device")
            _make_room(lab.data.parent / "lines")
            logging.getLogger("appliance").warning("a line that is kept")
            for handler in root.handlers:
                handler.flush()
            seen.ends("log_file_unwritable")


def _make_room(path: Path) -> None:
    """Have what this process writes to /dev/full go to a file from now on."""
    with path.open("wb") as file:
        for held in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # the one that lists them
                if held.readlink() == Path("/dev/full"):
                    os.dup2(file.fileno(), int(held.name))


@pytest.mark.parametrize(("code", "days"), [("certificate_ends", 390), ("certificate_ended", 398)])
def test_the_certificate_ends(
    lab: LabData, caplog: pytest.LogCaptureFixture, code: str, days: int
) -> None:
    tls = lab.data / "tls"
    made = FixedClock(SystemClock().wall_us() - days * DAY_S * 1_000_000)
    certificates.issue(tls, ["localhost"], made, CaKey(tls / "ca.key"))
    with night(lab, caplog, TLS) as seen:
        seen.tells(code)
        certificates.renew(tls, SystemClock(), CaKey(tls / "ca.key"))
        seen.ends(code)


def test_the_ca_is_about_to_change(lab: LabData, caplog: pytest.LogCaptureFixture) -> None:
    certificates.issue(lab.data / "tls", ["localhost"], SystemClock())
    day = certificates.replace_ca(lab.data / "tls", SystemClock())
    clock = FixedClock(SystemClock().wall_us())
    with night(lab, caplog, TLS, clock) as seen:
        seen.tells("certificate_changes", f"{day:%Y-%m-%d}")
        clock.advance(day.timestamp() - clock.wall_us() / 1e6 + 1)
        certificates.change_if_due(lab.data / "tls", clock)
        seen.ends("certificate_changes")


async def test_a_stored_file_changes(lab: LabData, caplog: pytest.LogCaptureFixture) -> None:
    with night(lab, caplog) as seen:
        with client_of(seen.services) as client:
            await asyncio.to_thread(lab.approved, client)
        (path,) = (lab.data / "models" / "tiny").glob("*.gguf")
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        data[-1] ^= 1  # one bit
        path.write_bytes(data)
        await seen.services.sweep.run()
        await asyncio.to_thread(seen.tells, "model_suspended", "tiny")
        data[-1] ^= 1
        path.write_bytes(data)
        with client_of(seen.services) as client:
            await asyncio.to_thread(approve_again, lab, client)
        seen.ends("model_suspended")


def approve_again(lab: LabData, client: AdminClient) -> None:
    for name in APPROVERS:
        approve_model(client, "tiny", lab.approval(client, "tiny", name))


def test_a_person_suspends_a_model(lab: LabData, caplog: pytest.LogCaptureFixture) -> None:
    with night(lab, caplog) as seen:
        with client_of(seen.services) as client:
            lab.approved(client)
            client.call(MODEL_SUSPEND, Reason.of(reason="it gives wrong doses"), model_id="tiny")
        seen.tells("model_suspended", "it gives wrong doses")
        with pytest.raises(Unavailable, match="tiny is suspended") as caught:
            seen.services.pool.card("tiny")
        assert caught.value.code == "model_suspended"
        assert seen.services.pool.suspended() == ["tiny"]


def test_files_are_missing(lab: LabData, caplog: pytest.LogCaptureFixture) -> None:
    with night(lab, caplog) as seen:
        with client_of(seen.services) as client:
            lab.approved(client)
        place = lab.data / "models" / "tiny"
        place.rename(lab.data.parent / "away")
        seen.tells("model_missing", "tiny")
        (lab.data.parent / "away").rename(place)
        seen.ends("model_missing")


def test_a_job_fails(lab: LabData, caplog: pytest.LogCaptureFixture) -> None:
    gone = lab.data.parent / "gone"  # as a stick that was pulled out
    with night(lab, caplog) as seen:
        with client_of(seen.services) as client, pytest.raises(ApplianceError):
            import_model(client, gone, "m")
        seen.tells("job_failed", "import")
        with client_of(seen.services) as client:
            import_model(client, lab.artifact("gone"), "m")
        seen.ends("job_failed")


def test_the_backup_is_old(lab: LabData, caplog: pytest.LogCaptureFixture) -> None:
    notes = {"backups": [{"time": "2026-01-01T00:00:00+00:00", "file": "b.tar"}]}
    (lab.data / "backups.json").write_text(json.dumps(notes))
    with night(lab, caplog) as seen:
        seen.tells("backup_old", "2026-01-01")
        notes["backups"].append({"time": iso(SystemClock().wall_us()), "file": "c.tar"})
        (lab.data / "backups.json").write_text(json.dumps(notes))
        seen.ends("backup_old")


def test_the_clock_goes_back(lab: LabData, caplog: pytest.LogCaptureFixture) -> None:
    yesterday = FixedClock(SystemClock().wall_us() - DAY_S * 1_000_000)
    with night(lab, caplog, clock=yesterday) as seen:
        seen.tells("clock_behind")
        yesterday.advance(2 * DAY_S)
        seen.ends("clock_behind")


def test_the_witness_is_silent(lab: LabData, caplog: pytest.LogCaptureFixture) -> None:
    clock = FixedClock(SystemClock().wall_us())
    with night(lab, caplog, clock=clock) as seen:
        audit = seen.services.audit

        def witness() -> None:
            fields: dict[str, Json] = {"actor": "uid:0", "key": "w", "note": "", "size": audit.size}
            audit.append(Draft("witness", fields)).result()

        witness()
        clock.advance(8 * DAY_S)
        seen.tells("witness_silent", "not witnessed")
        witness()
        seen.ends("witness_silent")


def test_a_task_drifts(lab: LabData, caplog: pytest.LogCaptureFixture) -> None:
    *_, found = watched(np.random.default_rng(41), 18, "words", 16)
    with night(lab, caplog) as seen:
        watch.keep(lab.data / watch.DIRECTORY, found)
        seen.tells("drift_found", "orders")
        watch.begin_again(lab.data / watch.DIRECTORY, "orders", seen.services.clock.wall_us())
        seen.ends("drift_found")


async def test_an_upstream_is_down(lab: LabData, caplog: pytest.LogCaptureFixture) -> None:
    wanted = UpstreamConfig(urls=(f"http://127.0.0.1:{free_port()}",), model="m", connect_ms=200)
    with night(lab, caplog, Config(upstreams={"big": wanted})) as seen:
        upstream = seen.services.upstreams.all["big"]
        (host,) = upstream.hosts
        host.approved = True  # two people did
        with pytest.raises(ApplianceError) as caught:
            await upstream.seen(host)
        for _ in range(5):
            upstream.failed(host, caught.value)
        await asyncio.to_thread(seen.tell, {"upstream_down": "big", "upstream_host_down": "big"})
        host.health.probed(HostProbe(ProbeVerdict.SAME), last=True)
        await asyncio.to_thread(seen.ends, "upstream_down", "upstream_host_down")
        await seen.services.upstreams.close()


@pytest.mark.usefixtures("still_disk")
async def test_configuration_receivers_and_the_product_fail(
    lab: LabData, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FixedClock(SystemClock().wall_us())
    unusable = UpstreamConfig(urls=("https://127.0.0.1:9",), model="m", ca="missing.pem")
    config = Config(
        roles=RolesConfig(viewer=("nobody9",)),
        upstreams={"odd": unusable},
        forward={"siem": ForwardConfig(to="tcp://127.0.0.1:9", stop_after_minutes=1)},
        notify={"pager": NotifyConfig(to="http://127.0.0.1:9/")},
    )
    monkeypatch.setattr(log_module, "ALARM_WAL_BYTES", 0)

    async def fails() -> None:
        raise ZeroDivisionError

    with night(lab, caplog, config, clock) as seen:
        services = seen.services
        services.forwarding.start()
        wait(lambda: services.forwarding.standings[0].problem != "")
        clock.advance(90)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(kept("work", fails, services.metrics), 0.01)
        right = (lab.data / "appliance.toml").read_text()
        with (lab.data / "appliance.toml").open("a") as file:
            file.write('[upstreams.bad]\nurls = ["https://127.0.0.1:9"]\nmodel = "m"\nca = "x"\n')
        with pytest.raises(ApplianceError):
            await services.upstreams.reload("uid:0")
        seen._onlooker.look()
        wait(lambda: "pager" in services.notifier.problems)
        told = {
            "role_name_unknown": "nobody9", "upstream_broken": "odd", "upstreams_unread": "x",
            "receiver_behind": "siem", "answers_held": "siem", "log_behind": "",
            "notice_undelivered": "pager", "unexpected_errors": "",
        }  # fmt: skip
        await asyncio.to_thread(seen.tell, told)
        with pytest.raises(Unavailable, match="siem"):
            services.audit.check()
        monkeypatch.setattr(log_module, "ALARM_WAL_BYTES", 1 << 40)
        seen.ends("log_behind")
    (lab.data / "appliance.toml").write_text(right)
    with night(lab, caplog, clock=clock) as seen:
        codes = ("role_name_unknown", "upstream_broken", "upstreams_unread", "unexpected_errors")
        await asyncio.to_thread(seen.ends, *codes, "notice_undelivered")


def test_a_receiver_comes_back_and_answers_go_on(
    lab: LabData, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, heap = FixedClock(SystemClock().wall_us()), Heap()
    monkeypatch.setattr(forwarder, "_MOST_S", 0.01)
    monkeypatch.setattr(forwarder, "_FIRST_S", 0.01)
    with sink(heap) as made:
        made.kill()
        to = f"tcp://127.0.0.1:{made.port}"
        config = Config(forward={"siem": ForwardConfig(to=to, stop_after_minutes=1)})
        with night(lab, caplog, config, clock) as seen:
            seen.services.forwarding.start()
            wait(lambda: seen.services.forwarding.standings[0].problem != "")
            clock.advance(90)
            seen.tell({"receiver_behind": "siem", "answers_held": "siem"})
            made.start()
            wait(lambda: seen.services.forwarding.standings[0].behind == 0)
            seen.ends("receiver_behind", "answers_held")
            seen.services.audit.check()


def test_the_host_cannot_confine(
    lab: LabData, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with night(lab, caplog) as seen:
        monkeypatch.setattr(platform, "release", lambda: "4.4.0-1-amd64")
        seen.tells("host_unsuitable", "4.4.0")
        monkeypatch.undo()
        seen.ends("host_unsuitable")


def test_the_log_file_is_too_short(lab: LabData, caplog: pytest.LogCaptureFixture) -> None:
    clock = FixedClock(SystemClock().wall_us())
    with (
        night(lab, caplog, clock=clock) as seen,
        log_file.kept(lab.data, 1, seen.services.log_file),
    ):
        filling = logging.getLogger("filling")  # lines that nobody captures
        filling.propagate, filling.handlers = False, logging.getLogger().handlers[-1:]
        while seen.services.log_file.kept_from_us is None:
            filling.warning("x" * 3_900)
            filling.handlers[0].flush()
        seen.tells("log_file_short", "not of 7 days")
        clock.advance(8 * DAY_S)
        seen.ends("log_file_short")


def test_the_database_says_more_than_the_log(
    lab: LabData, caplog: pytest.LogCaptureFixture
) -> None:
    with night(lab, caplog) as seen, client_of(seen.services) as client:
        key = client.call(KEY_CREATE, KeyCreate(name="app"))
        client.call(KEY_REVOKE, key_id=key.id)
        client.call(KEY_CREATE, KeyCreate(name="later"))  # the last entry is completed at a start
    with contextlib.closing(sqlite3.connect(lab.data / "appliance.db")) as database, database:
        database.execute("UPDATE api_keys SET revoked_us = NULL")
    with night(lab, caplog) as seen:
        seen.tells("state_differs", "was withdrawn")
        seen.services.agreement.look()  # the stricter of the two is in force
        seen.ends("state_differs")


def test_the_log_is_older_than_the_database(
    lab: LabData, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    older = Path(shutil.copytree(lab.data, tmp_path / "older"))
    with night(lab, caplog) as seen, client_of(seen.services) as client:
        client.call(KEY_CREATE, KeyCreate(name="later"))
    put_back(lab.data, older, "audit")
    with night(lab, caplog) as seen:
        seen.tells("log_ends_early", "appliance.db knows")
        with client_of(seen.services) as client:
            assert client.call(STATE_SETTLE, Settle(reason="lost")).agrees
        seen.ends("log_ends_early")


@pytest.mark.parametrize(
    ("code", "days"), [("trust_expires_soon", 1.0), ("trust_expired", 31.0), ("trust_stale", 400.0)]
)
async def test_trust_metadata_age(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: str, days: float
) -> None:
    site = make_site(tmp_path, Simulator())
    site.days(days)
    with night(LabData(site.data), caplog, SMALL, site.clock) as seen:
        await asyncio.to_thread(seen.tells, code)
        later(site.sim, int(days) + 60).sign_root()
        await update(seen.services, site.sim.next())
        await asyncio.to_thread(seen.ends, code)


async def test_trust_metadata_goes_back_and_is_spoilt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(tmp_path, Simulator())
    older = Path(shutil.copytree(site.data / "trust", tmp_path / "older"))
    newer = tmp_path / "newer"
    with night(LabData(site.data), caplog, SMALL, site.clock) as seen:
        await update(seen.services, site.sim.next())
        shutil.copytree(site.data / "trust", newer)
        (file,) = (site.data / "trust").iterdir()
        shutil.copy(older / file.name, file)
        await asyncio.to_thread(seen.tells, "trust_rollback")
        file.write_text("{")
        await asyncio.to_thread(seen.tells, "trust_unreadable")
        shutil.copy(newer / file.name, file)
        seen.ends("trust_rollback", "trust_unreadable")


def test_an_answer_differs(lab: LabData, caplog: pytest.LogCaptureFixture) -> None:
    with night(lab, caplog) as seen:
        replays = seen.services.replays
        replays.take(AnswerReplayed(seq=41, verdict="differs", why="w"), named=False)
        seen.tells("answer_differs", "41")
        replays.take(AnswerReplayed(seq=41, verdict="same"), named=False)
        seen.ends("answer_differs")


def test_the_certificate_of_a_task_expires(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FixedClock()
    initialise(tmp_path / "data", "lab", clock, evaluated=True)
    with night(LabData(tmp_path / "data"), caplog, SMALL, clock) as seen:
        task = add_task(seen.services, tmp_path / "orders")
        certify(seen.services, task)
        approve(seen.services, task, *APPROVERS)
        clock.advance(350 * DAY_S)
        seen.tells("evaluation_expires", "The evaluation of orders expires at ")
        certify(seen.services, task)
        seen.ends("evaluation_expires")


async def test_an_upstream_answers_otherwise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        Engine().serve() as engine,
        upstreams.ready(tmp_path / "data", upstreams.config(engine.url)) as services,
    ):
        with followed(services, caplog) as seen:
            upstream = services.upstreams.get(upstreams.BIG)
            engine.weights = 0.1  # of another model
            await services.upstreams.probe_host(upstream, upstream.hosts[0])
            await asyncio.to_thread(seen.tells, "upstream_suspect", "a value is 0.1")
            engine.weights = 0.0
            await services.upstreams.probe("uid:0", upstreams.BIG)
            await asyncio.to_thread(seen.ends, "upstream_suspect")


async def test_a_login_service_is_away(
    lab: LabData, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    login, steady = Login(tmp_path / "keys.json"), [0.0]
    with night(lab, caplog, login.site()) as seen:
        people = seen.services.end_users
        people._logins[0].keys._steady = lambda: steady[0]

        async def asks() -> None:
            """A person's first request after a while."""
            steady[0] += 1_000
            now = SystemClock().wall_us() // 1_000_000
            with contextlib.suppress(ApplianceError):
                await people.verified(login.token(iat=now, exp=now + 300, jti=str(steady[0])), "k1")

        await asks()
        login.file.unlink()
        await asks()
        await asyncio.to_thread(seen.tells, "people_away", "oidc:corp cannot be read")
        login.publish()
        await asks()
        await asyncio.to_thread(seen.ends, "people_away")


def test_a_peer_is_silent_and_then_its_log_is_an_older_one(
    lab: LabData, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    clock = FixedClock(SystemClock().wall_us())
    with member(tmp_path / "a", "a", clock) as a:
        keys = (a.keys.log.encode(), a.keys.witness.encode())
        config = Config(peers={"a": PeerConfig("http://127.0.0.1:9", *keys)})
        with night(lab, caplog, config, clock) as seen:
            ring = seen.services.ring
            (here,) = ring._peers
            log = VerifierKey.parse(seen.services.reader.genesis())

            def knows(one: Member) -> None:
                one.peers["here"] = PeerKeys(log, ring.witness.key)
                one.witness._names[log.name] = "here"

            knows(a)
            here.ask()  # nobody listens
            clock.advance(180)
            seen.tells("peer_silent", "The peer a has been silent")
            here._post = posting(a.witness)
            here.ask()
            a.asks_of("here", ring.witness).ask()
            seen.ends("peer_silent")
            older = shutil.copytree(a.directory, tmp_path / "older")
            a.write(*"abcdefgh")
            a.asks_of("here", ring.witness).ask()
            with member(tmp_path / "put back", "a", clock, older) as put_back_one:
                knows(put_back_one)
                put_back_one.asks_of("here", ring.witness).ask()
                seen.tells("peer_log_differs", "were seen")
            a.asks_of("here", ring.witness).ask()
            seen.ends("peer_log_differs")


def test_no_other_appliance_of_the_site_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, sites = made_site(tmp_path, "ab")
    with opened(sites) as found, followed(found["a"].services, caplog) as seen:
        seconds = [0.0]
        standing = found["a"].exchange.standing
        standing._now, standing._begun = (lambda: seconds[0]), 0.0
        found["a"].listens()
        seconds[0] += 61
        seen.tells("site_stale")
        found["a"].listens()
        seen.ends("site_stale")


def test_a_mirror_cannot_keep_entries(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, sites = made_site(tmp_path, "ab")
    audit = AuditConfig(receipt="mirrored", ballast_mib=0)
    with opened(sites, audit=audit) as found, followed(found["a"].services, caplog) as seen:
        a, b = found["a"], found["b"]
        mirroring = seen.services.site.mirroring if seen.services.site else None
        assert mirroring is not None
        (link,), seconds = mirroring.links, [0.0]
        link._now = lambda: seconds[0]
        link._ask = functools.partial(a.exchange.mirror, a.peer("b").address)
        link.send()
        assert link.failure == ""
        store = b.exchange._mirrored._database
        with store.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE mirrored_entries RENAME TO gone")
        a.services.keys.create("crm")
        link.send()
        assert not link.away
        seconds[0] += 180
        seen.tells("mirror_away", "no such table")
        with store.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE gone RENAME TO mirrored_entries")
        link.send()
        assert link.failure == ""
        seen.ends("mirror_away")


async def test_a_batch_gets_no_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with batch_site(tmp_path) as here:
        with followed(here.real, caplog) as seen:
            here.inference.hold = asyncio.Event()
            batch = await here.begun(3)
            await here.inference.starting.wait()
            here.clock.advance(2 * 600)
            await asyncio.to_thread(seen.tells, "batch_starves", "0 of 3 answers")
            here.inference.hold.set()
            await here.ended(batch)
            await asyncio.to_thread(seen.ends, "batch_starves")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, narrow_path: Path) -> Path:
    return make_data(tmp_path_factory.mktemp("night"), narrow_path)


@contextlib.asynccontextmanager
async def serving(
    stored: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    config: Config = SMALL,
    clock: Clock | None = None,
) -> AsyncIterator[Night]:
    data = shutil.copytree(stored, tmp_path / "data", symlinks=True)
    with (
        open_services(data, config=config, clock=clock) as services,
        followed(services, caplog) as seen,
    ):
        try:
            yield seen
        finally:
            await services.pool.close()
            await services.inference.drain(30)
            await services.supervisor.close()


async def kill(services: Services) -> None:
    (status,) = services.supervisor.status()
    assert status.pid is not None
    os.kill(status.pid, signal.SIGKILL)
    await until(lambda: services.supervisor.status()[0].pid != status.pid)


async def test_an_engine_is_killed_and_then_dies_again_and_again(
    stored: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crashes, "_BACKOFF_S", (0.0,))
    async with serving(stored, tmp_path, caplog) as seen:
        services = seen.services
        await services.pool.load("uid:0", ID)
        await kill(services)
        await until(services.supervisor.ready)
        await asyncio.to_thread(seen.tells, "engine_died", "once")
        text = services.metrics.text()
        assert f'appliance_worker_restarts_total{{model="{ID}"}} 1.0' in text
        key, _ = services.keys.create("wild")
        for _ in range(2):
            await die_while_preparing(services.supervisor, key.id)
        await asyncio.to_thread(seen.tells, "key_quarantined", "App wild may not use")
        for _ in range(2):
            await until(services.supervisor.ready)
            await kill(services)
        await until(lambda: services.supervisor.status()[0].state == "suspended")
        await asyncio.to_thread(seen.tells, "engine_suspended", "five times in ten minutes")
        with client_of(services) as client:
            (shown,) = (await asyncio.to_thread(lambda: client.call(MODELS))).models
        assert (shown.state, shown.code) == ("suspended", "model_suspended")
        status, code = await asked(services, "app")
        assert (status, code) == (503, "model_suspended")
        transport = httpx.ASGITransport(create_lan_app(services))
        async with httpx.AsyncClient(transport=transport, base_url="http://lan") as http:
            ready = await http.get("/readyz")
        assert ready.status_code == 503 and ID in ready.json()["error"]["message"]
        await services.pool.unload("uid:0", ID)
        await services.pool.load("uid:0", ID)
        await asyncio.to_thread(seen.ends, "engine_suspended")
        ahead = {**vars(time), "monotonic": lambda: time.monotonic() + crashes.WINDOW_S}
        for module in (supervised, supervisor):
            monkeypatch.setattr(module, "time", SimpleNamespace(**ahead))
        await asyncio.to_thread(seen.ends, "engine_died", "key_quarantined")
    line = next(r for r in caplog.records if r.name == "appliance.access" and r.levelno > 20)
    assert line.levelname == "WARNING"
    told = (getattr(line, "app", ""), getattr(line, "model", ""), getattr(line, "code", ""))
    assert told == ("app", ID, "model_suspended")


async def asked(
    services: Services, name: str, limits: Limits | None = None, times: int = 1, tokens: int = 1
) -> tuple[int, str]:
    """Some times at once; the last answer that is none, or 200."""
    _, secret = services.keys.create(name, limits=limits or Limits())
    transport = httpx.ASGITransport(create_lan_app(services))
    body = {"model": ID, "prompt": "The", "max_tokens": tokens, "ignore_eos": True}
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://lan",
        headers={"authorization": f"Bearer {secret}"},
        timeout=None,
    ) as http:
        replies = await asyncio.gather(
            *(http.post("/v1/completions", json=body) for _ in range(times))
        )
    failed = [reply for reply in replies if reply.status_code != 200]
    if not failed:
        return 200, ""
    return failed[-1].status_code, str(failed[-1].json()["error"]["code"])


async def test_the_queue_is_full_and_one_app_floods(
    stored: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = replace(SMALL.model(ID), slots=1)
    config = Config(engine=EngineConfig(threads=1, max_queued=1), models={"default": settings})
    clock = FixedClock(SystemClock().wall_us())
    async with serving(stored, tmp_path, caplog, config, clock) as seen:
        await seen.services.pool.load("uid:0", ID)
        assert await asked(seen.services, "hasty", times=6, tokens=40) == (429, "queue_full")
        await asyncio.to_thread(seen.tells, "queue_full")
        refused = await asked(seen.services, "planner", Limits(rpm=1), times=101)
        assert refused[0] == 429
        await asyncio.to_thread(seen.tells, "app_floods", "planner")
        clock.advance(600)
        await asyncio.to_thread(seen.ends, "queue_full", "app_floods")


async def test_memory_is_short(
    stored: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(SMALL, engine=EngineConfig(threads=1, memory_mib=20))
    async with serving(stored, tmp_path, caplog, config) as seen:
        with pytest.raises(Refused) as caught:
            await seen.services.pool.load("uid:0", ID)
        assert caught.value.code == "insufficient_memory"
        await asyncio.to_thread(seen.tells, "model_unloadable", "of 20 MiB, 0 MiB are taken")
        seen.services.supervisor.budget.total = 1 << 30  # as when another model leaves
        await seen.services.pool.load("uid:0", ID)
        await asyncio.to_thread(seen.ends, "model_unloadable")


async def test_a_file_changes_below_a_model_that_answers(
    stored: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(stored, tmp_path, caplog) as seen:
        await seen.services.pool.load("uid:0", ID)
        (path,) = (seen.services.data / "models" / ID).glob("*.gguf")
        path.chmod(0o600)
        for code in ("tells", "ends"):
            data = bytearray(path.read_bytes())
            data[-1] ^= 1
            path.write_bytes(data)
            await seen.services.sweep.run()
            await asyncio.to_thread(getattr(seen, code), "model_doubtful")


async def test_a_gpu_cannot_be_used(
    stored: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(stored, tmp_path, caplog) as seen:
        with monkeypatch.context() as patched:
            for module in (gpu_probe, cli_gpu):  # as on a host whose plugin was forgotten
                patched.setattr(module, "driver_facts", lambda: Driver("580.65.06"))
                patched.setattr(module, "installed_plugins", list)
            await seen.services.pool.load("uid:0", ID)
            await asyncio.to_thread(seen.tells, "model_on_processor", "no GPU plugin")
            patched.setattr(gpu_probe, "driver_facts", lambda: None)  # its driver is gone, too
            await seen.services.pool.unload("uid:0", ID)
            await seen.services.pool.load("uid:0", ID)
            await asyncio.to_thread(seen.ends, "model_on_processor")


def followed_in(path: str, function: str) -> tuple[set[str], set[str]]:
    """The codes that a function follows from their beginning, and those to their end."""
    text = (CHECKOUT / path).read_text(encoding="utf-8")
    (body,) = (
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function
    )
    begun, ended = set[str](), set[str]()
    for call in (node for node in ast.walk(body) if isinstance(node, ast.Call)):
        parts = [call.func, *call.args]  # of the follower, or of a thread that calls it
        names = {part.attr for part in parts if isinstance(part, ast.Attribute)}
        said = [str(part.value) for part in parts if isinstance(part, ast.Constant)]
        if "tells" in names:
            begun.add(said[0])
        if "ends" in names:
            ended.update(said)
    return begun, ended


def test_each_rule_was_raised_by_a_fault_and_is_an_alert(tmp_path: Path) -> None:
    """Runs last; alone it has nothing to judge."""
    if not TOLD:
        pytest.skip("the faults of this module were not raised")
    for code, place in ELSEWHERE.items():
        begun, ended = followed_in(*place)
        assert code in begun and code in ended, code
    assert followed_in("tests/system/test_bad_night.py", "night") == (set(), set())  # the control
    assert set(BY_CODE) <= TOLD | set(ELSEWHERE)  # this process may have run those, too
    assert ENDED >= TOLD
    assert set(SCRAPED) == TOLD
    status, said = alerts.tried(tmp_path, SCRAPED)
    assert status == 0, said
