"""Parameters of a tuning: the task, the base.

Rules: an unknown parameter is refused; sealed splits have no name here; before the job runs only
the task's definition is read.
"""

import math
from pathlib import Path

import msgspec

from appliance.errors import TuningRefused
from appliance.evals.parameters import EvaluationWanted as Evaluated
from appliance.host import at_rest
from appliance.tasks import definition
from appliance.tasks.loaded import MAX_FILE
from appliance.trust.bytes.directory import open_artifact
from appliance.tuning import forgetting
from appliance.tuning.settings import TuneSettings


class TuneWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a tuning.

    Attributes:
        task: a directory on the host.
        data: id of an approved dataset, or a directory on the host.
        base: a model of the store; "" for the candidate of the task.
        limit: most items of train, the first by digest; 0 for all.
        dev: most items of dev.
        seeds: number of runs, from the settings' seed on; the best on dev is exported.
        curve: train on shares of the rows, too, to judge whether more would help.
        plan: only estimate.
        most_forgotten: allowed loss on texts besides the task, in nats a token.
    """

    task: str
    data: str
    base: str = ""
    limit: int = 0
    dev: int = 200
    seeds: int = 1
    settings: TuneSettings = TuneSettings()
    curve: bool = False
    plan: bool = False
    most_forgotten: float = forgetting.MOST

    def split(self, name: str) -> Evaluated:
        limit = self.limit if name == "train" else self.dev
        return Evaluated(self.task, self.data, name, limit=limit)

    def base_of(self, task: definition.Task) -> str:
        """The named base, or the task's model. Raises TuningRefused (`tuning_invalid`)."""
        if not self.base and task.candidate.kind == "classifier":
            raise TuningRefused("tuning_invalid", "A classifier answers for the task: name a base.")
        return self.base or task.candidate.model

    def definition(self) -> definition.Task:
        """Raises TaskRefused; TuningRefused (`tuning_invalid`) where there is none."""
        try:
            text = at_rest.read(Path(self.task) / definition.FILE)
        except OSError as error:
            message = f"{definition.FILE}: {error.strerror}."
            raise TuningRefused("tuning_invalid", message) from error
        return definition.parse(text)


def check(wanted: TuneWanted) -> None:
    """Raises TuningRefused (`tuning_invalid`)."""
    counts = 1 <= wanted.seeds <= 16 and wanted.limit >= 0 and wanted.dev >= 1
    if not (counts and 0 < wanted.most_forgotten < math.inf):
        raise TuningRefused(
            "tuning_invalid",
            "Parameters: seeds are 1 to 16, dev is at least 1, most_forgotten is above 0.",
        )


def task_files(directory: Path, task: definition.Task) -> dict[str, bytes]:
    """The files of a task for any of its candidates: all but coefficients."""
    named = [definition.FILE, task.prompt.examples]
    if isinstance(task.output, definition.JsonForm):
        named.append(task.output.schema)
    with open_artifact(directory) as artifact:
        return {name: artifact.prefix(name, MAX_FILE) for name in named if name is not None}
