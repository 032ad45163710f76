"""`POST /v1/embeddings`: one vector a text."""

import base64
from array import array
from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from appliance.api.deps import CallerDep, asking_for, services_of
from appliance.api.described import RECORDED
from appliance.api.json_body import JsonRoute
from appliance.api.openai.pooled import PooledAnswer, usage, vectors
from appliance.api.openai.requests import person_of
from appliance.errors import BadRequest
from appliance.serving.generation import ServedAnswer
from appliance.types import Delta, GenerationRequest
from appliance.wire.openai.embeddings import Embedding, EmbeddingList, EmbeddingRequest

router = APIRouter(tags=["embeddings"], route_class=JsonRoute)


@router.post("/v1/embeddings", response_model=EmbeddingList, responses=RECORDED)
async def embeddings(request: Request, body: EmbeddingRequest, caller: CallerDep) -> Response:
    """A vector for each text."""
    inference, asker = services_of(request).inference, asking_for(request, caller, person_of(body))
    wanted = GenerationRequest(model=body.model, texts=tuple(body.input))
    if body.dimensions is not None:
        for card in inference.cards(caller.principal):
            if card.id == body.model and card.kind == "embed":
                _check_width(body.dimensions, card.n_embd)
    return PooledAnswer(
        partial(inference.start, asker, wanted),
        partial(_write, base64_wanted=body.encoding_format == "base64"),
    )


def _check_width(wanted: int, width: int) -> None:
    if wanted != width:
        raise BadRequest(
            "unsupported_parameter",
            f"dimensions: the model's vectors have {width} numbers, and nothing in its file says "
            "that it was trained to be cut shorter.",
            param="dimensions",
        )


def _write(generation: ServedAnswer, pieces: Sequence[Delta], base64_wanted: bool) -> EmbeddingList:
    return EmbeddingList(
        data=[
            Embedding(
                index=number,
                embedding=base64.b64encode(vector).decode() if base64_wanted else floats(vector),
            )
            for number, vector in enumerate(vectors(pieces))
        ],
        model=generation.card.id,
        usage=usage(generation),
    )


def floats(vector: bytes) -> list[float]:
    """Little-endian 32-bit floats as numbers."""
    return array("f", vector).tolist()
