"""The findings of the kept replays: how many answers were the same, and which differ."""

import json
from dataclasses import dataclass
from typing import Final

from appliance.jobs.store import JobStore
from appliance.types import Told
from appliance.wire.admin.results import AnswersReplayed, read

KIND: Final = "replay"
_JOBS: Final = 50


@dataclass(frozen=True)
class Replays:
    """The findings of the newest jobs.

    Attributes:
        newest: the newest outcome that differs, and was not the same in a later job.
        told: each of these.
    """

    same: int
    differ: int
    newest: int | None
    told: tuple[Told, ...]


def replays_of(jobs: JobStore) -> Replays:
    """The findings of the jobs in a database."""
    settled, told, same, differ = set[int](), list[Told](), 0, 0
    for job in jobs.done(KIND, _JOBS):
        result = read(KIND, json.loads(job.result or "{}"))
        if not isinstance(result, AnswersReplayed):
            continue
        same, differ = same + result.same, differ + result.differs
        for one in result.answers:
            if one.verdict == "differs" and one.seq not in settled:
                where = "" if one.token is None else f" at token {one.token}"
                message = f"The answer of entry {one.seq} differs{where}: {one.why}."
                told.append(Told(str(one.seq), message, job.ended_us))
            if one.verdict != "cannot":
                settled.add(one.seq)
    return Replays(same, differ, int(told[0].subject) if told else None, tuple(told))
