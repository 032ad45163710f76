"""`classifier.json`: what is written is read, and everything else is refused."""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import Refused
from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.linear import Linear, fit_linear
from appliance.tasks.classifiers.neighbours import fit_neighbours

TEXTS = ["hose leaks", "hose cracked", "engine hot", "engine noisy"]
LABELS = ["hose", "hose", "engine", "engine"]
LINEAR = document.write(fit_linear(TEXTS, LABELS))
NEIGHBOURS = document.write(fit_neighbours(np.eye(4), LABELS, "e5"))


def changed(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    table = json.loads(data)
    change(table)
    return json.dumps(table).encode()


def refused(data: bytes) -> str:
    with pytest.raises(Refused) as found:
        document.read(data)
    return found.value.code


def test_what_is_written_is_read() -> None:
    again = document.read(LINEAR)
    assert isinstance(again, Linear)
    assert document.write(again) == LINEAR
    assert (again.probabilities(TEXTS) == fit_linear(TEXTS, LABELS).probabilities(TEXTS)).all()


def floats(*values: float) -> str:
    return base64.b64encode(np.array(values, dtype="<f4").tobytes()).decode()


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update(format=2),
        lambda t: t.update(kind="pickle"),
        lambda t: t.update(more=1),
        lambda t: t.update(labels=["only"]),
        lambda t: t.update(labels=["hose", "engine"]),
        lambda t: t.update(labels=["engine", "hose", "pump"]),
        lambda t: t.pop("weights"),
        lambda t: t.update(weights="%%%"),
        lambda t: t.update(weights=t["weights"][:-8]),
        lambda t: t.update(intercepts=floats(1, float("nan"))),
        lambda t: t.update(intercepts=floats(1)),
        lambda t: t["words"].update(features=["a"]),
        lambda t: t["words"].update(weights=[0.0] * len(t["words"]["weights"])),
        lambda t: t["words"].update(weights=["1"] * len(t["words"]["weights"])),
        lambda t: t.update(words=[]),
    ],
)
def test_linear_documents_that_are_refused(change: Callable[[dict[str, Any]], object]) -> None:
    assert refused(changed(LINEAR, change)) == "coefficients_invalid"


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update(width=0),
        lambda t: t.update(width=5),
        lambda t: t.update(nearest=0),
        lambda t: t.update(places=[]),
        lambda t: t.update(places=[0, 0, 1, 2]),
        lambda t: t.update(places=[0, 0, 1, True]),
        lambda t: t.update(embedder=None),
        lambda t: t.update(vectors=floats(*[float("inf")] * 16)),
    ],
)
def test_neighbours_that_are_refused(change: Callable[[dict[str, Any]], object]) -> None:
    assert refused(changed(NEIGHBOURS, change)) == "coefficients_invalid"


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    assert refused(data) == "coefficients_invalid"
