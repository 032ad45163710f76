"""A task of each form and kind, as its author would write it."""

import numpy as np

from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.linear import fit_linear
from appliance.tasks.classifiers.neighbours import fit_neighbours

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

CLASSIFIER = (
    LABELS.split("[candidate]")[0]
    + """[candidate]
kind = "classifier"
classifier = "classifier.json"

[prompt]"""
    + LABELS.split("[prompt]")[1]
)
BLEND = LABELS.replace(
    "[candidate]", '[candidate]\nkind = "blend"\nclassifier = "classifier.json"\nweight = 0.5'
)
_ORDERS = {
    "hydraulics": ("hose leaks", "pump noisy", "cylinder leaks oil"),
    "engine": ("piston broken", "oil filter", "turbo noisy"),
    "electrical": ("lamp broken", "cable torn", "battery flat"),
}


def coefficients(without: str = "") -> str:
    pairs = [(text, name) for name, texts in _ORDERS.items() if name != without for text in texts]
    fitted = fit_linear([text for text, _ in pairs], [name for _, name in pairs])
    return document.write(fitted).decode()


def by_vectors(embedder: str) -> str:
    return document.write(fit_neighbours(np.eye(3), sorted(_ORDERS), embedder)).decode()
