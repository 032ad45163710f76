"""From items to rows: the tokens that apps get, and the one that ends an answer."""

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from appliance.app import Services
from appliance.errors import TuningRefused
from appliance.evals.parameters import EvaluationWanted
from appliance.tuning import checks, examples, rows
from appliance.tuning.served import Served, serving
from tests.evals.orders import TASK, write_task
from tests.smol import sealed
from tests.tuning.foreign import changed
from tests.tuning.runs import subject_of

LONGEST = 256


async def test_rows_are_what_the_server_renders_and_not_what_another_tokenizer_would(
    services: Services, served: Served, task: Path, data: Path, default_model_path: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    subject = subject_of(services, EvaluationWanted(str(task), str(data), "dev", limit=8))
    stop = await examples.stop_token(served)
    assert await served.strings([stop]) == (b"<|im_end|>",)
    assert await served.begin() is None
    found = await examples.rows(served, subject.loaded, subject.items, stop)
    rows.check(found, stop=stop, begin=None, longest=LONGEST)
    assert [row.item for row in found] == [item.id for item in subject.items]
    words = [b"".join(await served.strings(row.answer)).decode() for row in found]
    assert words == [f"{item.label}<|im_end|>" for item in subject.items]
    text = b"".join(await served.strings(found[0].prompt)).decode()
    assert text.endswith("<|im_start|>assistant\n") and "Work order: replace" in text
    orders = [b"\7" + bytes(7) + f"\u0120{word}".encode() for word in ("order", "ordex")]
    key, target = "tokenizer.ggml.tokens", tmp_path / "other.gguf"
    other = changed(default_model_path, target, key, *orders)  # it knows " ordex" in its place
    model, variant = sealed(services), services.supervisor.variant.get()
    async with serving(replace(model, sealed=other), LONGEST, variant, 1) as base:
        rendered = await examples.rows(base, subject.loaded, subject.items, stop)
    other.close()
    model.close()
    with pytest.raises(TuningRefused) as refused:
        checks.check_tokens(found, rendered, rows.digest(found))
    assert refused.value.code == "tuning_tokens_differ"


async def test_items_that_the_prompt_shows_are_not_trained(
    services: Services, served: Served, tmp_path: Path, data: Path
) -> None:
    line = (data / "train.jsonl").read_text().splitlines()[0]
    text = TASK.replace('user = "Work', 'examples = "shown.jsonl"\nuser = "Work')
    task = write_task(tmp_path / "shows", text, shown_jsonl=line + "\n")
    subject = subject_of(services, EvaluationWanted(str(task), str(data), "train", limit=0))
    assert subject.loaded.example_ids == ("train000",)
    found = await examples.rows(served, subject.loaded, subject.items[:3], 2)
    assert [row.item for row in found] == [i.id for i in subject.items[:3] if i.id != "train000"]


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("{% if add_generation_prompt %}", "{% if add_generation_prompt %} ", "token "),
        ("{% for message", "<|im_start|>{% for message", "token 1 "),  # it begins twice
    ],
)
async def test_rows_that_a_foreign_template_renders_are_refused(
    services: Services, served: Served, task: Path, data: Path, before: str, after: str, place: str
) -> None:
    subject = subject_of(services, EvaluationWanted(str(task), str(data), "dev", limit=8))
    trained = await examples.rows(served, subject.loaded, subject.items, 2)
    checks.check_tokens(trained, trained, rows.digest(trained))
    model = sealed(services)
    foreign = (model.facts.chat_template or "").replace(before, after, 1)
    assert foreign != model.facts.chat_template
    facts = structs.replace(model.facts, chat_template=foreign)
    variant = services.supervisor.variant.get()
    async with serving(replace(model, facts=facts), LONGEST, variant, 1) as other:
        rendered = await examples.rows(other, subject.loaded, subject.items, 2)
    model.close()
    with pytest.raises(TuningRefused, match=place) as refused:
        checks.check_tokens(trained, rendered, rows.digest(trained))
    assert refused.value.code == "tuning_tokens_differ"


async def test_a_template_that_writes_answers_another_way_is_refused(services: Services) -> None:
    model = sealed(services)
    foreign = (model.facts.chat_template or "").replace(
        "message['content']", "' ' ~ message['content']"
    )
    assert foreign != model.facts.chat_template
    facts = structs.replace(model.facts, chat_template=foreign)
    variant = services.supervisor.variant.get()
    async with serving(replace(model, facts=facts), 128, variant, 1) as served:
        with pytest.raises(TuningRefused) as refused:
            await examples.stop_token(served)
    assert refused.value.code == "tuning_tokens_differ"
    model.close()
