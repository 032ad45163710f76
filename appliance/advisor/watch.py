"""The job that looks at a task's requests in the log, week by week, and its file.

Rules: only whole past weeks are read, each once; the appliance's own requests do not count; texts
are read only of keys whose owners agreed to examples, and their reading is recorded; an alarm is
recorded, then ends the certificates of routes that rest on the task and do not ask for a warning
only, and suspends the task where the configuration says so; starting again is recorded with its
reason.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from appliance.advisor import drift
from appliance.advisor.blocks import FEWEST, WEEK_US, WeekObserved, block, profile, week_of
from appliance.advisor.drift import Watch, looked
from appliance.audit.appending import append
from appliance.audit.entry import LogEntry
from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.audit.search import MAX_LIMIT, Query
from appliance.clock import Clock
from appliance.datasets import capture
from appliance.errors import AuditRefused, EvaluationRefused, NotFound, Refused
from appliance.host import at_rest
from appliance.jobs.kind import Context, JobKind
from appliance.serving.inference import OWN
from appliance.types import Json, Role, Told
from appliance.wire.admin.results import DriftFinding, DriftResult

DIRECTORY: Final = "drift"
_DAY_US: Final = WEEK_US // 7
_READ_A_DAY: Final = 100
"""Requests of a day whose texts and passages are read; of all, the first 1,000 are counted."""
_PAGES_A_DAY: Final = 20
"""Pages of the log that are read to find them among what the appliance asked itself."""
_MOST_WEEKS: Final = 520
_THIRTEEN_MONTHS: Final = 56
"""Weeks."""


class WatchWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters: the id of the task."""

    task: str


@dataclass(frozen=True)
class WatchParts:
    """Services that the job uses.

    Attributes:
        agreed: whether the owners of a key, by its id, agreed to examples.
        overridden: whether a person's label differs from the answer; None without a label.
        suspend: takes a task out of service; None, and the first 13 months of a reference, which
            knows no season twice, leave it at an alarm.
    """

    directory: Path
    reader: LogReader
    audit: AuditLog
    agreed: Callable[[str], bool]
    overridden: Callable[[str], bool | None]
    withdraw: Callable[[str, str], None]
    suspend: Callable[[str, Refused], Awaitable[object]] | None
    clock: Clock


class Watching(JobKind[WatchWanted, DriftResult]):
    """The job."""

    name: ClassVar[str] = "drift"
    form = WatchWanted
    malformed = (EvaluationRefused, "drift_missing")
    unit: ClassVar[str] = "weeks"
    role: ClassVar[Role] = Role.OPERATOR

    def __init__(self, parts: WatchParts) -> None:
        self._parts = parts

    def check(self, params: WatchWanted) -> None:
        if not params.task or "/" in params.task or params.task.startswith("."):
            raise EvaluationRefused("drift_missing", f"{params.task!r} is no task.")

    def title(self, params: WatchWanted) -> str:
        return params.task

    def key(self, params: WatchWanted) -> str | None:
        """One at a time for each task."""
        return f"drift {params.task}"

    async def run(self, job: Context[WatchWanted]) -> DriftResult:
        self.check(job.params)
        parts, task = self._parts, job.params.task
        before = await job.in_thread(_before, parts.directory, task)
        read: list[Json] = []
        watch = await job.in_thread(_read_weeks, parts, before, job, read)
        if read:
            await append(parts.audit, _reading(job.actor, task, read))
        found = watch.alarm is not None and before.alarm is None
        if found:
            suspends = parts.suspend is not None and _knows_seasons(watch)
            await append(parts.audit, _alarm(job.actor, watch, suspends))
            # Before the alarm is kept: a job that is killed here does it again.
            if suspends:
                await job.in_thread(parts.withdraw, task, watch.sentence().rstrip("."))
        await job.in_thread(keep, parts.directory, watch)
        if found and parts.suspend is not None and _knows_seasons(watch):
            await parts.suspend(task, Refused("drift_found", watch.sentence()))
        return result(watch)


