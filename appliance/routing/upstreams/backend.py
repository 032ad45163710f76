"""An upstream as a backend: a request out, pieces of an answer in, each hop in the log.

Rules:
- The key's rights to the upstream are checked again here, also to keep its texts there.
- A hop is durable in the log before its request is sent, and so is its end before the whole answer
  is returned: the first host in the request's intent, and in its outcome if that host answered; all
  else as entries of their own.
- A request goes to another host if it was not sent, and once if it was sent and no piece of an
  answer came; all hops share one budget and one deadline.
- Everything but a whole answer is an error with a code.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

from appliance.engine.text.reply import ReplyForm
from appliance.errors import (
    ApplianceError,
    AuditUnavailable,
    BadRequest,
    Forbidden,
    Unavailable,
    UpstreamLost,
)
from appliance.routing.upstreams import kinds, labels, pooled, receipts
from appliance.routing.upstreams.connection import NotSent
from appliance.routing.upstreams.hosts import ConfiguredUpstream, UpstreamPeer
from appliance.routing.upstreams.kinds import Asked
from appliance.routing.upstreams.pooled import PooledReply
from appliance.routing.upstreams.stream import BYTES_PER_TOKEN, StreamedAnswer, Wanted
from appliance.serving.backend import FirstHop, PreparedRequest, Provenance
from appliance.serving.choices import ranked
from appliance.text import visible
from appliance.trust.statements.upstream import CLAIMED
from appliance.types import (
    Answerer,
    ContentMode,
    Delta,
    GenerationRequest,
    Json,
    ModelCard,
    PeerReceipt,
    Principal,
)
from appliance.workers.coverage import Obstacle

HOPS: Final = 3
"""Hosts that one request is offered to at most."""
_TOKENS_PER_MESSAGE: Final = 8
_TOKENS_PER_TEXT: Final = 2
_END_S: Final = 1.0
_NOTHING: Final = Asked("", b"", b"")
_numbers = itertools.count()
T = TypeVar("T")

Record = Callable[[Mapping[str, Json]], Awaitable[object]]
"""Makes an entry of the kind `hop` durable."""


@dataclass(frozen=True)
class _Prepared(PreparedRequest):
    asked: Asked = _NOTHING


class _Exchange:
    def __init__(self) -> None:
        self.cancelled = False
        self.begun = False
        self._waiting: asyncio.Timeout | None = None

    def cancel(self) -> None:
        self.cancelled = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def wait(self, ask: Callable[[], Awaitable[T]], until: float) -> T:
        """Raises TimeoutError: late, or cancelled."""
        if self.cancelled:
            raise TimeoutError
        async with asyncio.timeout_at(until) as self._waiting:
            try:
                return await ask()
            finally:
                self._waiting = None


@dataclass(frozen=True)
class UpstreamBackend:
    """A `Backend` over the hosts of an upstream.

    Attributes:
        content: retention of texts of keys without a rule of their own.
        count: counts a hop that ended and that the outcome of its request records.
    """

    card: ModelCard
    upstream: ConfiguredUpstream
    policy: int
    content: ContentMode
    record: Record
    count: Callable[[Mapping[str, Json]], None]
    _calls: dict[int, _Exchange] = field(default_factory=dict)
    _meant: dict[int, UpstreamPeer] = field(default_factory=dict)

    def check(self, principal: Principal) -> None:
        """Raises Forbidden (`upstream_forbidden`, `upstream_retention`)."""
        name = self.upstream.name
        if not principal.may_use(name):
            raise Forbidden("upstream_forbidden", f"The key may not use {name}.")
        kept = (principal.content or self.content) == "encrypted"
        if self.upstream.config.keeps_content and not kept:
            message = f"{name} may keep texts; those of the key are not."
            raise Forbidden("upstream_retention", message)

    def about(self, host: UpstreamPeer, request: GenerationRequest) -> dict[str, Json]:
        named = {"request_id": request.request_id, "upstream": self.upstream.name}
        return {**named, **_about(host)}

    async def prepare(
        self, request: GenerationRequest, principal: Principal, seed: int
    ) -> PreparedRequest:
        """The prompt's length is an estimate.

        Raises:
            BadRequest: `upstream_unsupported`, `context_length_exceeded`.
        """
        self.check(principal)
        name, config = self.upstream.name, self.upstream.config
        length = estimate(request)
        # Of several texts each is measured by the host.
        room = 0 if request.texts is not None else config.n_ctx - length
        if request.texts is None and (room < 1 or (request.max_tokens or 1) > room):
            message = f"About {length} tokens of prompt leave {max(0, room)} of {config.n_ctx}."
            raise BadRequest("context_length_exceeded", message, param="max_tokens")
        most = request.max_tokens or room
        asked = kinds.asked(self.upstream.kind, config.model, request, seed, most)
        answers = Provenance(
            model=name,
            digest=self.card.digest,
            policy=self.policy,
            engine=f"{config.kind}, another host, identity {CLAIMED}",
            obstacle=Obstacle.UPSTREAM,
        )
        number, first = next(_numbers), None
        if (host := self.upstream.choose(asked.beginning)) is not None:
            self._meant[number], first = host, FirstHop(_about(host))
            host.meant += 1
        return _Prepared(
            request, number, seed, length, most, answers, _form(request), first=first, asked=asked
        )

    async def run(self, prepared: PreparedRequest) -> AsyncGenerator[Delta, None]:
        """Raises as `Backend.run`.

        Raises:
            Unavailable: `upstream_unavailable` where no host can be asked, `upstream_busy`.
            UpstreamLost: the request was sent, and no whole answer came.
        """
        if not isinstance(prepared, _Prepared):
            raise TypeError("another backend prepared this request")
        call = self._calls[prepared.number] = _Exchange()
        meant = self._claim(prepared)
        end = asyncio.get_running_loop().time() + self.upstream.config.answer_seconds
        tried: list[UpstreamPeer] = []
        failed: list[ApplianceError] = []
        try:
            while True:
                host = await self._next(prepared, tried, call, end, failed, meant)
                if host is None:
                    for delta in _cancelled(prepared.request):
                        yield delta
                    return
                tried.append(host)
                self.upstream.begin(host)
                try:
                    hop = self._hop(host, prepared, call, end, len(tried))
                    async with contextlib.aclosing(hop):
                        async for delta in hop:
                            yield delta
                    return
                except Unavailable as error:
                    failed.append(error)
                    late = asyncio.get_running_loop().time() >= end
                    if len(tried) == HOPS or late or not _again(call, failed):
                        raise
                finally:
                    self.upstream.end(host)
        finally:
            del self._calls[prepared.number]

    async def cancel(self, prepared: PreparedRequest) -> None:
        """The host sees its connection close."""
        self._claim(prepared)
        if (call := self._calls.get(prepared.number)) is not None:
            call.cancel()

    def _claim(self, prepared: PreparedRequest) -> UpstreamPeer | None:
        if (host := self._meant.pop(prepared.number, None)) is not None:
            host.meant -= 1
        return host

    async def _next(
        self,
        prepared: _Prepared,
        tried: list[UpstreamPeer],
        call: _Exchange,
        end: float,
        failed: list[ApplianceError],
        meant: UpstreamPeer | None,
    ) -> UpstreamPeer | None:
        """None if the call was cancelled before there was a host."""
        about = prepared.asked.beginning, tried, meant
        host = None if call.cancelled else self.upstream.choose(*about)
        if host is None:
            with contextlib.suppress(TimeoutError):
                host = await call.wait(partial(self.upstream.chosen, *about), end)
        if host is None and not call.cancelled:
            if failed:
                raise failed[-1]
            raise Unavailable(
                "upstream_unavailable", f"No host of {self.upstream.name} can be asked now."
            )
        return host

    async def _hop(
        self, host: UpstreamPeer, prepared: _Prepared, call: _Exchange, end: float, number: int
    ) -> AsyncGenerator[Delta, None]:
        about: dict[str, Json] = {**self.about(host, prepared.request), "hop": number}
        first = _recorded(prepared, host, number)
        if first is None:
            await self.record({**about, "event": "sent"})
        else:
            first.unsent = False
        answer: StreamedAnswer | PooledReply
        if prepared.request.texts is None:
            seen = host.seen if self.upstream.kind.new_ids else None
            answer = StreamedAnswer(self._wanted(prepared), seen)
            pieces = self._received(host, prepared, call, end, answer)
        else:
            width, length = self.card.n_embd, prepared.prompt_tokens
            answer = PooledReply(self.upstream.kind, prepared.request, width, length)
            pieces = self._pooled(host, prepared, call, end, answer)
        by = Answerer(self.upstream.name, host.url, host.record.digest if host.record else "")
        try:
            last: list[Delta] = []
            told = False
            async with contextlib.aclosing(pieces):
                async for delta in pieces:
                    if delta.finish_reason is None:
                        yield delta if told else replace(delta, by=by)
                        told = True
                    else:
                        last.append(delta)
            if not call.cancelled:
                receipt = await self._receipt(host, answer, call, end)
                by = by if receipt is None else replace(by, receipt=receipt)
        except Exception as error:
            call.begun = answer.begun
            known = error if isinstance(error, ApplianceError) else surprised(error)
            if is_fault(known):
                self.upstream.failed(host, known)
            event = "refused" if isinstance(known, NotSent) else "failed"
            await self.record({**about, **_said(answer), "event": event, "code": known.code})
            raise
        except (GeneratorExit, asyncio.CancelledError):  # nobody takes the answer any more
            await self.record({**about, **_said(answer), "event": "cancelled"})
            raise
        event = "cancelled" if call.cancelled else "answered"
        if not call.cancelled:
            host.health.answered()
        if first is None or call.cancelled:
            await self.record({**about, **_said(answer), "event": event})
        else:
            first.answered = _said(answer)
            self.count({**about, "event": event})
        for delta in last:
            yield replace(delta, by=by)

    async def _receipt(
        self, host: UpstreamPeer, answer: StreamedAnswer | PooledReply, call: _Exchange, end: float
    ) -> PeerReceipt | None:
        if not self.upstream.genesis:
            return answer.receipt
        asked = partial(
            receipts.checked, host.connection, answer.id, answer.receipt, self.upstream.genesis
        )
        with contextlib.suppress(TimeoutError):  # of the answer, or nobody waits for it
            return await call.wait(asked, end)
        return answer.receipt

    def _wanted(self, prepared: _Prepared) -> Wanted:
        request = prepared.request
        tools = request.tools
        free = request.constraint is None and not request.task.labels and not request.task.common
        functions = tools.functions if tools is not None else ()
        offered = frozenset(str(function["name"]) for function in functions)
        return Wanted(
            self.upstream.config.answer_kib << 10,
            prepared.max_tokens,
            prepared.prompt_tokens,
            request.choices,
            frozenset(tools.forced) if tools is not None and tools.forced else offered,
            calls=None if tools is None or tools.parallel else 1,
            must_call=tools is not None and bool(tools.forced),
            # A task reads the answer alone.
            reasoning=request.messages is not None and free,
            receipt=self.upstream.kind.receipts,
        )

    async def _pooled(
        self,
        host: UpstreamPeer,
        prepared: _Prepared,
        call: _Exchange,
        end: float,
        answer: PooledReply,
    ) -> AsyncGenerator[Delta, None]:
        asked, config = prepared.asked, self.upstream.config
        form, name = pooled.form(prepared.request), _name(prepared)
        most = pooled.most(prepared.request, self.card.n_embd, config.answer_kib << 10)
        ask = partial(host.connection.document, asked.path, asked.body, form, name, most)
        clock = asyncio.get_running_loop().time
        try:
            told, headers = await call.wait(ask, min(clock() + config.idle_seconds, end))
        except TimeoutError as error:
            if not call.cancelled:
                raise _late(clock() >= end) from error
            pieces = _cancelled(prepared.request)
        except ApplianceError as error:
            raise pooled.too_long(self.upstream.kind, error) from error
        else:
            pieces = await asyncio.to_thread(answer.read, told, headers)
        for piece in pieces:
            yield piece

    async def _received(
        self,
        host: UpstreamPeer,
        prepared: _Prepared,
        call: _Exchange,
        end: float,
        answer: StreamedAnswer,
    ) -> AsyncGenerator[Delta, None]:
        asked, request = prepared.asked, prepared.request
        held: list[Delta] = []
        told = 0
        echoes = [request.prompt or ""] * request.choices if request.echo else []
        clock, idle = asyncio.get_running_loop().time, self.upstream.config.idle_seconds
        live = clock() + idle
        async with contextlib.AsyncExitStack() as stack:
            try:
                stream = host.connection.stream(asked.path, asked.body, _name(prepared))
                chunks = await call.wait(partial(stack.enter_async_context, stream), min(live, end))
                more = partial(anext, chunks, None)
                while (data := await call.wait(more, min(live, end))) is not None:
                    pieces, event = await answer.feed(data)
                    if event:
                        live = clock() + idle
                        host.health.heard()
                    while pieces and echoes:
                        yield Delta(echoes.pop(), 0, index=len(echoes))
                    for piece in pieces:
                        told += piece.tokens
                        if request.task.labels:
                            held.append(piece)
                        elif piece.logprobs and request.logprobs is None and not ranked(request):
                            yield replace(piece, logprobs=())
                        else:
                            yield piece
                    if answer.ended:  # what is left is the end of the body
                        live = min(live, clock() + _END_S)
            except TimeoutError as error:
                if call.cancelled:
                    for piece in _cancelled(request):
                        yield piece
                    return
                if not answer.ended:
                    raise _late(clock() >= end) from error
        *rest, last = answer.last()
        while echoes:
            yield Delta(echoes.pop(), 0, index=len(echoes))
        tokens = max(0, answer.tokens - told) + sum(piece.tokens for piece in held)
        if not request.task.labels:
            for piece in rest:
                yield piece
            yield last if last.tokens == tokens else replace(last, tokens=tokens)
            return
        text = "".join(piece.text for piece in held)
        logprobs = [token for piece in held for token in piece.logprobs]
        yield replace(
            last, tokens=tokens, vector=labels.vector(request.task.labels, text, logprobs)
        )


def _about(host: UpstreamPeer) -> dict[str, Json]:
    digest = host.record.digest if host.record else ""
    return {"host": host.url, "digest": digest, "identity": CLAIMED, "state": host.state}


def _recorded(prepared: PreparedRequest, host: UpstreamPeer, number: int) -> FirstHop | None:
    """None: the hop has entries of its own."""
    first = prepared.first
    same = number == 1 and first is not None and first.recorded and first.sent == _about(host)
    return first if same else None


def _again(call: _Exchange, failed: list[ApplianceError]) -> bool:
    sent = [error for error in failed if not isinstance(error, NotSent)]
    return not call.begun and len(sent) <= 1 and not isinstance(failed[-1], AuditUnavailable)


def _name(prepared: _Prepared) -> str:
    """Engines make the answer's id of it."""
    return f"{prepared.request.request_id or 'call'}-{prepared.number}"


