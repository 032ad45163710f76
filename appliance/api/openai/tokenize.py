"""`POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`, at the root as vLLM has them."""

from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep, services_of
from appliance.api.json_body import JsonRoute
from appliance.types import GenerationRequest
from appliance.wire.openai.tokenize import (
    Detokenized,
    DetokenizeRequest,
    Tokenized,
    TokenizeRequest,
    TokenizerInfo,
)

router = APIRouter(tags=["tokens"], route_class=JsonRoute)


@router.post("/tokenize")
async def tokenize(request: Request, body: TokenizeRequest, caller: CallerDep) -> Tokenized:
    """The tokens of a text or of a conversation, as the model would read them."""
    tokenizers = services_of(request).tokenizers
    card = tokenizers.card(caller.principal, body.model)
    messages = None if body.messages is None else tuple(m.spoken() for m in body.messages)
    answer = await tokenizers.tokens(
        caller.principal,
        GenerationRequest(
            card.id,
            messages=messages,
            prompt=body.prompt,
            tools=body.offer,
            thinking=body.thinking,
            request_id=caller.request_id,
        ),
        special=body.add_special_tokens is not False,
        strings=bool(body.return_token_strs),
    )
    strings = [string.decode("utf-8", "replace") for string in answer.strings]
    return Tokenized(
        count=len(answer.tokens),
        max_model_len=card.n_ctx,
        tokens=answer.tokens,
        token_strs=strings if body.return_token_strs else None,
    )


@router.post("/detokenize")
async def detokenize(request: Request, body: DetokenizeRequest, caller: CallerDep) -> Detokenized:
    """The text of tokens."""
    tokenizers = services_of(request).tokenizers
    card = tokenizers.card(caller.principal, body.model)
    wanted = GenerationRequest(card.id, tokens=tuple(body.tokens), request_id=caller.request_id)
    answer = await tokenizers.tokens(caller.principal, wanted)
    return Detokenized(prompt=answer.text)


@router.get("/tokenizer_info")
async def tokenizer_info(
    request: Request, caller: CallerDep, model: str | None = None
) -> TokenizerInfo:
    """The special tokens and the chat template of a model."""
    tokenizers = services_of(request).tokenizers
    card = tokenizers.card(caller.principal, model)
    known = await tokenizers.vocabulary(caller.principal, card.id)
    return TokenizerInfo(
        model=card.id,
        max_model_len=card.n_ctx,
        bos_token=known.bos or None,
        eos_token=known.eos or None,
        pad_token=known.pad or None,
        add_bos_token=known.adds_bos,
        chat_template=known.template,
    )
