"""`training.json`: the origin of an adapter, signed next to it like any other file of it.

Rules: everything that the adapter follows from is named by digest or value, so that the same run
can be repeated; it holds measurements only. docs/tuning-guide.md describes it.
"""

import json
from pathlib import Path
from typing import Final

from appliance.errors import TuningRefused
from appliance.wire.admin.results import TrainingRecord

FILE: Final = "training.json"
TYPE: Final = "https://appliance.invalid/training/v1"


def document(facts: TrainingRecord) -> bytes:
    """The file's canonical bytes."""
    return json.dumps({"_type": TYPE, **facts.document}, sort_keys=True, indent=1).encode() + b"\n"


def read(adapter: Path) -> TrainingRecord:
    """The record in an adapter's directory. Raises TuningRefused (`report_missing`)."""
    try:
        return TrainingRecord.model_validate(json.loads((adapter / FILE).read_bytes()))
    except FileNotFoundError as error:
        message = f"There is no {FILE}: the tuning made no adapter."
        raise TuningRefused("report_missing", message) from error
    except ValueError as error:
        raise TuningRefused("report_missing", f"{FILE} cannot be read as a record.") from error
