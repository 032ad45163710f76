"""The engine in a worker of the job's own: scores and answers of a base."""

import math
from pathlib import Path

from appliance.app import Services
from appliance.evals.parameters import EvaluationWanted
from appliance.tuning import examples
from appliance.tuning.served import Served
from tests.tuning.runs import subject_of


async def test_scores_are_those_of_answers(
    services: Services, served: Served, task: Path, data: Path
) -> None:
    subject = subject_of(services, EvaluationWanted(str(task), str(data), "dev", limit=4))
    stop = await examples.stop_token(served)
    found = await examples.rows(served, subject.loaded, subject.items, stop)
    scores = await served.scores(found)
    labels = subject.loaded.task.output.labels  # type: ignore[union-attr] # of the form labels
    vectors = await served.distributions([row.prompt for row in found], labels)
    for item, score, values in zip(subject.items, scores, vectors, strict=True):
        whole = -values[labels.index(item.label)]
        assert math.isclose(sum(score.nats[:-1]), whole, abs_tol=1e-3)  # without the end token
        assert len(score.best) == len(score.nats)
    written = await served.answers(found[:1])
    ((text, ended),) = written
    assert ended and text.endswith(".")  # untrained, it writes a sentence
