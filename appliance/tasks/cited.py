"""A task whose answers cite the customer's documents, as a backend.

Rules:
- Passages are searched under the app's rights, for each request, by the first input field. Without
  a passage the model does not run and the answer is a refusal.
- An answer leaves whole: a quotation in no passage of this request is removed and counted; without
  one left it is the refusal.
- With `quotes` the model can write only one sentence of a passage with its number, or the refusal.
- A passage never begins a line of the prompt, has no mark that looks like ours, and its control
  tokens are text: it cannot pass for the task's words or another passage.
- The log never has a passage's text, so that removal from a collection is complete. Computed
  prompts are reused under the same rights only.
"""

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from appliance.engine.text.grammar import MAX_CHOICES
from appliance.errors import BadRequest
from appliance.retrieval import commitments
from appliance.retrieval.chunking import estimate
from appliance.retrieval.citations import LONGEST, SHORTEST, neutral, verified
from appliance.retrieval.search import SearchHits
from appliance.retrieval.service import SearchQuery
from appliance.serving.backend import PreparedRequest, Wrapped, common, inner
from appliance.tasks import labelled
from appliance.tasks.backend import TaskBackend
from appliance.tasks.definition import Text
from appliance.tasks.inputs import values_of
from appliance.tasks.request import content_of, unused
from appliance.types import (
    CitedFrom,
    Constraint,
    Delta,
    GenerationRequest,
    Json,
    JsonValue,
    ModelCard,
    Passage,
    Principal,
)
from appliance.workers.coverage import Obstacle

Evidence: TypeAlias = Callable[[Principal, SearchQuery], Awaitable[SearchHits]]
"""Searches a collection under the rights of an app; raises as `Retrieval.look`."""

_HEAD: Final = (
    "Passages of documents. Quote the words that prove your answer in double quotes, exactly as "
    'they stand in a passage, and put the number of the passage after them: "..." [1].'
)
_SENTENCE_ENDS: Final = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
_QUOTES: Final = frozenset('"\u201c\u201d\u201e\u00ab\u00bb')
"""Marks of a quotation: a sentence with one in it cannot be quoted whole."""
_UNSTATED: Final = 512
"""Tokens that are left for an answer whose task states no limit."""


@dataclass(frozen=True)
class _PreparedCited(Wrapped):
    """A prepared request, with the passages in its prompt, in their order."""

    passages: tuple[Passage, ...] = ()
    generation: int = 0
    nonce: str = ""


