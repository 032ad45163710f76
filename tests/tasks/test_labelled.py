"""A distribution becomes an answer; a classifier reads what it was fitted to."""

import numpy as np
import pytest

from appliance.tasks import labelled
from appliance.tasks.definition import LabelForm
from tests.tasks.example import BLEND, CLASSIFIER, LABELS, by_vectors, coefficients
from tests.tasks.test_loaded import MINILM, loaded

TASK = loaded(CLASSIFIER, classifier_json=coefficients())


def test_a_classifier_reads_the_fields_in_the_order_of_the_task() -> None:
    toml = LABELS.replace(
        'input = [{ name = "text", max_chars = 500 }]',
        'input = [{ name = "text" }, { name = "part", required = false }, { name = "site" }]',
    )
    task = loaded(toml).task
    assert labelled.text_of(task, {"site": "north", "part": "", "text": "leaks"}) == "leaks\nnorth"


def test_probabilities_come_in_the_order_of_the_tasks_labels() -> None:
    output = TASK.task.output
    assert isinstance(output, LabelForm) and TASK.classifier is not None
    assert output.labels != TASK.classifier.labels
    for text, label in (("hose", "hydraulics"), ("piston", "engine"), ("lamp", "electrical")):
        shares = labelled.judged(TASK.classifier, output, text)
        assert sum(shares) == pytest.approx(1)
        assert labelled.answer(TASK, output, shares)[0] == label


def test_neighbours_judge_a_vector() -> None:
    task = loaded(CLASSIFIER.replace("[prompt]", MINILM), classifier_json=by_vectors("ab" * 32))
    output = task.task.output
    assert isinstance(output, LabelForm) and task.classifier is not None
    shares = labelled.judged(task.classifier, output, "", np.array([0, 1, 0], np.float32))
    assert labelled.answer(task, output, shares)[0] == "engine"  # the second in order
    with pytest.raises(ValueError, match="vector"):
        labelled.judged(task.classifier, output, "")


def test_the_first_of_equals_is_the_answer() -> None:
    output = TASK.task.output
    assert isinstance(output, LabelForm)
    label, told = labelled.answer(TASK, output, [0.4, 0.4, 0.2])
    assert (label, told.confidence) == ("hydraulics", 0.4)


def test_an_answer_says_what_kind_of_candidate_gave_it() -> None:
    alone = labelled.about(TASK).document()
    assert (alone["stage"], alone["candidate"]["kind"]) == ("classifier", "classifier")
    assert alone["candidate"]["digest"] == TASK.classifier_digest
    both = labelled.about(loaded(BLEND, classifier_json=coefficients())).document()
    assert (both["stage"], both["candidate"]["kind"]) == ("smollm2-135m", "blend")
    assert both["candidate"]["digest"].startswith("16399c")
    assert "confidence" not in both