def result(watch: Watch) -> DriftResult:
    """Result of a watch, for people."""
    return DriftResult(
        task=watch.task,
        state=watch.state,
        answer=watch.sentence(),
        weeks=len(watch.blocks),
        last_week=watch.last_week,
        findings=[_finding(each).having(alarm=each.alarm) for each in watch.findings[-2:]],
        alarm=None if watch.alarm is None else _finding(watch.alarm),
        statistics=sorted(watch.blocks[-1].values) if watch.blocks else [],
    )


def _finding(found: drift.WindowFinding) -> DriftFinding:
    return DriftFinding.model_validate(asdict(found))


def load(directory: Path, task: str) -> Watch:
    """Raises Refused (`drift_missing`)."""
    try:
        return msgspec.json.decode(at_rest.read(directory / f"{task}.json"), type=Watch)
    except (OSError, msgspec.MsgspecError) as error:
        raise Refused("drift_missing", f"{task} was not looked at.") from error


def keep(directory: Path, watch: Watch) -> None:
    """Keep a watch."""
    directory.mkdir(mode=0o700, exist_ok=True)
    part = directory / f"{watch.task}.part"
    part.write_bytes(at_rest.sealed(part, msgspec.json.encode(watch)))
    part.replace(directory / f"{watch.task}.json")
    alarm = directory / f"{watch.task}.alarm"
    if watch.alarm is None:
        alarm.unlink(missing_ok=True)
    else:
        alarm.write_bytes(at_rest.sealed(alarm, watch.sentence().encode()))


def alarms(directory: Path) -> list[Told]:
    """Each task with an alarm, until its watch begins again."""
    return [
        Told(
            path.stem,
            f"Task {path.stem}: {at_rest.read(path).decode()}",
            path.stat().st_mtime_ns // 1_000,
        )
        for path in sorted(directory.glob("*.alarm"))
    ]


def begin_again(directory: Path, task: str, now_us: int) -> Watch:
    """Learn a new reference from the next week on, keeping the earlier file; raises as `load`."""
    load(directory, task)
    path = directory / f"{task}.json"
    path.replace(directory / f"{task}.{week_of(now_us)}.before")
    watch = Watch(task, last_week=week_of(now_us))
    keep(directory, watch)
    return watch


def _before(directory: Path, task: str) -> Watch:
    try:
        return load(directory, task)
    except Refused:
        return Watch(task)


def _read_weeks(
    parts: WatchParts, watch: Watch, job: Context[WatchWanted], read: list[Json]
) -> Watch:
    now = week_of(parts.clock.wall_us())
    start = watch.last_week
    if start is None:
        start = _first(parts.reader, watch.task)
    if start is None:
        return watch
    weeks = range(max(start + 1, now - _MOST_WEEKS), now)
    for number, week in enumerate(weeks):
        job.report("reading", number, len(weeks))
        seen = [each for day in range(7) for each in _day(parts, watch.task, week, day, read)]
        if watch.profile is None:
            known = profile(week, seen) if len(seen) >= FEWEST else None
            watch = replace(watch, profile=known, last_week=week)
            continue
        found = block(week, seen, watch.profile)
        watch = replace(watch, last_week=week) if found is None else looked(watch, found)
    return watch


def _first(reader: LogReader, task: str) -> int | None:
    """Week of the first answer, whose request may have come earlier."""
    entries = reader.search(Query(kind="outcome", model=task, limit=1)).entries
    return week_of(entries[0].time_us) if entries else None


