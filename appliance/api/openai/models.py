"""`GET /v1/models` and `GET /v1/models/{id}`: what the key may use now."""

from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep, services_of
from appliance.errors import NotFound
from appliance.types import ModelCard
from appliance.wire.openai.models import Model, ModelList

router = APIRouter(tags=["models"])


@router.get("/v1/models")
async def models(request: Request, caller: CallerDep) -> ModelList:
    """The models that the key may use: those in memory, and those that a request would load."""
    cards = services_of(request).inference.cards(caller.principal)
    return ModelList(data=[_model(card) for card in cards])


@router.get("/v1/models/{model_id:path}")
async def model(request: Request, caller: CallerDep, model_id: str) -> Model:
    """One model; ids may contain slashes, escaped or not, and colons."""
    model_id = model_id.replace("%2F", "/")
    for card in services_of(request).inference.cards(caller.principal):
        if card.id == model_id:
            return _model(card)
    raise NotFound("model_not_found", "The model does not exist.", param="model")


def _model(card: ModelCard) -> Model:
    meta = {"digest": card.digest, "kind": card.kind, "loaded": card.loaded, **card.extra}
    if card.form:
        meta["form"] = card.form
    if card.parent is not None:
        meta["base_digest"] = card.base_digest
    if card.kind == "embed":
        meta["dimensions"] = card.n_embd
    return Model(
        id=card.id,
        created=card.created,
        parent=card.parent,
        max_model_len=card.n_ctx,
        meta=meta,
    )
