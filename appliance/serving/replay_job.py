"""The job that computes recorded answers again, and the file that takes them to another appliance.

Rules:
- The log proves each answer before anything is computed: one that is not proved is never the same.
- Apps come first: answers are computed at batch priority, one at a time while an app has a request.
"""

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar, Final

from appliance import __version__
from appliance.audit import recorded_answer
from appliance.audit.appending import append
from appliance.audit.log import AuditLog, Draft
from appliance.audit.proof import check_proof
from appliance.audit.reader import LogReader
from appliance.audit.recorded_answer import RecordedAnswer
from appliance.audit.search import Query
from appliance.errors import ApplianceError, BadRequest, NotFound, Refused, StateRefused
from appliance.jobs.kind import Context, JobKind
from appliance.observability.metrics import Metrics
from appliance.serving.recorded_request import check
from appliance.serving.replaying import Replaying
from appliance.serving.replays import KIND, ReplayDifferences
from appliance.types import Json
from appliance.wire.admin.jobs import ReplayWanted
from appliance.wire.admin.results import AnswerReplayed, AnswersReplayed

AT_ONCE: Final = 4
_MOST_TOLD: Final = 1_000
_READ_WHOLE: Final = 20_000
"""Entries of which all outcomes are read; of more, entries are drawn until there are enough."""
_DRAWS: Final = 200
_UNPROVED: Final = ("audit_corrupt", "proof_invalid", "content_key_missing", "content_unavailable")


@dataclass(eq=False)
class ReplayJob(JobKind[ReplayWanted, AnswersReplayed]):
    """Computes recorded answers again; `replaying`'s argument restricts it to models in memory."""

    name: ClassVar[str] = KIND
    form = ReplayWanted
    unit: ClassVar[str] = "answers"

    reader: LogReader
    audit: AuditLog
    replaying: Callable[[bool], Replaying]
    busy: Callable[[], bool]
    metrics: Metrics
    differences: ReplayDifferences

    def check(self, params: ReplayWanted) -> None:
        """One way to name answers, and the key of another log with its file."""
        ways = [bool(params.seqs), params.sample > 0, bool(params.export)]
        if sum(ways) != 1:
            raise BadRequest("invalid_value", "Name entries, a sample or a file: one of these.")
        if bool(params.key) != bool(params.export) or (params.out and params.export):
            raise BadRequest("invalid_value", "A file of answers needs the first key of its log.")

    def title(self, params: ReplayWanted) -> str:
        if params.export:
            return f"answers of {params.export}"
        if params.sample:
            return f"a sample of {params.sample} answers"
        return f"{len(params.seqs)} answers" if params.seqs[1:] else f"entry {params.seqs[0]}"

    async def run(self, job: Context[ReplayWanted]) -> AnswersReplayed:
        wanted = job.params
        named = await job.in_thread(self._named, wanted)
        if wanted.out:
            return await self._written(job, named)
        told: list[AnswerReplayed] = []
        under_way: set[asyncio.Task[AnswerReplayed]] = set()
        replaying = self.replaying(wanted.here)
        try:
            for done, one in enumerate(named):
                job.report("computing", done - len(under_way), len(named))
                under_way.add(asyncio.create_task(self._one(job, replaying, one)))
                while len(under_way) >= (1 if self.busy() else AT_ONCE):
                    told += await _first(under_way)
            while under_way:
                told += await _first(under_way)
                job.report("computing", len(told), len(named))
        finally:
            for task in under_way:
                task.cancel()
            if under_way:
                await asyncio.wait(under_way)
        return await self._result(job, told)

    def _named(self, wanted: ReplayWanted) -> "list[int | bytes]":
        """Numbers of entries, or lines of a file."""
        if wanted.export:
            try:
                return list(Path(wanted.export).read_bytes().splitlines())
            except OSError as error:
                raise BadRequest("invalid_value", f"{wanted.export}: {error.strerror}.") from error
        if wanted.sample:
            fits = self._replayable if wanted.here else lambda seq: True
            return list(sample(self.reader, wanted.sample, wanted.since_us, fits))
        return list(wanted.seqs)

    async def _one(
        self, job: Context[ReplayWanted], replaying: Replaying, one: int | bytes
    ) -> AnswerReplayed:
        """The verdict on one answer; an unproved one cannot be the same."""
        try:
            answer = await job.in_thread(self._proved, one, job.params.key.encode())
            found = await replaying.verdict(answer)
        except (Refused, NotFound) as error:
            found = await job.in_thread(self._unread, one, error)
        if isinstance(one, int):  # of this log
            found = await job.in_thread(self._of_this_release, found)
            await job.in_thread(self.differences.take, found, bool(job.params.seqs))
        return found

    def _unread(self, one: int | bytes, error: ApplianceError) -> AnswerReplayed:
        why = error.message if error.code == "replay_impossible" else str(error)
        told = AnswerReplayed(seq=-1, verdict="cannot", why=why, proved=True, lasting=True)
        unproved = error.code in _UNPROVED
        if isinstance(one, bytes):
            return told.model_copy(update={"proved": not unproved})
        seqs = (one, one)
        with contextlib.suppress(Refused, NotFound):
            seqs = recorded_answer.bodies(self.reader, one).seqs
        proved = not unproved or any(map(self.reader.erased, seqs))
        return told.model_copy(update={"seq": seqs[1] if unproved else one, "proved": proved})

    def _of_this_release(self, found: AnswerReplayed) -> AnswerReplayed:
        if found.verdict != "differs":
            return found
        before = Query(kind="start", before=found.seq, newest_first=True, limit=1)
        with contextlib.suppress(Refused):
            for start in self.reader.search(before).entries:
                proved = check_proof(self.reader.proof(start.seq), self.reader.genesis()).body
                if (release := proved.get("release", "unknown")) != __version__:
                    why = f"release {release} computed it, and this is {__version__}: {found.why}"
                    changed = {"verdict": "cannot", "why": why, "lasting": True}
                    return found.model_copy(update=changed)
        return found

    def _replayable(self, seq: int) -> bool:
        try:
            found = recorded_answer.bodies(self.reader, seq)
            check(found.intent, found.outcome)
        except StateRefused:
            return False
        except (Refused, NotFound):  # the replay tells it
            return True
        return True

    def _proved(self, one: int | bytes, key: bytes) -> RecordedAnswer:
        if isinstance(one, bytes):
            return recorded_answer.of_line(one, key)
        found = recorded_answer.bodies(self.reader, one)
        check(found.intent, found.outcome)
        return recorded_answer.opened(self.reader, found.seqs)

    async def _written(
        self, job: Context[ReplayWanted], named: "list[int | bytes]"
    ) -> AnswersReplayed:
        reasons = Counter[str]()

        def write() -> int:
            count = 0
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(job.params.out, flags, 0o600), "wb") as file:
                for seq in named:
                    job.report("writing", count, len(named))
                    if isinstance(seq, int):
                        try:
                            found = recorded_answer.bodies(self.reader, seq)
                            check(found.intent, found.outcome)
                            file.write(recorded_answer.line_of(self.reader, found.seqs) + b"\n")
                            count += 1
                        except (Refused, NotFound) as error:
                            reasons[error.message] += 1
            return count

        try:
            written = await job.in_thread(write)
        except OSError as error:
            raise BadRequest("invalid_value", f"{job.params.out}: {error.strerror}.") from error
        fields: dict[str, Json] = {
            "actor": job.actor, "format": "answers", "entries": written, "texts": True
        }  # fmt: skip
        await append(self.audit, Draft("export", fields))
        return AnswersReplayed(
            same=0, differs=0, cannot=sum(reasons.values()), reasons=dict(reasons), answers=[],
            written=written,
        )  # fmt: skip

    async def _result(
        self, job: Context[ReplayWanted], told: list[AnswerReplayed]
    ) -> AnswersReplayed:
        counts = Counter(one.verdict for one in told)
        for verdict, count in counts.items():
            self.metrics.replays.labels(verdict).inc(count)
        fields: dict[str, Json] = {
            "action": KIND, "actor": job.actor, "job": job.id, "same": counts["same"],
            "differs": counts["differs"], "cannot": counts["cannot"],
            "entries": [one.seq for one in shown(told, named=False)[:100]],
        }  # fmt: skip
        await append(self.audit, Draft("admin", fields))
        return AnswersReplayed.model_validate({
            **{verdict: counts[verdict] for verdict in ("same", "differs", "cannot")},
            "reasons": dict(Counter(one.why for one in told if one.verdict == "cannot")),
            "unproved": sum(not one.proved for one in told),
            "answers": [one.document for one in shown(told, named=bool(job.params.seqs))],
        })  # fmt: skip


