"""Real workers under the supervisor: memory, deaths, restarts, suspension."""

import asyncio
import contextlib
import functools
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services, open_services
from appliance.audit.search import Query
from appliance.config import Config, EngineConfig, ModelConfig
from appliance.errors import (
    NotFound,
    Overloaded,
    PolicyRefused,
    StateRefused,
    Unavailable,
    WorkerLost,
)
from appliance.host.hardware import available_memory
from appliance.trust.artifacts.store import VerifiedModel, load_policy
from appliance.workers import crashes
from appliance.workers import supervisor as supervisor_module
from appliance.workers.engine_build import build_of
from appliance.workers.gpu_devices import Device, Probe
from appliance.workers.gpu_driver import Driver, Plugin, driver_facts
from appliance.workers.gpu_layers import GpuMemory, Offload
from appliance.workers.supervisor import Supervisor
from tests.answers import collect
from tests.prepare import prepare
from tests.smol import ID, SMALL, caller, make_data, request, sealed, until


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, shallow_path: Path) -> Path:
    return make_data(tmp_path_factory.mktemp("supervisor"), shallow_path)


@pytest.fixture
def services(data: Path) -> Iterator[Services]:
    with open_services(data, config=SMALL) as opened:
        yield opened


@contextlib.asynccontextmanager
async def loaded(services: Services) -> AsyncIterator[Supervisor]:
    supervisor = services.supervisor
    await supervisor.start(sealed(services))
    try:
        yield supervisor
    finally:
        await supervisor.close()


def pid(supervisor: Supervisor) -> int:
    (status,) = supervisor.status()
    assert status.pid is not None
    return status.pid


def events(services: Services) -> list[str]:
    entries = services.reader.search(Query(kind="worker", limit=1000)).entries
    ordered = sorted(entries, key=lambda e: e.seq)
    return [str(e.body["event"]) for e in ordered]


async def kill(supervisor: Supervisor) -> None:
    victim = pid(supervisor)
    os.kill(victim, signal.SIGKILL)
    await until(lambda: all(s.pid != victim for s in supervisor.status()))


async def test_a_setting_that_only_costs_is_told(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = replace(
        SMALL, models={"default": ModelConfig(n_ctx=128, slots=1, reproducible=True)}
    )
    with open_services(data, config=settings) as services:
        async with loaded(services) as supervisor:
            (model,) = supervisor.served()
            assert isinstance(model, VerifiedModel)
            assert supervisor.obstacle(ID) is None and supervisor.covers(ID, model.facts)
            build = supervisor.engine_for(ID).split(" build ")[1]
            assert build.startswith(f"{build_of()} {supervisor.variant.name} ")
    assert "reproducible = true makes smol slower and changes no answer" in caplog.text


async def test_a_loaded_model_is_there_with_its_numbers_and_unloading_gives_all_back(
    services: Services,
) -> None:
    seen, before = len(events(services)), len(list(Path("/proc/self/fd").iterdir()))
    async with loaded(services) as supervisor:
        (status,) = supervisor.status()
        assert (status.model, status.state, status.restarts) == (ID, "ready", 0)
        assert (status.n_ctx, status.slots) == (512, 2)
        assert status.memory_mib > 98 and status.variant.startswith("libggml-cpu")
        assert status.confinement["seccomp"] is True
        assert supervisor.ready() and supervisor.is_loaded(ID)
        assert [c.id for c in supervisor.cards()] == [ID]
        worker = Path(f"/proc/{status.pid}")
        assert worker.exists()
        with contextlib.closing(sealed(services)) as again, pytest.raises(StateRefused):
            await supervisor.start(again)
    assert not worker.exists()
    assert not supervisor.is_loaded(ID) and not supervisor.ready()
    assert events(services)[seen:] == ["start", "stop"]
    # The audit writer opens HEAD for an instant now and then; what leaked would stay.
    await until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before)


