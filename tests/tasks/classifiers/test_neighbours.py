"""Nearest neighbours: votes, ties, and that the order of vectors does not matter."""

import numpy as np
import pytest

from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.neighbours import NeighbourModel, fit_neighbours

VECTORS: list[list[float]] = [[1, 0, 0], [0.9, 0.1, 0], [0, 1, 0], [0, 0.9, 0.2], [0, 0, 1]]
LABELS = ["a", "a", "b", "b", "c"]


def test_the_nearest_vote() -> None:
    fitted = fit_neighbours(VECTORS, LABELS, "e5")
    found = fitted.probabilities([[2, 0.1, 0], [0, 0.1, 5]])
    assert [fitted.labels[n] for n in found.argmax(axis=1)] == ["a", "c"]
    assert np.allclose(found.sum(axis=1), 1)
    assert found.min() > 0


def test_order_and_length_do_not_matter() -> None:
    random = np.random.default_rng(2)
    vectors = random.normal(size=(60, 8))
    labels = random.choice(list("abc"), 60).tolist()
    order = random.permutation(60)
    first = fit_neighbours(vectors, labels, "e5")
    again = fit_neighbours(vectors[order], [labels[n] for n in order], "e5")
    assert document.write(first) == document.write(again)
    asked = random.normal(size=(9, 8))
    assert np.allclose(first.probabilities(asked), first.probabilities(asked * 7))


def test_at_equal_distance_the_smaller_label_comes_first() -> None:
    fitted = fit_neighbours([[1, 0], [1, 0]], ["b", "a"], "e5", nearest=1)
    assert fitted.labels[int(fitted.probabilities([[1, 0]]).argmax())] == "a"


def test_it_survives_its_document() -> None:
    fitted = fit_neighbours(VECTORS, LABELS, "e5", nearest=3)
    again = document.read(document.write(fitted))
    assert isinstance(again, NeighbourModel)
    assert (again.embedder, again.nearest, again.labels) == ("e5", 3, ("a", "b", "c"))
    assert (again.probabilities(VECTORS) == fitted.probabilities(VECTORS)).all()


def test_what_cannot_be_fitted_or_asked() -> None:
    with pytest.raises(ValueError, match="each vector"):
        fit_neighbours(VECTORS, LABELS[:-1], "e5")
    with pytest.raises(ValueError, match="two labels"):
        fit_neighbours([[1, 0]], ["a"], "e5")
    with pytest.raises(ValueError, match="another model"):
        fit_neighbours(VECTORS, LABELS, "e5").probabilities([[1, 0]])
