"""A task as a backend: an app's input in, an answer of the form out, and a model between.

Rules:
- The prompt, the form and the sampling are the task's; `asked` takes an app's part.
- In a blend the classifier answers first, so that the model scores only labels that may win.
- Labels and values are decided before the first byte leaves. JSON and text may stream.
- An answer that breaks the form is an error.
"""

import asyncio
import json
from array import array
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Final

from appliance.serving.backend import ModelBackend, PreparedRequest, Wrapped, common, inner
from appliance.statistics.labels import blended, distribution, prior, total
from appliance.tasks import labelled, values
from appliance.tasks.definition import JsonForm, LabelForm, Output, form_of
from appliance.tasks.enforcement import constraint, most_tokens
from appliance.tasks.field_confidence import decided
from appliance.tasks.inputs import Values, values_of
from appliance.tasks.judging import Judging
from appliance.tasks.loaded import LoadedTask
from appliance.tasks.request import content_of, unused
from appliance.types import (
    Constraint,
    Decision,
    Delta,
    GenerationRequest,
    ModelCard,
    Principal,
    Sampling,
    Unscored,
)

TOLERANCE: Final = 1e-3
"""By how much the share of a label may be wrong, so that those which cannot win cost nothing.

Where it is wanted how sure the model is, all are scored: odds of a sure answer need exact tails.
"""

_GREEDY: Final = Sampling(temperature=0)


@dataclass(frozen=True)
class PreparedTask(Wrapped):
    """A request that the model has prepared.

    Attributes:
        other: in a blend the classifier's distribution.
        judging: asks whether the answer is right; None if not requested.
    """

    other: list[float] | None = None
    judging: Judging | None = None


@dataclass(frozen=True)
class TaskBackend:
    """A `Backend` that answers for a task over a model."""

    loaded: LoadedTask
    model: ModelBackend

    @property
    def card(self) -> ModelCard:
        card, task = self.model.card, self.loaded.task
        return replace(card, id=task.id, form=form_of(task), worker=card.engine)

    async def prepare(
        self, request: GenerationRequest, principal: Principal, seed: int
    ) -> PreparedRequest:
        """Raises as `Backend.prepare`; BadRequest (`task_input_invalid`, `task_parameter`)."""
        sent = values_of(self.loaded.task, content_of(request))
        asked_for, other = self._asked(request, sent), await self._other(sent)
        if other is not None and asked_for.task.unscored is not None:
            asked_for = asked_for.needing(unscored=self._beside(other))
        prepared = await self.model.prepare(asked_for, principal, seed)
        provenance = replace(prepared.provenance, task=self.loaded.digest, unused=unused(request))
        asked = common(replace(prepared, provenance=provenance))
        judging = Judging(self.model, principal, seed) if request.task.p_true else None
        return PreparedTask(**asked, other=other, judging=judging)

    def asked(self, request: GenerationRequest) -> GenerationRequest:
        return self._asked(request, values_of(self.loaded.task, content_of(request)))

    def _asked(self, request: GenerationRequest, sent: Values) -> GenerationRequest:
        task = self.loaded.task
        asked = replace(
            request,
            model=task.candidate.model,
            messages=tuple(map(dict, self.loaded.renderer.messages(sent))),
            prompt=None,
            task=replace(request.task, common=len(self.loaded.renderer.prefix)),
            sampling=_GREEDY,
            max_tokens=task.max_tokens or None,
        )
        if isinstance(task.output, LabelForm):
            written = tuple(map(task.output.written, task.output.labels))
            unscored = None if request.task.decisions else Unscored(TOLERANCE)
            return replace(asked, max_tokens=None).needing(labels=written, unscored=unscored)
        if isinstance(task.output, JsonForm):
            return replace(
                asked,
                constraint=constraint(task.output, self.loaded.schema),
                max_tokens=most_tokens(task, self.loaded.schema),
            )
        if task.output.grammar is not None:
            return replace(asked, constraint=Constraint("grammar", task.output.grammar))
        return asked

    async def run(self, prepared: PreparedRequest) -> AsyncGenerator[Delta, None]:
        """Raises as `Backend.run`; TaskRefused (`task_answer_invalid`)."""
        output, not_used = self.loaded.task.output, prepared.provenance.unused
        about = replace(labelled.about(self.loaded), unused=not_used)
        sure = prepared.request.task.decisions
        whole = isinstance(output, LabelForm) or (
            isinstance(output, JsonForm) and (output.encoding == "values" or sure)
        )
        if not whole:
            async for delta in self.model.run(inner(prepared)):
                yield replace(delta, about=about) if delta.finish_reason else delta
            return
        text, vector, tokens, last = "", b"", 0, Delta("", 0)
        decisions: list[Decision] = []
        async for delta in self.model.run(inner(prepared)):
            text, vector, last = text + delta.text, vector + delta.vector, delta
            tokens += delta.tokens
            decisions += delta.decided
        if last.finish_reason not in ("stop", "length"):
            yield replace(last, tokens=tokens, vector=b"")
            return
        if isinstance(output, LabelForm):
            logs = array("f", vector)
            shares = self._shares(distribution(logs), prepared)
            label, told = labelled.answer(self.loaded, output, shares)
            told = replace(told, mass=total(logs), unused=not_used)
            last = replace(last, text=label, tokens=tokens, vector=b"", about=told)
            yield await _judged(prepared, last, output.written(label))
            return
        answer = self._read(output, text)
        if isinstance(output, JsonForm) and decisions:
            sure_of = decided(output, self.loaded.schema, text, decisions)
            about = replace(about, decided=sure_of)
        last = replace(last, text=answer, tokens=tokens, about=about, decided=())
        yield await _judged(prepared, last, text)

    async def cancel(self, prepared: PreparedRequest) -> None:
        await self.model.cancel(inner(prepared))
        if isinstance(prepared, PreparedTask) and prepared.judging is not None:
            await prepared.judging.cancel()

    def _read(self, output: Output, text: str) -> str:
        if isinstance(output, JsonForm) and output.encoding == "values":
            return json.dumps(values.read(self.loaded.schema, text), ensure_ascii=False)
        return text

    async def _other(self, sent: Values) -> list[float] | None:
        output, classifier = self.loaded.task.output, self.loaded.classifier
        if classifier is None or not isinstance(output, LabelForm):
            return None
        text = labelled.text_of(self.loaded.task, sent)
        return await asyncio.to_thread(labelled.judged, classifier, output, text)

    def _beside(self, other: list[float]) -> Unscored:
        weight = self.loaded.task.candidate.weight or 0.0
        return Unscored(TOLERANCE, weight, prior(other, weight))

    def _shares(self, model: list[float], prepared: PreparedRequest) -> list[float]:
        weight = self.loaded.task.candidate.weight
        if weight is None or not isinstance(prepared, PreparedTask) or prepared.other is None:
            return model
        return blended(model, prepared.other, weight)


async def _judged(prepared: PreparedRequest, last: Delta, written: str) -> Delta:
    judging = prepared.judging if isinstance(prepared, PreparedTask) else None
    if judging is None or last.about is None:
        return last
    found = await judging.ask(inner(prepared).request, written)
    if found is None:
        return Delta("", last.tokens, "cancelled")
    return replace(
        last,
        tokens=last.tokens + found.tokens,
        cached=last.cached + found.cached,
        prompt=prepared.prompt_tokens + found.prompt_tokens,
        about=replace(last.about, p_true=found.p_true),
    )
