"""The features that decide: they add up to the score, and a planted word stands first."""

import numpy as np
import pytest

from appliance.tasks.classifiers.linear import fit_linear
from appliance.tasks.classifiers.weights import decided, strongest
from tests.datasets.examples import orders


def test_what_a_text_adds_up_to_is_what_the_model_says() -> None:
    items = orders(300)
    model = fit_linear([item.text for item in items], [item.label for item in items])
    for item in items[:20]:
        found = decided(model, item.text)
        shares = model.probabilities([item.text])[0]
        names = [model.labels[n] for n in np.argsort(-shares)[:2]]
        assert [found.answer, found.against] == names
        score = found.start + sum(feature.weight for feature in found.features)
        apart = np.sort(shares)[::-1]
        assert score == pytest.approx(float(np.log(apart[0] / apart[1])), abs=1e-4)


def test_the_word_that_makes_a_label_stands_first() -> None:
    texts = ["alpha shared words", "beta shared words", "gamma shared words"] * 20
    model = fit_linear(texts, ["a", "b", "c"] * 20)
    assert strongest(model, "a", 1)[0].name in ("alpha", "alpha shared")
    found = {feature.name: feature.weight for feature in strongest(model, "a", 1_000)}
    assert found.get("shared words", 0) < 0.05 * found["alpha"]
    assert decided(model, "beta shared words").features[0].name.strip("'") in "beta shared"
    assert decided(model, "nothing known").features == ()
    with pytest.raises(ValueError):
        strongest(model, "z", 1)
