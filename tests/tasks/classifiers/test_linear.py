"""The regression: what it reaches on real data, scored outside, and that a fit repeats."""

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.datasets.items import Item
from appliance.datasets.reading import read_items
from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.linear import Linear, fit_linear
from tests.conftest import CHECKOUT
from tests.datasets.examples import orders


def trained(items: list[Item]) -> Linear:
    pairs = [(item.text, item.label) for item in items if item.split == "train"]
    return fit_linear([text for text, _ in pairs], [label for _, label in pairs])


def score(source: Path, tmp_path: Path) -> dict[str, Any]:
    """Fit on train, answer test from the saved document, score in another process."""
    items = read_items(source)
    classifier = document.read(document.write(trained(items)))
    assert isinstance(classifier, Linear)
    tests = [item for item in items if item.split == "test"]
    found = classifier.probabilities([item.text for item in tests])
    answers = tmp_path / "answers.jsonl"
    with answers.open("w") as file:
        for item, row in zip(tests, found, strict=True):
            answer = classifier.labels[int(row.argmax())]
            file.write(json.dumps({"id": item.id, "answer": answer}) + "\n")
    script = CHECKOUT / "tests" / "oracles" / "score.py"
    done = subprocess.run(
        [sys.executable, "-I", script, source, answers], capture_output=True, check=True, text=True
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_excavators(excavators_path: Path, tmp_path: Path) -> None:
    found = score(excavators_path, tmp_path)
    assert found["items"] == 844
    assert found["majority"] == pytest.approx(0.169, abs=5e-4)
    assert found["accuracy"] == pytest.approx(0.727, abs=0.01)


@pytest.mark.slow
def test_licences(licences_path: Path, tmp_path: Path) -> None:
    assert score(licences_path, tmp_path)["accuracy"] >= 0.90


@pytest.mark.slow
@pytest.mark.parametrize(("n", "least"), [(100, 0.44), (300, 0.55), (1000, 0.65)])
def test_a_learning_curve(excavators_path: Path, n: int, least: float) -> None:
    items = read_items(excavators_path)
    tests = [item for item in items if item.split == "test"]
    every = [item for item in items if item.split == "train"]
    fitted = trained(random.Random(0).sample(every, n))
    answers = fitted.probabilities([item.text for item in tests]).argmax(axis=1)
    right = [fitted.labels[a] == item.label for a, item in zip(answers, tests, strict=True)]
    assert sum(right) / len(right) > least


def test_the_order_of_the_items_does_not_matter() -> None:
    items = orders(120)
    first = document.write(fit_linear([i.text for i in items], [i.label for i in items]))
    random.Random(1).shuffle(items)
    again = document.write(fit_linear([i.text for i in items], [i.label for i in items]))
    assert first == again


def test_another_process_fits_the_same(tmp_path: Path) -> None:
    program = (
        "import hashlib\n"
        "from appliance.tasks.classifiers import document\n"
        "from appliance.tasks.classifiers.linear import fit_linear\n"
        "from tests.datasets.examples import orders\n"
        "items = orders(120)\n"
        "fitted = fit_linear([i.text for i in items], [i.label for i in items])\n"
        "print(hashlib.sha256(document.write(fitted)).hexdigest())\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            check=True,
            text=True,
            cwd=CHECKOUT,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    items = orders(120)
    here = document.write(fit_linear([i.text for i in items], [i.label for i in items]))
    assert told == {hashlib.sha256(here).hexdigest()}


def test_probabilities() -> None:
    items = orders(90)
    fitted = fit_linear([i.text for i in items], [i.label for i in items])
    found = fitted.probabilities(["replace hose", "", "ünseen \ud83d\ude00 words"])
    assert found.shape == (3, len(fitted.labels))
    assert np.allclose(found.sum(axis=1), 1)
    assert fitted.labels[int(found[0].argmax())] == "hose"
    assert fitted.probabilities([]).shape == (0, len(fitted.labels))


def test_what_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="two labels"):
        fit_linear(["a", "b"], ["x", "x"])
    with pytest.raises(ValueError, match="each text"):
        fit_linear(["a"], ["x", "y"])
