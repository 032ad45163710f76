"""N-grams of texts; the weights are compared with scikit-learn's in tests/statistics."""

import pytest

from appliance.tasks.classifiers import ngrams
from appliance.tasks.classifiers.ngrams import characters, fit_vocabulary, words


def test_words_and_characters() -> None:
    assert list(words("Replace O-RING, hose.")) == [
        "replace",
        "ring",
        "hose",
        "replace ring",
        "ring hose",
    ]
    assert list(characters("ab c")) == [
        " a", "ab", "b ", " ab", "ab ", " ab ", " c", "c ", " c ",
    ]  # fmt: skip


def test_a_long_text_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "MOST_CHARACTERS", 5)
    assert list(words("hose leaks")) == ["hose"]


def test_the_features_that_most_texts_have_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "MOST", 2)
    vocabulary = fit_vocabulary(["hose leaks", "hose hot", "pump leaks", "hose leaks"])
    assert list(vocabulary.words.places) == ["hose", "leaks"]


def test_unknown_texts_are_empty_rows() -> None:
    vocabulary = fit_vocabulary(["hose leaks", "hose hot"])
    assert vocabulary.words.vector(words("zzz")) == {}
    assert vocabulary.words.vector([]) == {}