def _late(whole: bool) -> UpstreamLost:
    what = "took too long" if whole else "sent nothing for too long"
    return UpstreamLost("upstream_timeout", f"The upstream {what}.")


def estimate(request: GenerationRequest) -> int:
    """Estimated tokens, rather more: bytes by three, and some a message."""
    if request.tokens is not None:
        return len(request.tokens)
    if request.texts is not None:
        query = 0 if request.query is None else _tokens(request.query) + 1
        return sum(_tokens(text) + query + _TOKENS_PER_TEXT for text in request.texts)
    if request.messages is None:
        return _tokens(request.prompt or "") + 1
    told = [(turn.get("content", ""), turn.get("tool_calls", "")) for turn in request.messages]
    told += [(function, "") for function in (request.tools.functions if request.tools else ())]
    texts = [
        json.dumps(part, ensure_ascii=False) if part else "" for parts in told for part in parts
    ]
    return sum(map(_tokens, texts)) + _TOKENS_PER_MESSAGE * len(told)


def _cancelled(request: GenerationRequest) -> list[Delta]:
    return [Delta("", 0, "cancelled", index) for index in range(request.choices)]


def _form(request: GenerationRequest) -> ReplyForm:
    if request.messages is None:
        return ReplyForm()
    if request.tools is None:
        return ReplyForm(thinking="tags")
    names = frozenset(str(function["name"]) for function in request.tools.functions)
    return ReplyForm("hermes", names, thinking="tags")


def _tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def _said(answer: StreamedAnswer | PooledReply) -> dict[str, Json]:
    """The host's claims; `counts` says that its token counts are not believed."""
    said: dict[str, Json] = {
        "answer": visible(answer.id),
        "model": visible(answer.model),
        "fingerprint": visible(answer.fingerprint),
        "finish": answer.finish,
    }
    return said | {"counts": "ours"} if answer.doubted else said


def surprised(error: Exception) -> ApplianceError:
    """The error for an unexpected one."""
    return ApplianceError("internal_error", f"Its answer led to a {type(error).__name__} here.")


def is_fault(error: ApplianceError) -> bool:
    """True if an error concerns the host and not the request."""
    if isinstance(error, AuditUnavailable) or error.code == "upstream_busy":
        return False
    return isinstance(error, Unavailable) or error.code == "internal_error"