async def test_a_model_that_does_not_fit_is_refused_with_the_numbers_before_anything_starts(
    services: Services, data: Path
) -> None:
    seen = len(events(services))
    supervisor = supervisor_with(services, engine=EngineConfig(threads=1, memory_mib=90))
    model = sealed(services)
    with pytest.raises(StateRefused) as caught:
        await supervisor.start(model)
    model.close()
    assert caught.value.code == "insufficient_memory"
    for number in ("90 MiB", "0 MiB are taken", "KV cache 1", "(weights ", "copy of 57"):
        assert number in caught.value.message
    assert len(events(services)) == seen and supervisor.status() == []


def supervisor_with(services: Services, **changes: object) -> Supervisor:
    config = replace(SMALL, **changes)  # type: ignore[arg-type]

    async def record(kind: str, fields: object) -> None:
        """Not the point here."""

    return Supervisor(config, services.clock, record, lambda model: None, again(services))


def again(services: Services) -> Callable[[VerifiedModel], VerifiedModel]:
    return lambda model: services.store.seal_again(model, load_policy(services.data / "trust"))


async def test_what_is_loaded_counts_for_the_next_model(services: Services) -> None:
    needed = await asyncio.to_thread(sealed, services)
    async with loaded(services) as supervisor:
        (status,) = supervisor.status()
        budget = EngineConfig(threads=1, memory_mib=status.memory_mib + 100)
        tight = supervisor_with(services, engine=budget)
        await tight.start(sealed(services))
        other = replace(needed, id="other")
        with pytest.raises(StateRefused) as caught:
            await tight.start(other)
        assert f"{status.memory_mib} MiB are taken" in caught.value.message
        await tight.close()
    needed.close()