def shown(told: Iterable[AnswerReplayed], *, named: bool) -> list[AnswerReplayed]:
    """Those that differ, then the others if they were named."""
    ordered = sorted(told, key=lambda one: (one.verdict != "differs", one.seq))
    return [one for one in ordered if named or one.verdict == "differs"][:_MOST_TOLD]


def sample(
    reader: LogReader, count: int, since_us: int, fits: Callable[[int], bool] = lambda seq: True
) -> Iterator[int]:
    """Numbers of outcomes that fit, drawn without replacement."""
    dice = random.SystemRandom()
    first, end = _begin(reader, since_us), reader.size
    if end - first <= max(_READ_WHOLE, 4 * count):
        outcomes = [entry.seq for entry in reader.since(first, end, ("outcome",))]
        dice.shuffle(outcomes)
        yield from sorted(islice(filter(fits, outcomes), count))
        return
    seen: set[int] = set()
    for _ in range(_DRAWS * count):
        if len(seen) == count:
            break
        seq = dice.randrange(first, end)
        if seq not in seen and reader.entry(seq).kind == "outcome" and fits(seq):
            seen.add(seq)
    yield from sorted(seen)


def _begin(reader: LogReader, since_us: int) -> int:
    page = reader.search(Query(since_us=since_us, limit=1))
    while not page.entries and page.resume is not None:
        page = reader.search(Query(since_us=since_us, limit=1, after=page.resume))
    return page.entries[0].seq if page.entries else reader.size


async def _first(under_way: set[asyncio.Task[AnswerReplayed]]) -> Iterable[AnswerReplayed]:
    """The next verdicts; their tasks leave `under_way`."""
    done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    under_way -= done
    return [task.result() for task in done]
