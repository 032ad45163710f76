"""The advice that was given last for each task: `DATA/advice/TASK.json`.

Rules: one file a task, replaced whole; what cannot be read is no advice.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from appliance.errors import Refused

DIRECTORY: Final = "advice"
ANY: Final = "any"
"""The name of advice that is about no task."""


@dataclass(frozen=True)
class Given:
    """One advice.

    Attributes:
        task: its id, or `ANY`.
        created: when, ISO 8601.
        document: as `verdict.document` writes it.
        html: its page.
    """

    task: str
    created: str
    document: dict[str, Any]
    html: str


def keep(directory: Path, given: Given) -> None:
    """Keep an advice in place of the one before."""
    directory.mkdir(mode=0o700, exist_ok=True)
    part = directory / f"{given.task}.part"
    part.write_text(json.dumps(asdict(given)), encoding="utf-8")
    part.replace(directory / f"{given.task}.json")


def last(directory: Path, task: str) -> Given:
    """The last advice for a task.

    Raises:
        Refused: `advice_missing`.
    """
    found = _read(directory / f"{task}.json")
    if found is None:
        raise Refused("advice_missing", f"There is no advice for {task}.")
    return found


def every(directory: Path) -> list[Given]:
    """The last advice for each task, by task."""
    found = (_read(path) for path in sorted(directory.glob("*.json")))
    return [each for each in found if each is not None]


def _read(path: Path) -> Given | None:
    try:
        return Given(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
