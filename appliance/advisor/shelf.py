"""The last advice for each task: `DATA/advice/TASK.json`.

Rules: one file a task, encrypted, replaced whole; an unreadable file is no advice.
"""

import json
from pathlib import Path
from typing import Final

from appliance.errors import Refused
from appliance.host import at_rest
from appliance.wire.admin.advice import Advice

DIRECTORY: Final = "advice"
ANY: Final = "any"
"""The name of advice that is about no task."""


def keep(directory: Path, given: Advice) -> None:
    """Keep an advice."""
    directory.mkdir(mode=0o700, exist_ok=True)
    part = directory / f"{given.task}.part"
    said = json.dumps(given.model_dump(mode="json")).encode()
    part.write_bytes(at_rest.sealed(part, said))
    part.replace(directory / f"{given.task}.json")


def last(directory: Path, task: str) -> Advice:
    """Raises Refused (`advice_missing`)."""
    found = _read(directory / f"{task}.json")
    if found is None:
        raise Refused("advice_missing", f"There is no advice for {task}.")
    return found


def every(directory: Path) -> list[Advice]:
    """The last advice for each task, by task."""
    found = (_read(path) for path in sorted(directory.glob("*.json")))
    return [each for each in found if each is not None]


def _read(path: Path) -> Advice | None:
    try:
        return Advice.model_validate(json.loads(at_rest.read(path)))
    except (OSError, ValueError):
        return None
