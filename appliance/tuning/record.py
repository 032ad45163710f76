"""`training.json`: how an adapter came to be, signed next to it like any other file of it.

Rules: everything that the adapter follows from is named by digest or value, so that the same run
can be made again; it holds measurements and no wish. docs/tuning-guide.md says what is in it.
"""

import json
from pathlib import Path
from typing import Final

from appliance.errors import TuningRefused
from appliance.wire.admin.results import TrainingRecord

FILE: Final = "training.json"
TYPE: Final = "https://appliance.invalid/training/v1"


def document(facts: TrainingRecord) -> bytes:
    """The bytes of the file: one form for the same facts."""
    return json.dumps({"_type": TYPE, **facts.document}, sort_keys=True, indent=1).encode() + b"\n"


def read(adapter: Path) -> TrainingRecord:
    """The record in the directory of an adapter.

    Raises:
        TuningRefused: `report_missing`.
    """
    try:
        return TrainingRecord.model_validate(json.loads((adapter / FILE).read_bytes()))
    except FileNotFoundError as error:
        message = f"There is no {FILE}: the tuning has not come to an adapter."
        raise TuningRefused("report_missing", message) from error
    except ValueError as error:
        raise TuningRefused("report_missing", f"{FILE} cannot be read as a record.") from error
