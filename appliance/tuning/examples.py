"""From the items of a task to rows, by the engine that serves.

Rules: items that the prompt shows are not trained; an answer ends with the chat template's token;
one that a template would write differently from the server's request is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from appliance.datasets.items import Item
from appliance.errors import TuningRefused
from appliance.evals import scoring
from appliance.tasks.definition import JsonForm, Text
from appliance.tasks.inputs import checked
from appliance.tasks.loaded import LoadedTask, answer_text
from appliance.tuning.rows import TokenRow
from appliance.tuning.served import Served


async def stop_token(served: Served) -> int:
    """Raises TuningRefused (`tuning_tokens_differ`): the template writes an answer differently."""
    turns = ({"role": "user", "content": "a"},)
    prompt, answer = await served.conversation(turns), await served.text("b")
    whole = await served.conversation((*turns, {"role": "assistant", "content": "b"}))
    start = len(prompt) + len(answer)
    if whole[:start] != prompt + answer or len(whole) <= start:
        raise TuningRefused(
            "tuning_tokens_differ",
            "The chat template writes an answer with other tokens than the server does.",
        )
    return whole[start]


async def rows(
    served: Served, loaded: LoadedTask, items: Sequence[Item], stop: int
) -> tuple[TokenRow, ...]:
    """Rows in the items' order.

    Raises:
        EvaluationRefused: `item_unfit`.
        TaskRefused: `task_answer_unfit`.
    """
    shown, output = set(loaded.example_ids), loaded.task.output
    constrained = isinstance(output, JsonForm) or bool(isinstance(output, Text) and output.grammar)
    found = []
    for item in items:
        if item.id in shown:
            continue
        values = checked(loaded.task, scoring.input_of(loaded.task, item))
        turns = loaded.renderer.messages(values)
        prompt = await served.conversation(turns, constrained=constrained)
        text = answer_text(loaded.task, loaded.schema, _expected(item.expected))
        found.append(TokenRow(item.id, prompt, (*await served.text(text), stop)))
    return tuple(found)


def _expected(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
