"""A task of each form, as its author would write it."""

LABELS = """
id = "excavator-system"
version = 1
description = "Work order to the system of the machine."
input = [{ name = "text", max_chars = 500 }]

[candidate]
model = "smollm2-135m"
digest = "16399c58348341f1727030d1fc312a7fb25819f69fcbb6d15fd0687f698a49c4"

[prompt]
system = "Name the system that the work order is about."
user = "Work order: {{ text }}"

[output]
form = "labels"
labels = ["hydraulics", "engine", "electrical"]

[gate]
metric = "exact_match"
margin = 0.05
"""

FIELDS = (
    LABELS.split("[output]")[0]
    + """[output]
form = "fields"
schema = "schema.json"
encoding = "values"

[gate]
metric = "field_accuracy"
margin = 0.05
"""
)

SCHEMA = {
    "type": "object",
    "properties": {
        "part": {"type": ["string", "null"], "maxLength": 40},
        "side": {"enum": ["left", "right", None]},
        "hours": {"type": "number"},
        "count": {"type": "integer"},
        "urgent": {"type": "boolean"},
        "note": {"type": "string"},
    },
    "required": ["part", "side", "hours", "count", "urgent", "note"],
    "additionalProperties": False,
}
