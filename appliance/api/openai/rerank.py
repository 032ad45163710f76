"""`POST /v1/rerank`: documents by their relevance for a query."""

import math
from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from appliance.api.deps import CallerDep, asking_for, services_of
from appliance.api.described import RECORDED
from appliance.api.json_body import JsonRoute
from appliance.api.openai.embeddings import floats
from appliance.api.openai.pooled import PooledAnswer, usage, vectors
from appliance.api.openai.requests import person_of
from appliance.serving.generation import ServedAnswer
from appliance.types import Delta, GenerationRequest
from appliance.wire.openai.rerank import Document, RerankRequest, RerankResponse, RerankResult

router = APIRouter(tags=["rerank"], route_class=JsonRoute)


@router.post(
    "/v1/rerank",
    response_model=RerankResponse,
    response_model_exclude_none=True,
    responses=RECORDED,
)
async def rerank(request: Request, body: RerankRequest, caller: CallerDep) -> Response:
    """The documents, most relevant first."""
    wanted = GenerationRequest(model=body.model, texts=tuple(body.documents), query=body.query)
    asker = asking_for(request, caller, person_of(body))
    return PooledAnswer(
        partial(
            services_of(request).inference.start,
            asker,
            wanted,
        ),
        partial(_write, body=body, request_id=caller.request_id),
    )


def _write(
    generation: ServedAnswer, pieces: Sequence[Delta], body: RerankRequest, request_id: str
) -> RerankResponse:
    scores = [floats(vector)[0] for vector in vectors(pieces)]
    order = sorted(range(len(scores)), key=lambda number: -scores[number])
    results = [
        RerankResult(
            index=number,
            relevance_score=relevance(scores[number]),
            document=Document(text=body.documents[number]) if body.return_documents else None,
        )
        for number in order[: body.top_n]
    ]
    return RerankResponse(
        id=f"rerank-{request_id.removeprefix('req-')}",
        model=generation.card.id,
        results=results,
        usage=usage(generation),
    )


def relevance(score: float) -> float:
    """A score on the logistic scale, from 0 to 1, as rerankers with one output are trained."""
    if score >= 0:
        return 1 / (1 + math.exp(-score))
    return math.exp(score) / (1 + math.exp(score))
