"""Quality of a tuned model on dev, as apps would get it.

Rules: an answer that breaks the form is wrong; the untuned model is measured next to fields, which
have no classifier.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.datasets.items import Item
from appliance.errors import TaskRefused
from appliance.evals import scoring
from appliance.evals.outcomes import Outcome
from appliance.statistics.labels import distribution
from appliance.tasks import values
from appliance.tasks.definition import JsonForm, LabelForm
from appliance.tasks.enforcement import constraint, most_tokens
from appliance.tasks.loaded import LoadedTask
from appliance.tuning.candidates import labelled_outcomes, outcome
from appliance.tuning.proof import AdapterForm
from appliance.tuning.rows import TokenRow
from appliance.tuning.served import Served


@dataclass(frozen=True)
class DevMeasured:
    """Answers on dev.

    Attributes:
        shares: distributions over the labels; empty for another form.
        untuned: answers of the untuned model, where requested.
    """

    outcomes: tuple[Outcome, ...]
    shares: tuple[list[float], ...] = ()
    untuned: tuple[Outcome, ...] = ()


async def measured(
    served: Served,
    adapter: str,
    loaded: LoadedTask,
    items: Sequence[Item],
    rows: Sequence[TokenRow],
) -> DevMeasured:
    """Measure `rows` of items.

    Args:
        adapter: digest of the loaded one; "" for the untuned model.
    """
    output, form = loaded.task.output, form_of(loaded)
    if isinstance(output, LabelForm):
        shares = await _shares(served, adapter, output, rows)
        return DevMeasured(labelled_outcomes(loaded.task, output, items, shares), tuple(shares))
    answers: list[str | None]
    if isinstance(output, JsonForm) and form is not None:
        written = await served.formed(rows, form.constraint, form.most, adapter)
        answers = [_read(output, loaded, text) for text in written]
    else:
        answers = [text for text, _ in await served.answers(rows, adapter)]
    pairs = zip(items, answers, strict=True)
    return DevMeasured(tuple(outcome(loaded.task, item, answer) for item, answer in pairs), ())


def form_of(loaded: LoadedTask) -> AdapterForm | None:
    """The form of answers; None unless they are fields."""
    output = loaded.task.output
    if not isinstance(output, JsonForm):
        return None
    return AdapterForm(constraint(output, loaded.schema), most_tokens(loaded.task, loaded.schema))


async def rehearsal(
    served: Served, adapter: str, loaded: LoadedTask, rows: Sequence[TokenRow]
) -> None:
    """Time a measurement's requests.

    Fields get as many tokens as they should have, for both models.
    """
    output = loaded.task.output
    if isinstance(output, LabelForm):
        await _shares(served, adapter, output, rows)
        return
    await served.answers(rows, adapter, slack=0)
    if isinstance(output, JsonForm):
        await served.answers(rows, slack=0)


async def _shares(
    served: Served, adapter: str, output: LabelForm, rows: Sequence[TokenRow]
) -> list[list[float]]:
    texts = [output.written(label) for label in output.labels]
    found = await served.distributions([row.prompt for row in rows], texts, adapter)
    return [distribution(one) for one in found]


def _read(output: JsonForm, loaded: LoadedTask, text: str | None) -> str | None:
    if text is None or output.encoding == "json":
        return text
    try:
        return scoring.canonical(values.read(loaded.schema, text))
    except TaskRefused:
        return None
