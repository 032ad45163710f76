"""A definition with another candidate: everything else stays as its author wrote it."""

import msgspec
import pytest

from appliance.errors import TaskRefused
from appliance.tasks.definition import TaskAnswerer, parse
from appliance.tasks.rewriting import with_candidate
from tests.tasks.example import CLASSIFIER, LABELS

BLEND = TaskAnswerer("blend", "smol:orders", "ab" * 32, "classifier.json", 0.45)
ALONE = TaskAnswerer("classifier", classifier="classifier.json")


@pytest.mark.parametrize("wanted", [BLEND, ALONE, TaskAnswerer("model", "other", "cd" * 32)])
@pytest.mark.parametrize("text", [LABELS, CLASSIFIER, LABELS.rstrip("\n")])
def test_the_candidate_and_the_version_alone_change(text: str, wanted: TaskAnswerer) -> None:
    made = with_candidate(text.encode(), wanted)
    before = parse(text.encode())
    expected = msgspec.structs.replace(before, candidate=wanted, version=before.version + 1)
    assert parse(made) == expected
    kept = set(text.split("[prompt]")[1].splitlines())
    assert kept <= set(made.decode().splitlines())


def test_comments_stay_with_what_they_are_about() -> None:
    text = LABELS.replace("[prompt]", "# How it is asked.\n[prompt]  # a table")
    made = with_candidate(text.encode(), BLEND).decode()
    assert "\n\n# How it is asked.\n[prompt]  # a table\n" in made


@pytest.mark.parametrize(
    "text",
    [
        LABELS.replace("[prompt]", '[prompt]\nsystem = """\n[candidate]\n"""').replace(
            'system = "Name the system that the work order is about."\n', ""
        ),
        LABELS.replace("version = 1", '"version" = 1'),
        LABELS.replace("version = 1", "version = 0x1"),
        "\n".join(
            [
                'candidate = {model = "m", digest = "' + "ab" * 32 + '"}',
                LABELS.split("[candidate]")[0],
                "[prompt]" + LABELS.split("[prompt]")[1],
            ]
        ),
    ],
)
def test_a_file_that_cannot_be_rewritten_with_certainty_is_refused(text: str) -> None:
    parse(text.encode())  # the control: it is a task
    with pytest.raises(TaskRefused) as refused:
        with_candidate(text.encode(), BLEND)
    assert refused.value.code == "task_invalid"
