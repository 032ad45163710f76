"""The check of a dataset as a job: the findings of `dataset check`, with the tokens of a model.

Rule: tokens are those of the model's own tokeniser, which runs where models run.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

from appliance.datasets.checks import check
from appliance.datasets.directory import Dataset
from appliance.datasets.duplicates import THRESHOLD
from appliance.errors import DatasetRefused
from appliance.jobs.kind import Context, JobKind
from appliance.types import Role
from appliance.wire.admin.results import DatasetChecked

MOST: Final = 2_000
_STEP: Final = 50


class CheckWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a check.

    Attributes:
        data: id of an approved dataset, or a directory on the host.
        model: whose tokens are counted; "" counts none.
    """

    data: str
    model: str = ""
    near: Annotated[float, Meta(ge=0.5, le=1)] = THRESHOLD


@dataclass(frozen=True)
class CheckParts:
    """Services that a check needs."""

    read: Callable[[str], Dataset]
    context: Callable[[str], int]
    tokens: Callable[[str, str], Awaitable[int]]


class Checking(JobKind[CheckWanted, DatasetChecked]):
    """The job."""

    name: ClassVar[str] = "dataset-check"
    form = CheckWanted
    malformed = (DatasetRefused, "dataset_check_invalid")
    unit: ClassVar[str] = "items"
    role: ClassVar[Role] = Role.OPERATOR
    heavy: ClassVar[bool] = True
    read_only: ClassVar[bool] = True

    def __init__(self, parts: CheckParts) -> None:
        self._parts = parts

    def check(self, params: CheckWanted) -> None:
        """Raises DatasetRefused (`dataset_unreadable`), NotFound (`model_not_found`)."""
        if "/" in params.data and not Path(params.data).is_dir():
            raise DatasetRefused("dataset_unreadable", f"{params.data[:200]} is no directory.")
        if params.model:
            self._parts.context(params.model)

    def title(self, params: CheckWanted) -> str:
        return Path(params.data).name

    def engine(self, params: CheckWanted) -> bool:
        """Only for the tokens of a model."""
        return bool(params.model)

    async def run(self, job: Context[CheckWanted]) -> DatasetChecked:
        wanted = job.params
        found = await job.in_thread(self._parts.read, wanted.data)
        items = list(found.items)
        counts: dict[str, int] = {}
        if wanted.model:
            for number, item in enumerate(items):
                if number % _STEP == 0:
                    job.report("counting tokens", number, len(items))
                if item.text not in counts:
                    counts[item.text] = await self._parts.tokens(wanted.model, item.text)
        job.report("comparing", len(items), len(items))
        context = self._parts.context(wanted.model) if wanted.model else None
        tokens = counts.__getitem__ if wanted.model else None
        report = await job.in_thread(check, found, wanted.near, tokens, context)
        return bounded(DatasetChecked.model_validate(report.document()))


def bounded(found: DatasetChecked) -> DatasetChecked:
    """Keep at most `MOST` examples of each problem; its counts stay whole."""
    return found.having(problems=[p.having(examples=p.examples[:MOST]) for p in found.problems])
