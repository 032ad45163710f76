"""`appliance status` without a server; with one: tests of `serve`."""

import json
import platform

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import __version__
from appliance.app import SCHEMA
from appliance.cli.status import duration, lines, look
from appliance.errors import NotFound
from appliance.text import visible
from appliance.wire.admin.incidents import Incident
from appliance.wire.admin.models import Status, Worker, WorkerDevice
from appliance.wire.admin.usage import CurrentLoad
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run
from tests.test_client import STATUS
from tests.tui.scripted import Script
from tui.rates import History

WORKER = Worker(
    model="m", digest="00", pid=1, state="ready", n_ctx=64, slots=8, running=2, queued=3,
    kv_used=10, restarts=0, confinement={}, variant="haswell", memory_mib=250,
    threads=2, threads_most=2,
)  # fmt: skip


def text_of(**changes: object) -> str:
    return "\n".join(lines(Status.model_validate({**STATUS, **changes})))


def test_a_stopped_lab_says_both(run: Run) -> None:
    done = run("status")
    assert done.status == 0
    first = done.out.splitlines()[0]
    assert "LAB" in first and "[-] stopped" in first
    assert f"appliance {__version__} (schema {SCHEMA})" in first
    assert "not for production" in done.out
    assert "No artifacts. Import one" in done.out


def test_the_address_and_the_host_are_named(lab: LabData, run: Run) -> None:
    (lab.data / "appliance.toml").write_text('[server]\nhost = "::1"\nport = 8181\n')
    document = run("status", "--json").document
    assert document["url"] == "http://[::1]:8181"
    assert document["host"]["name"] == platform.node()
    said = f"will listen on http://[::1]:8181, host {platform.node()}"
    assert said in run("status").out
    assert "listens on http://[::1]:8181, host b" in text_of(
        url="http://[::1]:8181", host={**STATUS["host"], "name": "b"}
    )


def test_json_is_the_status_document(run: Run) -> None:
    document = run("status", "--json").document
    assert (document["profile"], document["state"], document["role"]) == ("lab", "stopped", "admin")
    Status.model_validate(document)


def test_a_model_is_a_word_and_a_mark(run: Run, approved: str) -> None:
    assert "[+] approved" in run("status").out


def test_a_worker_shows_its_load() -> None:
    model = {"id": "m", "state": "serving", "digest": "00", "loaded": True, "kind": "embed"}
    shown = text_of(models=[model], workers=[WORKER.model_dump()], state="serving")
    (row,) = [line for line in shown.splitlines() if line.startswith("m ")]
    assert row.split() == [
        "m",
        "embed",
        "[+]",
        "ready",
        "2/8",
        "3",
        "10/64",
        "2/2",
        "250",
        "MiB",
        "-",
    ]
    assert "computes with" not in shown
    busy = WORKER.model_copy(update={"threads": 1}).model_dump()
    assert "m computes with 1 of 2 threads" in text_of(models=[model], workers=[busy])


def test_a_worker_on_gpus_shows_device_driver_and_backend() -> None:
    where = "cuda13 driver 580.65.06: 31 of 31 layers on GPUs: 31 on NVIDIA H100"
    device = WorkerDevice(kind="cuda", text=where, backend="/p/libggml-cuda.so")
    on_gpus = WORKER.model_copy(update={"device": device}).model_dump()
    model = {"id": "m", "state": "serving", "digest": "00", "loaded": True}
    shown = text_of(models=[model], workers=[on_gpus])
    assert f"m computes on {where}\n  backend /p/libggml-cuda.so" in shown
    assert "engine  processor" not in shown
    there = text_of(models=[model], workers=[WORKER.model_dump()])
    assert "engine  processor, backend haswell\n" in there and "computes on" not in there


def test_an_alarm_is_marked() -> None:
    assert "[!] The disk is full." in text_of(alarms=["The disk is full."])
    incident = Incident(
        code="disk_low", level="warning", message="Full.", next="Free some.", since="2026-11-29"
    )
    told = text_of(alarms=["Full."], incidents=[incident])
    assert "[!] Full.\n    disk_low since 2026-11-29; Free some." in told
    assert "[!] refusing" in text_of(audit={"entries": 1, "root": "00", "latched": "full"})


@given(st.text(max_size=50))
def test_no_text_from_outside_reaches_the_terminal_as_it_is(text: str) -> None:
    model = {"id": text, "state": text, "digest": None, "code": None}
    host = {**json.loads(json.dumps(STATUS["host"])), "cpu": text}
    shown = text_of(models=[model], host=host, alarms=[text])
    assert visible(shown, newlines=True, limit=10_000) == shown


def test_a_watcher_gets_rates_from_its_second_look_at_the_same_server_on() -> None:
    history, server = History(), Script()
    looks = []
    for name, at, tokens in (("a", 1, 10), ("a", 3, 34), ("b", 1, 5), ("b", 2, 12)):
        server.load_found = CurrentLoad(at=at, server=name, completion_tokens=tokens, running=1)
        looks.append("\n".join(look(server, history)))
    assert ["a second" in said for said in looks] == [False, True, False, True]
    assert "tokens       12.0 a second\nrequests     1 running, 0 waiting" in looks[1]
    assert "tokens       7.0 a second" in looks[3]


def test_an_older_server_tells_a_watcher_no_rates() -> None:
    class Older(Script):
        def usage(self) -> CurrentLoad:
            raise NotFound("not_found", "no")

    history, server = History(), Older()
    for _ in range(2):
        assert "host    " in (said := "\n".join(look(server, history))) and "a second" not in said


def test_watch_and_json_exclude_each_other(run: Run) -> None:
    assert run("status", "--watch", "--json").status == 2


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_600, "1 h"), (90_061, "1 d 1 h")],
)
def test_a_time_span_has_two_units(seconds: int, shown: str) -> None:
    assert duration(seconds) == shown


def test_the_use_of_a_model_says_what_it_does_and_why_it_is_gone() -> None:
    base = {"id": "m", "state": "approved", "digest": "00"}
    loading = {
        **base,
        "activity": "loading",
        "progress": {"phase": "sealing", "done": 1, "total": 4},
    }
    rows = [
        ({**base, "activity": "waiting", "waiting": 3}, "waiting, 3 waiting"),
        ({**loading, "waiting": 1, "pinned": True}, "sealing 25 %, 1 waiting, pinned"),
        ({**base, "activity": "idle", "pinned": True}, "idle, pinned"),
        ({**base, "unloaded": "to make room for n"}, "unloaded to make room for n"),
    ]
    for model, words in rows:
        assert words in text_of(models=[model], budget_mib=100, taken_mib=7)
    assert "7 of 100 MiB for models are taken\n" in text_of(budget_mib=100, taken_mib=7)
    told = text_of(budget_mib=100, taken_mib=7, indexes_mib=2)
    assert "for models are taken, 2 by indexes of collections\n" in told
