"""`GET /v1/models` and `GET /v1/models/{id}`: what the key may use now."""

from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep, services_of
from appliance.clock import iso
from appliance.errors import NotFound
from appliance.types import ModelCard
from appliance.wire.openai.models import Model, ModelList, ModelMeta

router = APIRouter(tags=["models"])


@router.get("/v1/models")
async def models(request: Request, caller: CallerDep) -> ModelList:
    """The models that the key may use: those in memory, and those that a request would load."""
    cards = services_of(request).inference.cards(caller.principal)
    data = [_model(card) for card in cards]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return ModelList(data=data, first_id=first, last_id=last)


@router.get("/v1/models/{model_id:path}")
async def model(request: Request, caller: CallerDep, model_id: str) -> Model:
    """One model; ids may contain slashes, escaped or not, and colons."""
    model_id = model_id.replace("%2F", "/")
    for card in services_of(request).inference.cards(caller.principal):
        if card.id == model_id:
            return _model(card)
    raise NotFound("model_not_found", "The model does not exist.", param="model")


def _model(card: ModelCard) -> Model:
    chats = card.use == "chat"
    meta = ModelMeta(
        type=card.use,
        digest=card.digest,
        kind=card.kind,
        loaded=card.loaded,
        tools=chats and card.tools,
        json_schema=chats and card.json_schema,
        labels=card.form == "labels",
        citations=card.citations,
        licence=card.licence or None,
        form=card.form or None,
        dimensions=card.n_embd if card.use == "embedder" else None,
        base_digest=card.base_digest or None,
        upstream=card.upstream or None,
        identity="claimed" if card.upstream else None,
    )
    return Model(
        id=card.id,
        display_name=card.id,
        created=card.created,
        created_at=iso(card.created * 1_000_000),
        parent=card.parent,
        max_model_len=card.n_ctx or None,
        meta=meta,
    )
