"""`POST /v1/responses`: a stateless answer as a document or as the typed events of the SDKs.

Rules: every event has a type, also as its `event:` line, and the next sequence number; an output
item is opened, filled, closed in that order and at one index; the last event carries the whole
response; the comment before it is the receipt. A failure in mid-stream is the event
`response.failed`, then the error of all streams, which the SDKs raise.

Source: OpenAI API reference, responses and their streaming events.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeAlias

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response as WrittenResponse

from appliance.api.deps import CallerDep, asking_for, services_of
from appliance.api.described import STREAMED
from appliance.api.json_body import JsonRoute, computed
from appliance.api.openai.annotations import cited_files
from appliance.api.openai.answer import Answer, collected, unbroken
from appliance.api.openai.formats import Format, PartialChoice
from appliance.api.openai.pooled import WhenComputed
from appliance.api.openai.requests import log_ignored, person_of
from appliance.api.openai.stored import ResponseKeeping, conversation_of, keeping
from appliance.app import Services
from appliance.engine.text.reply import ParsedReply, Piece
from appliance.errors import ApplianceError, BadRequest, Unavailable
from appliance.observability.unexpected import unexpected
from appliance.serving.generation import ServedAnswer
from appliance.types import Caller, Delta, GenerationRequest, JsonValue, Sampling
from appliance.wire.openai.responses_reply import InputTokens, Response
from appliance.wire.openai.responses_request import Item, ResponsesRequest

router = APIRouter(tags=["generate"], route_class=JsonRoute)
_Ended: TypeAlias = Literal["queued", "failed", "cancelled"]
"""The states of a response without an answer."""


@router.post("/v1/responses", response_model=Response, responses=STREAMED)
async def responses(
    request: Request, body: ResponsesRequest, caller: CallerDep
) -> Answer | WhenComputed:
    """Answer a conversation, which may continue from a response that is kept."""
    log_ignored(body, caller.request_id)
    services, asker = services_of(request), asking_for(request, caller, person_of(body))
    past, given = await conversation_of(services, asker, body)
    keeper = await keeping(services, asker, body, past, given)
    make = partial(response_generation, body)
    asked = await computed(request, make, (*past.items, *given))
    start = partial(services.inference.start, asker, asked)
    if body.background:
        return WhenComputed(partial(_in_background, services, caller, body, start, keeper))
    return Answer(
        start,
        partial(ResponsesFormat, request_id=caller.request_id, body=body, keeping=keeper),
        request_id=caller.request_id,
        stream=bool(body.stream),
    )


async def _in_background(
    services: Services,
    caller: Caller,
    body: ResponsesRequest,
    start: Callable[[], Awaitable[ServedAnswer]],
    keeper: ResponseKeeping | None,
) -> WrittenResponse:
    """Begin a response, which continues without its client; a refusal is reported at once
    (`unsupported_parameter` where no response of the key is kept, `queue_full`, `answer_unkept`).
    """
    if keeper is None or not keeper.stores:
        what = "background: no response of this key is kept, so it could not be read."
        raise BadRequest("unsupported_parameter", what, param="background")
    services.backgrounds.check_room(caller.principal.key_id)
    generation = await unbroken(start())
    form = ResponsesFormat(generation, caller.request_id, body, keeper)
    try:
        await form.keep_standing("queued")
    except BaseException:
        await generation.cancel()
        raise
    place = keeper.place(form.response_id)
    work = partial(_finish, form, caller.request_id)
    services.backgrounds.start(place, caller.principal.key_id, generation, work)
    headers = {"x-appliance-receipt": generation.intent.header()}
    queued = msgspec.json.encode(form.standing("queued"))
    return WrittenResponse(queued, media_type="application/json", headers=headers)


async def _finish(form: "ResponsesFormat", request_id: str, pieces: AsyncIterator[Delta]) -> None:
    """Keep the response, also if it failed or was cancelled."""
    try:
        form.whole(await collected(pieces, form))
        await form.keep()
        return
    except Exception as error:
        known = error if isinstance(error, ApplianceError) else unexpected(error, request_id)
    status: _Ended = "cancelled" if known.code == "request_cancelled" else "failed"
    with contextlib.suppress(Unavailable):  # then what is kept says that it began, and no more
        await form.keep_standing(status, known)


@router.post("/v1/responses/input_tokens")
async def input_tokens(request: Request, body: ResponsesRequest, caller: CallerDep) -> InputTokens:
    """The length of a conversation as the model would read it."""
    log_ignored(body, caller.request_id)
    services = services_of(request)
    past, given = await conversation_of(services, caller, body)
    asked = response_generation(body, (*past.items, *given))
    asked = replace(asked, request_id=caller.request_id)
    found = await services.tokenizers.tokens(caller.principal, asked)
    return InputTokens(input_tokens=len(found.tokens))


def response_generation(body: ResponsesRequest, items: Sequence[Item]) -> GenerationRequest:
    """A conversation, to be rendered by the model's template."""
    off = body.reasoning is not None and body.reasoning.effort == "none"
    return GenerationRequest(
        model=body.model,
        messages=tuple(_messages(body.instructions, items)),
        max_tokens=body.max_output_tokens,
        sampling=Sampling(
            temperature=1.0 if body.temperature is None else body.temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
        ),
        constraint=body.constraint,
        tools=body.offer,
        thinking=False if off else None,
    )


