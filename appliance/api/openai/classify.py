"""`POST /v1/classify`: texts sorted into the labels of a task.

Rule: each text is a request of its own for the log, the queue and the quota; if one cannot be
answered, none is.
"""

from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from appliance.api.deps import CallerDep, asking_for, services_of
from appliance.api.described import QUEUED, RECORDED
from appliance.api.json_body import JsonRoute
from appliance.api.openai.formats import token_usage
from appliance.api.openai.pooled import PooledAnswer
from appliance.api.openai.requests import person_of
from appliance.api.openai.several import start_all
from appliance.serving.generation import ServedAnswer
from appliance.types import Delta, GenerationRequest, TaskAnswer, TaskNeeds
from appliance.wire.openai.classify import (
    Classification,
    ClassifyAbout,
    ClassifyRequest,
    ClassifyResponse,
)

router = APIRouter(tags=["classify"], route_class=JsonRoute)


@router.post("/v1/classify", response_model=ClassifyResponse, responses={**RECORDED, **QUEUED})
async def classify(request: Request, body: ClassifyRequest, caller: CallerDep) -> Response:
    """The likeliest label of each text, and the probability of every label."""
    needs = TaskNeeds(distribution=True)
    wanted = [GenerationRequest(body.model, prompt=text, task=needs) for text in body.input]
    asker = asking_for(request, caller, person_of(body))
    return PooledAnswer(
        partial(start_all, services_of(request).inference, asker, wanted),
        partial(classified, request_id=caller.request_id),
    )


def classified(
    generation: ServedAnswer, pieces: Sequence[Delta], request_id: str
) -> ClassifyResponse:
    """The document, from the labels of all texts."""
    answers = sorted((piece.index, piece.about) for piece in pieces if piece.about is not None)
    return ClassifyResponse(
        id=f"classify-{request_id.removeprefix('req-')}",
        created=generation.created,
        model=generation.card.id,
        data=[_classification(index, about) for index, about in answers],
        usage=token_usage(generation),
        x_appliance=_about(answers[0][1]),
    )


def _classification(index: int, about: TaskAnswer) -> Classification:
    shares = [share for _, share in about.distribution]
    best = max(range(len(shares)), key=lambda n: (shares[n], -n))
    return Classification(
        index=index,
        label=about.distribution[best][0],
        probs=shares,
        num_classes=len(shares),
    )


def _about(about: TaskAnswer) -> ClassifyAbout:
    return ClassifyAbout(
        task=about.task,
        version=about.version,
        digest=about.digest,
        stage=about.stage,
        candidate={"kind": about.kind, "digest": about.candidate},
        labels=[name for name, _ in about.distribution],
    )
