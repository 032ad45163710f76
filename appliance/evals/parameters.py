"""Parameters of an evaluation, checked before a job is stored.

Rules: a directory is named by an absolute path; a sealed split has no name here.
"""

from pathlib import Path
from typing import Final

import msgspec

from appliance.errors import EvaluationRefused

OPEN: Final = ("train", "dev")
"""The splits that may be named."""


class EvaluationWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of an evaluation.

    Attributes:
        task, data: ids of approved artifacts, or directories on the host.
        models: ids of models or adapters besides the task's own.
        baselines: measure the whole battery, not only the named models.
        packs: measure skills besides the task.
        limit: most items, the first by digest; 0 for all.
    """

    task: str
    data: str
    split: str = "dev"
    models: tuple[str, ...] = ()
    baselines: bool = True
    packs: bool = False
    limit: int = 0


def check(wanted: EvaluationWanted) -> None:
    """Raises EvaluationRefused (`evaluation_invalid`)."""
    if wanted.split not in OPEN:
        raise EvaluationRefused(
            "evaluation_invalid",
            f"{wanted.split[:40]!r} cannot be named: only train and dev are open.",
        )
    for name in (wanted.task, wanted.data):
        if is_path(name) and not Path(name).is_dir():
            raise EvaluationRefused("evaluation_invalid", f"{name[:200]} is no directory.")


def is_path(name: str) -> bool:
    """True for a directory: an id holds no slash."""
    return "/" in name
