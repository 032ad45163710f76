"""Dev as apps would get it: fields are held to their schema, labels share steps."""

import json
from pathlib import Path

import pytest

from appliance.app import Services
from appliance.errors import TaskRefused
from appliance.evals.parameters import EvaluationWanted
from appliance.tasks import values
from appliance.tuning import examples
from appliance.tuning.dev_quality import form_of, measured, rehearsal
from appliance.tuning.proof import ends
from appliance.tuning.served import Served, serving
from tests.smol import sealed
from tests.tuning.fields import write_fields
from tests.tuning.runs import subject_of


async def test_fields_are_answered_in_their_form_as_they_serve(
    services: Services, served: Served, tmp_path: Path, data: Path
) -> None:
    task = write_fields(tmp_path / "fields", data)
    subject = subject_of(services, EvaluationWanted(str(task), str(data), "dev", limit=4))
    loaded, stop = subject.loaded, await examples.stop_token(served)
    rows = await examples.rows(served, loaded, subject.items, stop)
    words = [b"".join(await served.strings(row.answer)).decode() for row in rows]
    lines = [values.write(loaded.schema, dict(i.expected)) for i in subject.items]  # type: ignore[arg-type]
    assert words == [f"{line}<|im_end|>" for line in lines] and lines[0].startswith("\n")
    found = await measured(served, "", loaded, subject.items, rows)
    for one in found.outcomes:
        assert one.answer is not None and set(json.loads(one.answer)) == {"side", "system"}
    assert found.shares == ()
    free = await served.answers(rows[:1])  # the control: untuned, it writes a sentence
    with pytest.raises(TaskRefused):
        values.read(loaded.schema, free[0][0])
    scored = await served.scores(rows)
    assert not any(one.written for one in scored)
    found_ends = await ends(served, "", rows, scored, form_of(loaded))
    assert found_ends == [(row.item, True) for row in rows]
    await rehearsal(served, "", loaded, rows[:1])


async def test_labels_are_those_of_the_reproducible_engine(
    services: Services, served: Served, task: Path, data: Path
) -> None:
    subject = subject_of(services, EvaluationWanted(str(task), str(data), "dev", limit=6))
    stop = await examples.stop_token(served)
    rows = await examples.rows(served, subject.loaded, subject.items, stop)
    assert form_of(subject.loaded) is None
    alone = await measured(served, "", subject.loaded, subject.items, rows)
    model, variant = sealed(services), services.supervisor.variant.get()
    async with serving(model, 256, variant, 1, reproducible=False) as shared:
        found = await measured(shared, "", subject.loaded, subject.items, rows)
    model.close()
    for ours, theirs in zip(alone.shares, found.shares, strict=True):
        assert ours == pytest.approx(theirs, abs=0.1)
    assert [o.item for o in found.outcomes] == [i.id for i in subject.items]