def _day(
    parts: WatchParts, task: str, week: int, day: int, read: list[Json]
) -> Iterator[WeekObserved]:
    begin = week * WEEK_US + day * _DAY_US
    entries = list(_entries(parts.reader, task, begin))
    step = max(1, -(-len(entries) // _READ_A_DAY))
    for number, entry in enumerate(entries):
        if entry.body.get("status") in ("cancelled", "unknown"):
            continue
        yield _observed(parts, entry, read, whole=number % step == 0)


def _entries(reader: LogReader, task: str, begin: int) -> Iterator[LogEntry]:
    """Evaluations and self-tests ask under keys of no app."""
    after, left = None, MAX_LIMIT
    for _ in range(_PAGES_A_DAY):
        page = reader.search(
            Query(
                kind="outcome",
                model=task,
                since_us=begin,
                until_us=begin + _DAY_US,
                after=after,
                limit=MAX_LIMIT,
            )
        )
        asked = [entry for entry in page.entries if entry.body.get("key_id") not in OWN][:left]
        yield from asked
        left -= len(asked)
        after = page.resume
        if after is None or not left:
            return


def _observed(parts: WatchParts, entry: LogEntry, read: list[Json], *, whole: bool) -> WeekObserved:
    body = entry.body
    sure, asked, told = map(body.get, ("confidence_ppm", "prompt_tokens", "completion_tokens"))
    code = str(body.get("finish", ""))
    seen = WeekObserved(
        entry.time_us,
        failed=body.get("status") != "ok" and code != "task_deferred",
        cut=code == "length",
        deferred=code == "task_deferred",
        prompt_tokens=asked if isinstance(asked, int) else 0,
        answer_tokens=told if isinstance(told, int) else 0,
        confidence=sure / 1e6 if isinstance(sure, int) else None,
    )
    return _looked_into(parts, entry, seen, read) if whole else seen


def _looked_into(
    parts: WatchParts, entry: LogEntry, seen: WeekObserved, read: list[Json]
) -> WeekObserved:
    seen = replace(seen, overridden=parts.overridden(str(entry.body.get("request_id", ""))))
    try:
        intent = parts.reader.entry(int(str(entry.body["intent"])))
    except NotFound:
        return seen  # pruned
    found = intent.body.get("retrieved")
    if isinstance(found, dict):
        seen = replace(seen, missed=not found.get("passages"))
    key = str(intent.body.get("key_id", ""))
    if not parts.agreed(key):
        return seen
    prompt = _text(parts.reader, intent.seq, "prompt")
    item = None if prompt is None else capture.item("r", "a", seen.time_us, prompt, masks=False)
    answer = _text(parts.reader, entry.seq, "completion")
    if prompt is not None:
        read.append(intent.seq)
    if answer is not None:
        read.append(entry.seq)
    return replace(
        seen,
        text=None if item is None else item.text,
        answer=None if answer is None else answer.decode("utf-8", "replace"),
    )


def _text(reader: LogReader, seq: int, name: str) -> bytes | None:
    try:
        return reader.content(seq, name)
    except AuditRefused as error:
        if error.code != "content_unavailable":
            raise
        return None  # erased, or never kept


def _reading(actor: str, task: str, read: list[Json]) -> Draft:
    numbers = [number for number in read if isinstance(number, int)]
    return Draft.deed(
        "content_read",
        actor,
        purpose="drift",
        task=task,
        texts=len(numbers),
        first=min(numbers),
        last=max(numbers),
    )


def _knows_seasons(watch: Watch) -> bool:
    """True if the reference has seen a month of the year twice."""
    first, last = watch.profile, watch.last_week
    return first is not None and last is not None and last - first.week >= _THIRTEEN_MONTHS


def _alarm(actor: str, watch: Watch, suspends: bool) -> Draft:
    found = watch.alarm
    if found is None:
        raise RuntimeError("there is no alarm")
    return Draft.deed(
        "drift_alarm",
        actor,
        task=watch.task,
        statistic=found.statistic,
        weeks=found.window,
        last_week=found.week,
        rank_ppm=round(1e6 * found.rank),
        level_ppm=round(1e6 * found.level),
        suspends=suspends,
    )
