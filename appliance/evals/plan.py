"""The plan of an evaluation: its candidates and their order, decided once at its start.

Rules:
- Order: candidates without a language model, nearest neighbours by an embedding model, the task's
  own classifier or blend, the task as written under its model, with other numbers of examples, and
  without a forced form of answers.
- A candidate that cannot be measured is a note of the report.
- The plan is kept with the job, with the digests of models, for a resumed job.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from appliance.errors import EvaluationRefused
from appliance.evals import neighbours, scoring, shots
from appliance.evals.baselines import battery, learnable
from appliance.evals.free_form import forced
from appliance.evals.parameters import EvaluationWanted
from appliance.evals.subject import EvaluationSubject
from appliance.serving.backend import Backends
from appliance.tasks.inputs import checked
from appliance.tasks.loaded import LoadedTask
from appliance.text import many
from appliance.types import ModelCard

OWN: Final = "the task's {}"
_ANSWER_ROOM: Final = 64
"""Tokens that an answer is given at least, where the task states no limit."""

Messages = tuple[dict[str, str], ...]
CountTokens = Callable[[str, Messages], Awaitable[int]]
"""The tokens of a conversation for a model."""


class Candidate(msgspec.Struct, frozen=True):
    """A candidate; `own` is the classifier or the blend that the task names.

    Attributes:
        model, digest: "" without a model.
        shots: examples in the prompt; None for the task's.
    """

    name: str
    kind: Literal["baseline", "neighbours", "own", "model"]
    model: str = ""
    digest: str = ""
    shots: int | None = None
    forced: bool = True


class EvaluationPlan(msgspec.Struct, frozen=True):
    """The candidates, and sentences for the report: `notes`."""

    task: str
    data: str
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...] = ()

    def check(self, subject: EvaluationSubject) -> None:
        """Refuse another task or dataset: EvaluationRefused (`evaluation_changed`)."""
        if (self.task, self.data) != (subject.loaded.digest, subject.data_digest):
            raise EvaluationRefused(
                "evaluation_changed", "The task or the dataset is not what the evaluation began on."
            )


@dataclass(frozen=True)
class Planner:
    """Makes plans."""

    backends: Backends
    digest_of: Callable[[str], str]
    tokens: CountTokens

    async def plan(self, wanted: EvaluationWanted, subject: EvaluationSubject) -> EvaluationPlan:
        """Raises NotFound: `model_not_found` for a model that no person has approved."""
        own = subject.loaded.task.candidate
        models = [*([own.model] if own.kind in ("model", "blend") else []), *wanted.models]
        models = list(dict.fromkeys(models))
        cards = {model: self.backends.card(model) for model in models}
        found: list[Candidate] = []
        notes: list[str] = []
        if wanted.baselines:
            found += [Candidate(one.name, "baseline") for one in battery(subject.train)]
            near, note = self._neighbours(subject)
            found += near
            notes += note
        if own.kind != "model":
            digest = self.digest_of(own.model) if own.model else ""
            found.append(Candidate(OWN.format(own.kind), "own", own.model, digest))
        for number, model in enumerate(models):
            as_written = Candidate(model, "model", model, self.digest_of(model))
            found.append(as_written)
            if wanted.baselines and number == 0:
                more, note = await self._variants(subject, as_written, cards[model])
                found += more
                notes += note
        return EvaluationPlan(
            subject.loaded.digest, subject.data_digest, tuple(found), tuple(notes)
        )

    def _neighbours(self, subject: EvaluationSubject) -> tuple[list[Candidate], list[str]]:
        embedders = sorted(card.id for card in self.backends.cards() if card.kind == "embed")
        if not learnable(subject.train):
            return [], []
        if not embedders:
            return [], [
                "Nearest neighbours are not measured: no embedding model is approved and served "
                "(docs/embeddings.md)."
            ]
        name = embedders[0]
        title = neighbours.NAME.format(name)
        return [Candidate(title, "neighbours", name, self.digest_of(name))], []

    async def _variants(
        self, subject: EvaluationSubject, own: Candidate, card: ModelCard
    ) -> tuple[list[Candidate], list[str]]:
        found: list[Candidate] = []
        notes: list[str] = []
        shown = len(subject.loaded.example_ids)
        for count in shots.SIZES:
            if count == shown or count > len(subject.train):
                continue
            tried = shots.with_examples(subject.loaded, shots.choose(subject.train, count))
            room = card.n_ctx - (subject.loaded.task.max_tokens or _ANSWER_ROOM)
            if count and await self.tokens(own.model, _longest(tried, subject)) > room:
                notes.append(f"The context of {own.model} cannot hold {many(count, 'example')}.")
                continue
            title = f"{own.name}, {many(count, 'example')}"
            found.append(Candidate(title, "model", own.model, own.digest, shots=count))
        if (held := forced(subject.loaded)) is not None:
            title = f"{own.name}, without {held}"
            found.append(Candidate(title, "model", own.model, own.digest, forced=False))
        return found, notes


def _longest(loaded: LoadedTask, subject: EvaluationSubject) -> Messages:
    item = max(subject.items, key=lambda item: len(item.text))
    sent = checked(loaded.task, scoring.input_of(loaded.task, item))
    return tuple(dict(turn) for turn in loaded.renderer.messages(sent))


def pinned(model_digest: str, candidate: Candidate) -> None:
    """Refuse another model than the plan names: EvaluationRefused (`evaluation_changed`)."""
    if model_digest != candidate.digest:
        raise EvaluationRefused(
            "evaluation_changed",
            f"{candidate.model} is not the model that the evaluation began on.",
        )


def names(candidates: Sequence[Candidate]) -> list[str]:
    """Their names in order."""
    return [candidate.name for candidate in candidates]
