"""A task as a backend: an app's input in, an answer of the form out, and a model between.

Rules:
- The prompt, the form and the sampling are the task's. A request that brings its own is refused by
  name, except for settings that a form without sampling has no use for.
- Labels and values are decided before the first byte leaves. JSON and text may stream.
- An answer that breaks the form is an error, never an answer.
"""

import json
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

from appliance.errors import BadRequest
from appliance.serving.backend import Backend, PreparedRequest
from appliance.statistics.labels import distribution
from appliance.tasks import values
from appliance.tasks.definition import Fields, Labels
from appliance.tasks.inputs import values_of
from appliance.tasks.loaded import LoadedTask
from appliance.types import (
    Constraint,
    Delta,
    GenerationRequest,
    ModelCard,
    Principal,
    Sampling,
    TaskAnswer,
)

_GREEDY: Final = Sampling(temperature=0)
_LINES: Final = 64  # tokens that a task's answer may take for each field, where it states no limit


@dataclass(frozen=True)
class TaskBackend:
    """A `Backend` that answers for a task.

    Attributes:
        loaded: the task.
        model: what answers between.
    """

    loaded: LoadedTask
    model: Backend

    @property
    def card(self) -> ModelCard:
        """The model's card under the task's name."""
        return replace(self.model.card, id=self.loaded.task.id)

    async def prepare(
        self, request: GenerationRequest, principal: Principal, seed: int
    ) -> PreparedRequest:
        """Render the app's input into the task's prompt; raises as `Backend.prepare`.

        Raises:
            BadRequest: `task_input_invalid`, `task_parameter`.
        """
        return await self.model.prepare(self.asked(request), principal, seed)

    def asked(self, request: GenerationRequest) -> GenerationRequest:
        """What the model is asked for an app's request."""
        _check_parameters(request)
        task = self.loaded.task
        sent = values_of(task, _content(request))
        asked = replace(
            request,
            model=task.candidate.model,
            messages=tuple(map(dict, self.loaded.renderer.messages(sent))),
            prompt=None,
            sampling=_GREEDY,
            max_tokens=task.max_tokens or None,
        )
        if isinstance(task.output, Labels):
            written = tuple(map(task.output.written, task.output.labels))
            return replace(asked, labels=written, max_tokens=None)
        if isinstance(task.output, Fields):
            return replace(
                asked, constraint=self._constraint(task.output), max_tokens=self._most(task.output)
            )
        if task.output.grammar is not None:
            return replace(asked, constraint=Constraint("grammar", task.output.grammar))
        return asked

    async def run(self, prepared: PreparedRequest) -> AsyncIterator[Delta]:
        """The answer in the task's form; raises as `Backend.run`.

        Raises:
            TaskRefused: `task_answer_invalid`.
        """
        output = self.loaded.task.output
        whole = isinstance(output, Labels) or (
            isinstance(output, Fields) and output.encoding == "values"
        )
        if not whole:
            async for delta in self.model.run(prepared):
                yield replace(delta, about=self._about()) if delta.finish_reason else delta
            return
        text, vector, tokens, last = "", b"", 0, Delta("", 0)
        async for delta in self.model.run(prepared):
            text, vector, last = text + delta.text, vector + delta.vector, delta
            tokens += delta.tokens
        if last.finish_reason not in ("stop", "length"):
            yield replace(last, tokens=tokens, vector=b"")
            return
        if isinstance(output, Labels):
            label, about = self._labelled(output, vector)
            yield replace(last, text=label, tokens=tokens, vector=b"", about=about)
            return
        answer = json.dumps(values.read(self.loaded.schema, text), ensure_ascii=False)
        yield replace(last, text=answer, tokens=tokens, about=self._about())

    async def cancel(self, prepared: PreparedRequest) -> None:
        """As `Backend.cancel`."""
        await self.model.cancel(prepared)

    def _constraint(self, output: Fields) -> Constraint:
        if output.encoding == "values":
            return Constraint("regex", values.expression(self.loaded.schema))
        return Constraint("json_schema", json.dumps(self.loaded.schema))

    def _most(self, output: Fields) -> int | None:
        stated = self.loaded.task.max_tokens
        if stated or output.encoding == "json":
            return stated or None
        return _LINES * len(self.loaded.schema["properties"])

    def _labelled(self, output: Labels, vector: bytes) -> tuple[str, TaskAnswer]:
        shares = distribution(array("f", vector))
        best = max(range(len(shares)), key=lambda n: (shares[n], -n))
        named = tuple(zip(output.labels, shares, strict=True))
        return output.labels[best], replace(
            self._about(), confidence=shares[best], distribution=named
        )

    def _about(self) -> TaskAnswer:
        task = self.loaded.task
        return TaskAnswer(task.id, task.version, self.loaded.digest, task.candidate.model)


def _content(request: GenerationRequest) -> str:
    """The app's input: its one message, or its prompt.

    Raises:
        BadRequest: `task_input_invalid`.
    """
    if request.messages is not None:
        turns = request.messages
        content = turns[0].get("content") if len(turns) == 1 else None
        if content is None or turns[0].get("role") != "user" or not isinstance(content, str):
            raise BadRequest(
                "task_input_invalid",
                "A task takes one message with the role user: its prompt is its own.",
                param="messages",
            )
        return content
    if request.prompt is None:
        raise BadRequest("task_input_invalid", "A task takes text, not tokens.", param="prompt")
    return request.prompt


def _check_parameters(request: GenerationRequest) -> None:
    """Refuse what would change the task.

    Raises:
        BadRequest: `task_parameter`, naming the field.
    """
    brought = {
        "tools": request.tools,
        "response_format": request.constraint,
        "n": request.choices > 1,
        "logprobs": request.logprobs is not None,
        "echo": request.echo,
        "stop": request.stop,
        "logit_bias": request.sampling.logit_bias,
        "min_tokens": request.min_tokens,
        "ignore_eos": request.ignore_eos,
    }
    for name, value in brought.items():
        if value:
            raise BadRequest(
                "task_parameter", f"{name} is the task's to set, not the request's.", param=name
            )
