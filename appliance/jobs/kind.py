"""Definition of a job's kind, and the services of its work.

Rules: parameters and result are structs, kept as JSON of at most `MAX_JSON` bytes, as a checkpoint
is; work stops only where it reports or checks, and in what it marks as safe to give up; a kind
keeps no state of one job.
"""

import asyncio
import contextvars
import hashlib
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar, Final, Generic, ParamSpec, TypeAlias

import msgspec
from typing_extensions import TypeVar

from appliance.errors import ApplianceError, BadRequest, StateRefused, Unavailable
from appliance.types import Role
from appliance.wire.admin.base import Request, Verbatim

JsonObject: TypeAlias = dict[str, Any]
_LOOK_S: Final = 0.1
_THREADS: Final = ThreadPoolExecutor(64, "job")
"""Of jobs alone: those of the event loop are for what is short, such as the cancel of a job."""
MAX_JSON: Final = 4 << 20
"""Most bytes of parameters, of a checkpoint and of a result."""
A = ParamSpec("A")
T = TypeVar("T")
P = TypeVar("P", bound=msgspec.Struct | Request, default=Any)
"""Parameters."""
R = TypeVar("R", bound=Verbatim, default=Any)
"""A result."""


class Stop(Unavailable):
    """Ends the work of a job at a safe point. A kind cleans up and lets it pass."""


class Waits(StateRefused):
    """The work waits for people: the job is paused until a person resumes it."""


class JobKind(Generic[P, R]):
    """A kind of job.

    Attributes:
        name: stable; in the database, the audit log and on the wire.
        malformed: the error of parameters of another form, and its code.
        role: needed to start, pause, resume or cancel it.
        heavy: it waits for its turn behind other heavy jobs of its queue.
        resumable: it can be paused, and continues from its checkpoint after a pause or a restart.
        read_only: it changes nothing, so it also runs while the audit log cannot be written.
    """

    name: ClassVar[str]
    form: type[P]
    malformed: ClassVar[tuple[type[ApplianceError], str]] = (BadRequest, "invalid_value")
    unit: ClassVar[str] = "bytes"
    role: ClassVar[Role] = Role.ADMIN
    heavy: ClassVar[bool] = False
    resumable: ClassVar[bool] = False
    read_only: ClassVar[bool] = False

    def read(self, params: str) -> P:
        form: Any = self.form
        found: P
        if issubclass(form, Request):
            found = form.of(**json.loads(params))
            return found
        try:
            found = msgspec.json.decode(params, type=form)
        except msgspec.MsgspecError as error:
            refusal, code = self.malformed
            raise refusal(code, f"Parameters: {error}.") from error
        return found

    def check(self, params: P) -> None:
        """Refuse parameters that cannot be meant. Raises Refused."""

    def kept(self, params: P) -> P:
        """The parameters for the job's record and the log; may block.

        A kind keeps elsewhere what must not stay for ever.
        """
        return params

    def title(self, params: P) -> str:
        return ""

    def key(self, params: P) -> str | None:
        """Key of equal jobs: a second start watches the first job."""
        return None

    def needs(self, params: P) -> int:
        return 0

    def engine(self, params: P) -> bool:
        """True if a heavy job needs an engine; others have a queue of their own. May block."""
        return True

    def wanted(self, params: P) -> bool:
        """True if a job is still wanted after its last watcher left."""
        return False

    async def run(self, job: "Context[P]") -> R:
        """Do the work. Raises Stop from `report` and `check`; Waits, in a resumable kind, where
        people have to do something first; ApplianceError where the job failed.
        """
        raise NotImplementedError


class ItemJob(JobKind[P, R]):
    """Heavy work on items, which operators start and may pause."""

    unit: ClassVar[str] = "items"
    role: ClassVar[Role] = Role.OPERATOR
    heavy: ClassVar[bool] = True
    resumable: ClassVar[bool] = True


AnyKind: TypeAlias = JobKind[Any, Any]


class Context(Generic[P]):
    """Services of one job's work. Callable from any thread.

    Attributes:
        checkpoint: what the work saved last; None at its first start.
        resumed: the work was under way before.
        created_us: when the job was made, wall time.
    """

    def __init__(
        self,
        job_id: int,
        actor: str,
        params: P,
        checkpoint: JsonObject | None,
        resumed: bool,
        created_us: int,
        report: Callable[[str, int, int], None],
        check: Callable[[], None],
        save: Callable[[JsonObject], None],
    ) -> None:
        self.id, self.actor, self.params = job_id, actor, params
        self.checkpoint, self.resumed = checkpoint, resumed
        self.created_us = created_us
        self._report, self._check, self._save = report, check, save

    def report(self, phase: str, done: int, total: int) -> None:
        """Report progress; here the work may stop. Raises Stop."""
        self._report(phase, done, total)
        self._check()

    def check(self) -> None:
        self._check()

    async def unless_stopped(self, work: Awaitable[T]) -> T:
        """Await work that may be cancelled at any point. Raises Stop once it was cancelled and has
        ended.
        """
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=_LOOK_S))[0]:
                self._check()
            return task.result()
        finally:
            if task.cancel():
                await asyncio.wait({task})

    def save(self, checkpoint: JsonObject) -> None:
        """Make finished work durable. Blocks for one write of the database."""
        self._save(checkpoint)
        self.checkpoint = checkpoint

    async def in_thread(self, work: Callable[A, T], *args: A.args, **kwargs: A.kwargs) -> T:
        call = partial(contextvars.copy_context().run, work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(_THREADS, call)


def dumps(value: JsonObject) -> str:
    """JSON for the database (`job_too_large`)."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True)
    if len(text) > MAX_JSON:
        message = f"{len(text)} bytes of JSON; a job keeps at most {MAX_JSON}."
        raise StateRefused("job_too_large", message)
    return text


def digest(result: JsonObject) -> str:
    """SHA-256 of a result as the database keeps it; the log names a result by it."""
    return hashlib.sha256(dumps(result).encode()).hexdigest()
