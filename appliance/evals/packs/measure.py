"""A model on a pack: asked through the path of apps, with a summary of its outcomes.

Rules: the model is asked without the task's prompt; choices are scored as labels, all else is
greedy; a frozen text is scored, and its outcome holds the sum of its log-probabilities.
"""

import json
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Final

from appliance.evals import metrics
from appliance.evals.asking import CandidateReply, asked
from appliance.evals.outcomes import Outcome
from appliance.evals.packs.items import LETTERS, PackItem
from appliance.serving.inference import Inference
from appliance.statistics import groups
from appliance.types import GenerationRequest, Sampling, TaskNeeds

_TOKENS: Final = {"number": 48, "word": 24, "refusal": 48}
_GREEDY: Final = Sampling(temperature=0)
_NUMBER: Final = re.compile(r"-?\d+")


@dataclass(frozen=True)
class AskingPack:
    """Asks one model.

    Attributes:
        label: names the evaluation in the log.
    """

    model: str
    inference: Inference
    label: str

    async def outcome(self, item: PackItem) -> Outcome:
        """Raises as `asking.asked`."""
        told = await asked(self.inference, f"{self.label}-{item.id}", self._request(item))
        answer, right = (None, 0.0) if told.text is None else _scored(item, told)
        return Outcome(
            item=item.id,
            group=item.id,
            expected=item.expected,
            answer=answer,
            micros=round(right * 1e6),
            microseconds=max(1, round(told.seconds * 1e6)),
            tokens=told.tokens,
            stratum=item.language,
            failure=told.failure,
        )

    def _request(self, item: PackItem) -> GenerationRequest:
        if item.kind == "text":
            return GenerationRequest(
                model=self.model,
                prompt=item.prompt,
                max_tokens=0,
                sampling=_GREEDY,
                logprobs=0,
                echo=True,
            )
        return GenerationRequest(
            model=self.model,
            messages=({"role": "user", "content": item.prompt},),
            sampling=_GREEDY,
            max_tokens=_TOKENS.get(item.kind),
            task=TaskNeeds(labels=LETTERS if item.kind == "choice" else ()),
        )


def summary(pack: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Summarise a pack's outcomes as JSON."""
    if pack == "frozen":
        return {
            language: _likelihood([o for o in outcomes if o.stratum == language])
            for language in sorted({o.stratum for o in outcomes})
        }
    told: dict[str, Any] = {"items": len(outcomes), **_share(outcomes)}
    for language in sorted({o.stratum for o in outcomes}):
        told[language] = _share([o for o in outcomes if o.stratum == language])
    if pack == "refusals":
        wrong = [o for o in outcomes if not o.micros]
        told["refused_wrongly"] = sum(o.expected == "answer" for o in wrong)
        told["answered_wrongly"] = sum(o.expected == "refuse" for o in wrong)
    return told


def _share(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    found = groups.mean([o.score for o in outcomes], [o.group for o in outcomes])
    return {"quality": found.value, "interval": list(found.interval)}


def _likelihood(outcomes: Sequence[Outcome]) -> dict[str, float | int]:
    """Pieces that failed are counted apart."""
    told = [json.loads(o.answer) for o in outcomes if o.answer is not None]
    nats = sum(each["micronats"] for each in told) / 1e6
    tokens, size = sum(each["tokens"] for each in told), sum(each["bytes"] for each in told)
    return {
        "nats_per_token": nats / tokens if tokens else 0.0,
        "bits_per_byte": nats / log(2) / size if size else 0.0,
        "tokens": tokens,
        "failed": len(outcomes) - len(told),
    }


def _scored(item: PackItem, told: CandidateReply) -> tuple[str, float]:
    text = told.text or ""
    if item.kind == "choice":
        values = array("f", told.vector)
        answer = LETTERS[max(range(len(values)), key=lambda n: (values[n], -n))]
        return answer, float(answer == item.expected)
    if item.kind == "text":
        known = [value for value in told.logprobs if value is not None]
        likelihood = {
            "bytes": len(item.prompt.encode()),
            "micronats": round(-sum(known) * 1e6),
            "tokens": len(known),
        }
        return json.dumps(likelihood, sort_keys=True), 0.0
    if item.kind == "number":
        numbers = _NUMBER.findall(text.replace(",", ""))
        return text, float(bool(numbers) and numbers[-1] == item.expected)
    if item.kind == "refusal":
        return text, float(metrics.refuses(text) == (item.expected == "refuse"))
    word = text.strip().strip(".\"'*`„“”»«").strip()
    if item.expected.isupper():
        return text, float(word == item.expected)
    return text, float(word.casefold() == item.expected.casefold())