def sealed_files(process: str) -> set[str]:
    """The inodes of the sealed files that a process has open or maps."""
    place = Path("/proc") / process
    maps = (line.split() for line in (place / "maps").read_text().splitlines())
    inodes = {line[4] for line in maps if line[5:6] == ["/memfd:model"]}
    for fd in (place / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if str(fd.readlink()).startswith("/memfd:model"):
                inodes.add(str(fd.stat().st_ino))
    return inodes


async def test_sealed_memory_is_given_back_at_both_ends_once_the_weights_are_loaded(
    services: Services,
) -> None:
    supervisor, during, before = services.supervisor, [], sealed_files("self")

    def loading(percent: int) -> None:
        during.append((percent, len(sealed_files("self") - before)))

    await supervisor.start(sealed(services), loading)
    try:
        assert during[0] == (0, 1) and during[-1] == (100, 0)
        assert not sealed_files("self") - before and not sealed_files(str(pid(supervisor)))
        (status,) = supervisor.status()
        assert supervisor.budget.taken // (1 << 20) == status.memory_mib
    finally:
        await supervisor.close()
    assert supervisor.budget.taken == 0


async def test_a_worker_does_not_come_back_from_a_stored_file_that_has_changed(
    data: Path, tmp_path: Path
) -> None:
    shutil.copytree(data, tmp_path / "data")
    data, before = tmp_path / "data", sealed_files("self")
    with open_services(data, config=SMALL) as services:
        async with loaded(services) as supervisor:
            (stored,) = (data / "models" / ID).rglob("*.gguf")
            stored.chmod(0o600)
            with stored.open("r+b") as file:
                file.seek(-1, os.SEEK_END)
                last = file.read(1)
                file.seek(-1, os.SEEK_END)
                file.write(bytes([last[0] ^ 1]))
            os.kill(pid(supervisor), signal.SIGKILL)
            await until(lambda: supervisor.status()[0].state == "suspended")
            with pytest.raises(Unavailable, match="signed"):
                supervisor.worker(ID, "k")
            assert not sealed_files("self") - before and supervisor.budget.taken == 0


async def test_a_worker_waits_for_the_memory_that_its_start_takes(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crashes, "_BACKOFF_S", (0.0,))
    async with loaded(services) as supervisor:
        refused = iter([0])
        found = functools.partial(next, refused, available_memory())
        monkeypatch.setattr(supervisor_module, "available_memory", found)
        await kill(supervisor)
        await until(supervisor.ready)
        assert next(refused, None) is None  # it was refused once


async def test_a_killed_worker_comes_back_from_the_stored_file_and_answers(
    services: Services,
) -> None:
    seen = len(events(services))
    async with loaded(services) as supervisor:
        first, before = pid(supervisor), supervisor.status()[0].restarts
        os.kill(first, signal.SIGKILL)
        await until(lambda: not supervisor.ready())
        with pytest.raises(Unavailable) as caught:
            supervisor.worker(ID, "k")
        assert caught.value.code == "model_loading"
        assert [c.id for c in supervisor.cards()] == [ID]
        await until(supervisor.ready)
        (status,) = supervisor.status()
        assert status.restarts == before + 1 and status.pid != first
        _, worker = supervisor.worker(ID, "k")
        number = worker.next_id()
        prepared = await worker.prepare(prepare(number, prompt="Hello", max_tokens=1), "k")
        assert prepared.prompt_tokens > 0
        rows = await worker.run(number)
        row = await rows.get()
        assert row is not None and row.finish == "length"
    assert events(services)[seen:] == ["start", "exit", "start", "stop"]


async def test_a_model_that_the_policy_no_longer_allows_does_not_come_back(
    services: Services,
) -> None:
    noted: list[str] = []

    async def record(_kind: str, fields: object) -> None:
        assert isinstance(fields, dict)
        if fields["event"] == "suspend":  # not before it is in the log
            assert supervisor.status()[0].state == "restarting"
        noted.append(fields["event"])

    def recheck(model: object) -> None:
        raise PolicyRefused("artifact_revoked", "It was revoked.")

    supervisor = Supervisor(SMALL, services.clock, record, recheck, again(services))
    await supervisor.start(sealed(services))
    os.kill(pid(supervisor), signal.SIGKILL)
    await until(lambda: supervisor.status()[0].state == "suspended")
    with pytest.raises(Unavailable, match="revoked") as caught:
        supervisor.worker(ID, "k")
    assert caught.value.code == "model_suspended"
    assert not supervisor.ready()
    assert noted == ["start", "exit", "suspend"]
    await supervisor.close()


async def test_restarts_count_on_when_the_model_is_loaded_again(services: Services) -> None:
    told: list[str] = []

    async def record(_kind: str, _fields: object) -> None:
        """Not the point here."""

    supervisor = Supervisor(
        SMALL, services.clock, record, lambda _: None, again(services), restarted=told.append
    )
    for expected in (1, 2):
        await supervisor.start(await asyncio.to_thread(sealed, services))
        assert supervisor.status()[0].restarts == expected - 1
        os.kill(pid(supervisor), signal.SIGKILL)
        await until(functools.partial(_restarted, supervisor, expected))
        assert supervisor.status()[0].deaths == expected
        await supervisor.stop(ID)
    assert told == [ID, ID]


def _restarted(supervisor: Supervisor, times: int) -> bool:
    return supervisor.ready() and supervisor.status()[0].restarts == times


async def test_five_deaths_suspend_the_model(
    services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(crashes, "_BACKOFF_S", (0.0,))
    caplog.set_level("INFO", "appliance")
    async with loaded(services) as supervisor:
        for death in range(1, 6):
            await until(supervisor.ready)
            await kill(supervisor)
            if death < 5:
                await until(supervisor.ready)
        await until(lambda: supervisor.status()[0].state == "suspended")
        with pytest.raises(Unavailable, match="five times"):
            supervisor.worker(ID, "k")
    lines = [r for r in caplog.records if getattr(r, "model", "") == ID]
    died = [r for r in lines if "ended with status -9" in r.getMessage()]
    assert [r.levelname for r in died] == ["WARNING"] * 5
    (suspended,) = [r for r in lines if getattr(r, "code", "") == "model_suspended"]
    assert suspended.levelname == "ERROR" and "died five times" in suspended.getMessage()
    assert sum("runs again" in r.getMessage() for r in lines) == 4
    assert events(services)[-2:] == ["exit", "suspend"]


async def test_three_steps_that_took_too_long_suspend_the_model_and_blame_nobody(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crashes, "_BACKOFF_S", (0.0,))
    async with loaded(services) as supervisor:
        for _ in range(3):
            await until(supervisor.ready)
            _, worker = supervisor.worker(ID, "k")
            os.kill(worker.pid, signal.SIGSTOP)
            asked = prepare(worker.next_id(), prompt="Hello")
            preparing = asyncio.create_task(worker.prepare(asked, "k"))
            await asyncio.sleep(0)
            os.kill(worker.pid, signal.SIGALRM)
            os.kill(worker.pid, signal.SIGCONT)
            with pytest.raises(WorkerLost):
                await preparing
            await until(functools.partial(_replaced, supervisor, worker.pid))
        await until(lambda: supervisor.status()[0].state == "suspended")
        with pytest.raises(Unavailable, match="absurdly long"):
            supervisor.worker(ID, "k")
    assert events(services)[-2:] == ["exit", "suspend"]


def _replaced(supervisor: Supervisor, pid: int) -> bool:
    return supervisor.status()[0].pid != pid


async def die_while_preparing(supervisor: Supervisor, key: str) -> None:
    _, worker = supervisor.worker(ID, key)
    os.kill(worker.pid, signal.SIGSTOP)
    request = prepare(worker.next_id(), prompt="Hello")
    preparing = asyncio.create_task(worker.prepare(request, key))
    await asyncio.sleep(0)
    await kill(supervisor)
    with pytest.raises(WorkerLost):
        await preparing
    await until(supervisor.ready)


async def test_two_deaths_attributed_to_a_key_keep_it_from_the_model(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crashes, "_BACKOFF_S", (0.0,))
    async with loaded(services) as supervisor:
        await die_while_preparing(supervisor, "bad")
        await die_while_preparing(supervisor, "unlucky")
        supervisor.worker(ID, "bad")  # one death is nothing yet
        await die_while_preparing(supervisor, "bad")
        with pytest.raises(Overloaded) as caught:
            supervisor.worker(ID, "bad")
        assert caught.value.code == "key_quarantined"
        supervisor.worker(ID, "unlucky")
        supervisor.worker(ID, "good")
    suspects = [
        e.body["suspects"]
        for e in sorted(
            services.reader.search(Query(kind="worker", limit=1000)).entries, key=lambda e: e.seq
        )
        if e.body["event"] == "exit"
    ][-3:]
    assert suspects == [["bad"], ["unlucky"], ["bad"]]


async def test_an_unknown_model_is_not_found(services: Services) -> None:
    with pytest.raises(NotFound) as caught:
        services.supervisor.worker("nothing", "k")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(StateRefused):
        await services.supervisor.stop("nothing")


async def test_unloading_while_it_loads_leaves_no_worker_behind(services: Services) -> None:
    supervisor = services.supervisor
    model = sealed(services)
    loading = asyncio.create_task(supervisor.start(model))
    await until(workers)
    await supervisor.stop(ID)
    with pytest.raises(StateRefused) as caught:
        await loading
    assert caught.value.code == "wrong_state"
    assert supervisor.status() == []
    assert workers() == []


def workers() -> list[bytes]:
    # A thread or a child may end between any two reads; then it is not counted.
    gone = contextlib.suppress(FileNotFoundError, ProcessLookupError)
    children: list[str] = []
    for task in list(Path("/proc/self/task").iterdir()):
        with gone:
            children += (task / "children").read_text().split()
    found = []
    for child in children:
        with gone:
            found.append(Path(f"/proc/{child}/cmdline").read_bytes())
    return [line for line in found if b"appliance.engine.worker" in line]


async def test_a_load_that_is_given_up_leaves_no_worker_behind(services: Services) -> None:
    supervisor = services.supervisor
    model = sealed(services)
    loading = asyncio.create_task(supervisor.start(model))
    await until(workers)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    model.close()
    assert supervisor.status() == [] and workers() == []


async def test_a_model_that_is_not_loaded_after_all_leaves_no_process(services: Services) -> None:
    supervisor, model = services.supervisor, sealed(services)
    model.close()
    supervisor.reserve(ID, model.facts)
    await until(workers)
    supervisor.release(ID)
    assert workers() == [] and supervisor.budget.taken == 0


async def test_a_start_that_fails_for_want_of_processes_is_tried_again(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crashes, "_BACKOFF_S", (0.0,))
    async with loaded(services) as supervisor:
        launch, failures = supervisor._launch, iter([OSError(11, "no processes")])

        async def flaky(served: Any, **more: Any) -> None:
            for failure in failures:
                raise failure
            await launch(served, **more)

        monkeypatch.setattr(supervisor, "_launch", flaky)
        await kill(supervisor)
        await until(supervisor.ready)


def test_only_a_verified_model_goes_in(services: Services) -> None:
    """The type says so; that nobody else makes one is a test of the trust package."""
    import inspect
    from typing import get_type_hints

    from appliance.trust.artifacts.store import VerifiedModel

    hints = get_type_hints(inspect.unwrap(Supervisor.start))
    assert hints["model"] is VerifiedModel


async def test_a_model_that_asks_for_cuda_is_refused_without_a_driver(services: Services) -> None:
    if driver_facts() is not None:
        pytest.skip("an NVIDIA driver is loaded on this host")
    config = Config(models={"default": ModelConfig(device="cuda")})
    recorded: list[object] = []

    async def record(kind: str, body: object) -> None:
        recorded.append((kind, body))

    supervisor = Supervisor(config, services.clock, record, lambda _: None, again(services))
    with pytest.raises(StateRefused) as caught:
        await supervisor.start(sealed(services))
    assert caught.value.code == "gpu_driver_missing"
    assert (supervisor.served(), recorded) == ([], [])


async def test_a_backend_that_does_not_load_in_the_worker_is_a_refusal(
    services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It loaded when it was tried, and is gone now: nothing computes on the processor instead."""
    plugin = Plugin("cuda13", tmp_path / "gone.so", 580, "13.0", ("90-real",), "0.3.36")
    gpus = (GpuMemory("NVIDIA H100", 80 << 30, 79 << 30),)
    found = Device(plugin, Driver("580.65.06"), Probe(gpus), Offload(31, 31, (31,), (1,)))
    monkeypatch.setattr(supervisor_module, "device_for", lambda *_: found)
    with pytest.raises(StateRefused) as caught:
        await services.supervisor.start(sealed(services))
    assert caught.value.code == "gpu_backend_failed"
    assert (services.supervisor.served(), services.supervisor.budget.taken) == ([], 0)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
async def test_a_model_answers_on_the_device_that_was_asked_for(
    smol_data: Path, device: str
) -> None:
    if device == "cuda" and driver_facts() is None:
        pytest.skip("no NVIDIA driver is loaded on this host")
    settings = replace(SMALL.model(ID), device=device)
    with open_services(smol_data, config=replace(SMALL, models={"default": settings})) as services:
        async with loaded(services) as supervisor:
            (status,) = supervisor.status()
            assert status.device.kind == device
            generation = await services.inference.start(caller(), request(max_tokens=2))
            text, _ = await collect(generation)
            assert text.strip().startswith("Paris")
            if device == "cuda":
                model = supervisor.find(ID)
                assert model is not None and model.device.load is not None
                assert sum(model.device.load.split) == model.device.load.layers > 0