@dataclass(frozen=True)
class CitedBackend:
    """A `Backend` that answers for a task of the form text with a collection.

    Attributes:
        task: the same task, without its documents.
    """

    task: TaskBackend
    output: Text
    collection: str
    evidence: Evidence

    @property
    def card(self) -> ModelCard:
        return self.task.card

    async def prepare(
        self, request: GenerationRequest, principal: Principal, seed: int
    ) -> PreparedRequest:
        """Raises as `TaskBackend`; NotFound (`collection_not_found`), also where the key may read
        nothing in it.
        """
        task = self.task.loaded.task
        sent = values_of(task, content_of(request))
        query = SearchQuery(self.collection, sent[task.input[0].name], self.output.passages, {})
        found = await self.evidence(principal, query)
        bare = replace(self.task.asked(request), thinking=False).needing(readable=found.readable)
        passages = packed(found.passages, self._room(bare))
        prepared = None
        while prepared is None:
            asked = replace(bare, messages=_shown(bare.messages or (), passages))
            if self.output.quotes:
                # The refusal begins like the others, or the first letter alone would decide.
                choices = [*quotations(passages), f'"{self.output.refusal}"']
                asked = replace(asked, constraint=Constraint("choice", json.dumps(choices)))
            try:
                prepared = await self.task.model.prepare(asked, principal, seed)
            except BadRequest as error:
                if error.code != "context_length_exceeded" or not passages:
                    raise
                passages = passages[:-1]
        provenance = replace(
            prepared.provenance,
            task=self.task.loaded.digest,
            retrieved=_retrieved(query, found, passages),
            opens=commitments.text(found.nonce, passages),
            unused=unused(request),
            obstacle=prepared.provenance.obstacle or Obstacle.PASSAGES,
        )
        shared = common(replace(prepared, provenance=provenance, request=bare, computed=None))
        return _PreparedCited(
            **shared, passages=passages, generation=found.generation, nonce=found.nonce
        )

    async def run(self, prepared: PreparedRequest) -> AsyncGenerator[Delta, None]:
        """The verified answer, or the refusal, in one piece; raises as `Backend.run`."""
        if not isinstance(prepared, _PreparedCited):
            raise TypeError("it was prepared by another backend")
        if not prepared.passages:
            await self.task.model.cancel(inner(prepared))
            yield self._told(Delta("", 0, "stop"), "", prepared)
            return
        text, tokens, last = "", 0, Delta("", 0)
        async for delta in self.task.model.run(inner(prepared)):
            text, tokens, last = text + delta.text, tokens + delta.tokens, delta
        last = replace(last, tokens=tokens)
        if last.finish_reason not in ("stop", "length"):
            yield replace(last, text="")
            return
        yield self._told(last, text, prepared)

    async def cancel(self, prepared: PreparedRequest) -> None:
        await self.task.model.cancel(inner(prepared))

    def _told(self, last: Delta, text: str, prepared: _PreparedCited) -> Delta:
        cited = verified(text, prepared.passages)
        told = CitedFrom(
            collection=self.collection,
            generation=prepared.generation,
            passages=len(prepared.passages),
            citations=cited.citations,
            removed=cited.removed,
            refused=not cited.evident,
            nonce=prepared.nonce,
            commitments=tuple(commitments.citation(prepared.nonce, one) for one in cited.citations),
        )
        about = replace(
            labelled.about(self.task.loaded), cited=told, unused=prepared.provenance.unused
        )
        shown = cited.text if cited.evident else self.output.refusal
        finish = last.finish_reason if cited.evident else "stop"
        return replace(last, text=shown, finish_reason=finish, about=about)

    def _room(self, bare: GenerationRequest) -> int:
        said = sum(estimate(str(turn["content"]).encode()) for turn in bare.messages or ())
        answer = bare.max_tokens or min(_UNSTATED, self.card.n_ctx // 4)
        return self.card.n_ctx - answer - said - estimate(_HEAD.encode())


def packed(passages: Sequence[Passage], room: int) -> tuple[Passage, ...]:
    """The best first; a longer one is left out, not cut.

    Args:
        room: tokens, by estimate.
    """
    kept = []
    for number, passage in enumerate(passages, 1):
        cost = estimate(_block(number, passage).encode())
        if cost <= room:
            room -= cost
            kept.append(passage)
    return tuple(kept)


def quotations(passages: Sequence[Passage]) -> list[str]:
    """Sentences as answers quote them, with the passage's number."""
    found: dict[str, None] = {}  # in order, each once
    for number, passage in enumerate(passages, 1):
        for sentence in _SENTENCE_ENDS.split(neutral(passage.text)):
            words = sentence.split()
            if SHORTEST <= sum(map(len, words)) <= LONGEST and not _QUOTES & set(sentence):
                found[f'"{" ".join(words)}" [{number}]'] = None
    return list(found)[: MAX_CHOICES - 1]


def shown(passages: Sequence[Passage]) -> str:
    """Passages as the model reads them, numbered from 1."""
    blocks = (_block(number, passage) for number, passage in enumerate(passages, 1))
    return "\n\n".join([_HEAD, *blocks])


def _block(number: int, passage: Passage) -> str:
    title = " ".join((passage.title or passage.document).split())
    page = f", page {passage.page}" if passage.page else ""
    lines = (f"  {line}" if line.strip() else "" for line in passage.text.splitlines())
    return f"[{number}] {neutral(title + page)}\n" + neutral("\n".join(lines))


def _shown(
    turns: Sequence[Mapping[str, JsonValue]], passages: Sequence[Passage]
) -> tuple[dict[str, JsonValue], ...]:
    *before, last = map(dict, turns)
    if passages:
        last = {**last, "content": f"{shown(passages)}\n\n{last['content']}"}
    return (*before, last)


def _retrieved(
    query: SearchQuery, found: SearchHits, passages: Sequence[Passage]
) -> dict[str, Json]:
    return {
        "collection": query.collection,
        "generation": found.generation,
        "ranking": found.ranking,
        "passages": commitments.passages(found.nonce, passages),
        "search": found.request_id,
    }
