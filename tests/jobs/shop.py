"""Jobs over a real database and a real log, with kinds that tests steer."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import msgspec

from appliance.audit.log import AuditLog
from appliance.audit.reader import LogReader
from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.errors import StateRefused
from appliance.jobs import store
from appliance.jobs.jobs import Jobs, ShownJob
from appliance.jobs.kind import Context, JobKind, Waits
from appliance.jobs.live import Live
from appliance.jobs.runner import Memory
from appliance.jobs.states import JobState
from appliance.jobs.store import JobStore
from appliance.types import Json
from appliance.wire.admin.base import Verbatim
from tests.audit.logs import new_log, open_log


class Nothing(msgspec.Struct):
    """No parameters; whatever is given is left out."""


class Count(msgspec.Struct, frozen=True):
    to: int = 0
    key: str | None = None
    needs: int = 0
    fail: str = ""
    waits: bool = False
    crash: bool = False


class Counted(Verbatim):
    counted: int = 0
    actor: str = ""


class Counting(JobKind[Count, Counted]):
    """Counts to `to`, one step a turn of the loop; stops where `hold` holds it."""

    name: ClassVar[str] = "count"
    form = Count
    unit: ClassVar[str] = "steps"
    resumable: ClassVar[bool] = True

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun: list[int] = []
        """At which number each run began."""
        self.running = 0
        self.most = 0
        self.needed = self.served = False

    def check(self, params: Count) -> None:
        if params.to < 0:
            raise StateRefused("invalid_value", "to is negative.", param="to")

    def title(self, params: Count) -> str:
        return f"to {params.to}"

    def key(self, params: Count) -> str | None:
        return params.key

    def needs(self, params: Count) -> int:
        return params.needs

    def wanted(self, params: Count) -> bool:
        return self.needed

    async def run(self, job: Context[Count]) -> Counted:
        done = (job.checkpoint or {"done": 0})["done"]
        self.begun.append(done)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            while done < job.params.to:
                job.report("counting", done, job.params.to)
                await self.gate.wait()
                done += 1
                await job.in_thread(job.save, {"done": done})
            if job.params.fail:
                raise StateRefused(job.params.fail, "It was asked to fail.")
            if job.params.waits and not self.served:
                self.served = True
                raise Waits("gate_labels_wanted", "People come first.")
            if job.params.crash:
                raise RuntimeError("a mistake in the code")
            return Counted(counted=done, actor=job.actor)
        finally:
            self.running -= 1


class Heavy(Counting):
    name: ClassVar[str] = "heavy"
    heavy: ClassVar[bool] = True


class Short(Heavy):
    name: ClassVar[str] = "short"

    def engine(self, params: Count) -> bool:
        return False


class Silent(JobKind[Nothing, Counted]):
    form = Nothing
    name: ClassVar[str] = "silent"
    resumable: ClassVar[bool] = True

    def __init__(self) -> None:
        self.given_up = 0

    async def run(self, job: Context[Nothing]) -> Counted:
        async def never() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up += 1

        job.report("waiting", 0, 0)
        await job.unless_stopped(never())
        return Counted()


class Once(Counting):
    name: ClassVar[str] = "once"
    resumable: ClassVar[bool] = False


class Looking(Once):
    name: ClassVar[str] = "look"
    read_only: ClassVar[bool] = True


class InThread(JobKind[Nothing, Counted]):
    form = Nothing
    name: ClassVar[str] = "thread"

    def __init__(self) -> None:
        self.seen = threading.Event()

    async def run(self, job: Context[Nothing]) -> Counted:
        def work() -> None:
            done = 0
            while True:
                job.report("working", done, 0)
                self.seen.set()
                done += 1

        await job.in_thread(work)
        return Counted()


class Purse:
    def __init__(self) -> None:
        self.held: dict[str, int] = {}

    async def hold(self, job: str, size: int) -> None:
        if sum(self.held.values()) + size > 100:
            raise StateRefused("insufficient_memory", f"{job} needs {size} bytes.")
        self.held[job] = size

    def free(self, job: str) -> None:
        self.held.pop(job, None)


class Shop:
    def __init__(self, directory: Path, memory: Memory | None = None, **limits: int) -> None:
        self.directory = directory
        self.count, self.heavy, self.once, self.look = Counting(), Heavy(), Once(), Looking()
        self.thread, self.short, self.silent = InThread(), Short(), Silent()
        self.database = open_database(directory / "appliance.db", (store.TABLES,))
        log = directory / "audit"
        self.audit: AuditLog = open_log(log if log.exists() else new_log(log))
        self.store = JobStore(self.database, FixedClock(), limits.pop("keep", 1_000))
        kinds = (self.count, self.heavy, self.once, self.look, self.thread, self.short, self.silent)
        self.jobs = Jobs(self.store, self.audit, kinds, memory, **limits)

    async def until(self, job_id: int, state: JobState) -> ShownJob:
        while (shown := await self.jobs.get(job_id)).job.state is not state:
            await asyncio.sleep(0.005)
        return shown

    async def held(self, kind: Counting, **params: object) -> Live:
        kind.gate.clear()
        live = await self.jobs.start(kind.name, {"to": 3, **params}, "uid:1")
        await self.until(live.job.id, JobState.RUNNING)
        while not live.progress.phase:
            await asyncio.sleep(0.005)
        return live

    def entries(self, kind: str) -> list[Mapping[str, Json]]:
        reader = LogReader(self.directory / "audit")
        try:
            return [entry.body for entry in reader.tail(1_000) if entry.kind == kind]
        finally:
            reader.close()

    def close(self) -> None:
        self.audit.close()
        self.database.dispose()


@contextlib.contextmanager
def shop(directory: Path, memory: Memory | None = None, **limits: int) -> Iterator[Shop]:
    made = Shop(directory, memory, **limits)
    try:
        yield made
    finally:
        made.close()