def _messages(instructions: str | None, items: Sequence[Item]) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    if instructions:
        said.append({"role": "system", "content": instructions})
    for item in items:
        if item.type == "message":
            role = "system" if item.role == "developer" else item.role
            said.append({"role": role, "content": item.content})
        elif item.type == "function_call":
            if not said or said[-1]["role"] != "assistant":
                said.append({"role": "assistant", "content": ""})
            said[-1].setdefault("tool_calls", []).append(item.call())
        elif item.type == "function_call_output":
            said.append({"role": "tool", "content": item.output, "tool_call_id": item.call_id})
    return said


def _failure(error: ApplianceError) -> dict[str, JsonValue]:
    return {"code": "server_error", "message": error.message}  # of OpenAI's few codes


class ResponsesFormat(Format):
    """`/v1/responses`, which repeats `body` in part; `keeping` is None where it is not kept."""

    prefix = "resp"
    object = "response"

    def __init__(
        self,
        generation: ServedAnswer,
        request_id: str,
        body: ResponsesRequest,
        keeping: ResponseKeeping | None,
    ) -> None:
        super().__init__(generation, request_id, "last")
        self._body, self._keeping = body, keeping
        self._reply = ParsedReply(generation.form)
        self._items: list[dict[str, Any]] = []
        self._open: str | None = None  # the kind of the last item while it grows
        self._number = 0
        self._finish = ""

    def whole(self, choices: Sequence[PartialChoice]) -> Response:
        self.piece(Delta(choices[0].text, 0))
        self.end(choices[0].last)
        return Response.model_validate(self._response())

    def opening(self) -> bytes:
        empty = {**self._response(), "status": "in_progress"}
        created = self._typed("response.created", response=empty)
        return created + self._typed("response.in_progress", response=empty)

    def piece(self, delta: Delta) -> bytes:
        return b"".join(map(self._grow, self._reply.push(delta.text)))

    def end(self, last: Delta) -> bytes:
        self._finish = last.finish_reason or ""
        events = b"".join(map(self._grow, self._reply.finish()))
        if not self._items:  # an answer without a word is a message all the same
            events += self._begin("content", "")
        return events + self._close()

    async def keep(self) -> None:
        if self._keeping is not None:
            output = [msgspec.json.encode(item) for item in self._items]
            told = msgspec.json.encode(self._told())
            await self._keeping.keep(self.response_id, told, output)

    async def keep_standing(self, status: _Ended, error: ApplianceError | None = None) -> None:
        if self._keeping is not None:
            told = msgspec.json.encode(self.standing(status, error))
            await self._keeping.keep(self.response_id, told, [])

    def standing(self, status: _Ended, error: ApplianceError | None = None) -> dict[str, JsonValue]:
        """The response without an answer."""
        failed = None if error is None or status == "cancelled" else _failure(error)
        bare: dict[str, JsonValue] = {"output": [], "usage": None, "error": failed}
        return {**self._response(), **bare, "status": status}

    @property
    def response_id(self) -> str:
        found: str = self.head["id"].replace("-", "_", 1)
        return found

    def closing(self) -> bytes:
        kind = "response.incomplete" if self._finish == "length" else "response.completed"
        receipt = b""
        if self._generation.outcome is not None:
            receipt = f": receipt {self._generation.outcome.header()}\n\n".encode()
        return receipt + self._typed(kind, response=self._told())

    def _told(self) -> dict[str, JsonValue]:
        """The response with what a task adds to it."""
        about = self._generation.about
        more = {} if about is None else {"x_appliance": about.document()}
        return {**self._response(), **more}

    def failing(self, error: ApplianceError) -> bytes:
        failed = {
            **self._response(),
            "status": "failed",
            "error": _failure(error),
        }
        return self._typed("response.failed", response=failed) + super().failing(error)

    def _grow(self, piece: Piece) -> bytes:
        if piece.kind == "call":
            return self._close() + self._begin("call", piece.text)
        events = b""
        kind = "call" if piece.kind == "arguments" else piece.kind
        if self._open != kind:
            events = self._close() + self._begin(kind, "")
        item = self._items[-1]
        if kind == "call":
            item["arguments"] += piece.text
            return events + self._about("response.function_call_arguments.delta", delta=piece.text)
        item["content"][0]["text"] += piece.text
        name = "output_text" if kind == "content" else "reasoning_text"
        more: dict[str, Any] = {"logprobs": []} if kind == "content" else {}
        return events + self._about(
            f"response.{name}.delta", content_index=0, delta=piece.text, **more
        )

    def _begin(self, kind: str, name: str) -> bytes:
        self._open = kind
        own, place = self.head["id"].removeprefix("resp-"), len(self._items)
        number = f"{own}_{place}"
        if kind == "call":
            item: dict[str, Any] = {
                "type": "function_call", "id": f"fc_{number}", "name": name, "arguments": "",
                "call_id": f"call_{own[:24]}_{place}", "status": "in_progress",
            }  # fmt: skip
        elif kind == "reasoning":
            item = {"type": "reasoning", "id": f"rs_{number}", "summary": [], "content": []}
        else:
            item = {
                "type": "message", "id": f"msg_{number}", "role": "assistant", "content": [],
                "status": "in_progress",
            }  # fmt: skip
        self._items.append(item)
        events = self._typed(
            "response.output_item.added", output_index=len(self._items) - 1, item=item
        )
        if kind == "call":
            return events
        part: dict[str, Any] = {"type": "reasoning_text", "text": ""}
        if kind == "content":
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        item["content"] = [part]
        return events + self._about("response.content_part.added", content_index=0, part=part)

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        item, kind, self._open = self._items[-1], self._open, None
        cut = self._finish == "length"
        if kind != "reasoning":
            item["status"] = "incomplete" if cut else "completed"
        if kind == "call":
            events = self._about(
                "response.function_call_arguments.done",
                arguments=item["arguments"],
                name=item["name"],
            )
        else:
            part = item["content"][0]
            if kind == "content":
                part["annotations"] = cited_files(self._generation)
            name = "output_text" if kind == "content" else "reasoning_text"
            more: dict[str, Any] = {"logprobs": []} if kind == "content" else {}
            events = self._about(
                f"response.{name}.done", content_index=0, text=part["text"], **more
            ) + self._about("response.content_part.done", content_index=0, part=part)
        index = len(self._items) - 1
        return events + self._typed("response.output_item.done", output_index=index, item=item)

    def _about(self, kind: str, **fields: Any) -> bytes:
        index = len(self._items) - 1
        return self._typed(kind, item_id=self._items[-1]["id"], output_index=index, **fields)

    def _typed(self, kind: str, **fields: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return f"event: {kind}\ndata: ".encode() + msgspec.json.encode(event) + b"\n\n"

    def _response(self) -> dict[str, Any]:
        body, usage = self._body, self.usage()
        cut = self._finish == "length"
        choice = body.tool_choice or "auto"
        return {
            "id": self.response_id,
            "object": "response",
            "created_at": self.head["created"],
            "model": self.head["model"],
            "status": "incomplete" if cut else "completed",
            "background": body.background is True,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": body.instructions,
            "metadata": body.metadata or {},
            "max_output_tokens": body.max_output_tokens,
            "output": self._items,
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "store": self._keeping is not None and self._keeping.stores,
            "conversation": body.conversation.model_dump() if body.conversation else None,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "text": body.text.model_dump(by_alias=True, exclude_none=True) if body.text else {},
            "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
            "tools": [tool.model_dump() for tool in body.tools or ()],
            "truncation": "disabled",
            "usage": {
                "input_tokens": usage.prompt_tokens,
                "input_tokens_details": {
                    "cached_tokens": usage.prompt_tokens_details.cached_tokens,
                    "cache_write_tokens": 0,
                },
                "output_tokens": usage.completion_tokens,
                "output_tokens_details": {"reasoning_tokens": self.reasoned},
                "total_tokens": usage.total_tokens,
            },
        }
