"""A task of fields in the encoding `values`: an order's system, and a side that is null."""

import json
from pathlib import Path

from tests.evals.orders import TASK, WORDS, write_task

SCHEMA = {
    "type": "object",
    "properties": {"side": {"enum": ["left", "right", None]}, "system": {"enum": list(WORDS)}},
    "required": ["side", "system"],
    "additionalProperties": False,
}
TEXT = (
    TASK.split("[output]")[0]
    + """[output]
form = "fields"
schema = "schema.json"
encoding = "values"

[gate]
metric = "field_accuracy"
margin = 0.05
"""
)


def write_fields(path: Path, data: Path) -> Path:
    """Write the task; items of the dataset get fields in place of labels."""
    for split in ("train", "dev"):
        file = data / f"{split}.jsonl"
        items = [json.loads(line) for line in file.read_text().splitlines()]
        for item in items:
            item["expected"] = {"side": None, "system": item["expected"]}
        file.write_text("".join(f"{json.dumps(item)}\n" for item in items))
    return write_task(path, TEXT, schema_json=json.dumps(SCHEMA))
