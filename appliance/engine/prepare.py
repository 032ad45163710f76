"""From a request to token ids: the step before anything is recorded or run.

Rules: runs on the worker's reader thread, never on the decode thread; nothing is cut to fit the
context; every limit is in bytes or tokens and stated in the refusal. Only the template writes
control tokens of a conversation; those of a plain prompt are the client's to write. The work is
linear in the bytes of a request, and bounded (`effort`).
"""

import contextlib
from collections.abc import Collection, Iterator
from collections.abc import Sequence as ReadOnly
from dataclasses import replace
from itertools import product
from typing import Final, Protocol

from appliance.engine import effort
from appliance.engine.limits import check_count, too_long
from appliance.engine.protocol import Tokenize, Tokens
from appliance.engine.text.control import BREAK, ControlTexts
from appliance.engine.text.dialects import Message
from appliance.engine.text.reasoning import Thinking
from appliance.engine.text.templates import ChatTemplate
from appliance.errors import BadRequest
from appliance.types import GenerationRequest, Tools

_MORE: Final = 4
"""A prompt is counted to its end if it is at most so many times as long as the context."""
_ROLES: Final = ("system", "user", "assistant", "tool")
_REPEATED: Final = 8


class Tokenizer(Protocol):
    """The vocabulary's part of the runner."""

    n_vocab: int

    def tokenize(
        self, text: str, *, add_special: bool, parse_special: bool, most: int | None = None
    ) -> list[int]:
        """Token ids of a text; soon after `most` tokens it stops."""
        ...

    def control_texts(self) -> Collection[str]: ...

    def detokenize(self, tokens: ReadOnly[int]) -> str: ...

    def label(self, token: int) -> bytes: ...


class Preparer:
    """Renders, tokenises and measures requests of one model.

    Args:
        bos: text of the begin token, which some templates write themselves.
        n_ctx: longest context of one request, in tokens.
        max_bytes: longest prompt text, in UTF-8 bytes.
    """

    def __init__(
        self, tokenizer: Tokenizer, template: ChatTemplate, *, bos: str, n_ctx: int, max_bytes: int
    ) -> None:
        self._tokenizer = tokenizer
        self._controls = ControlTexts(tokenizer.control_texts())
        self.template = template
        self._bos = bos
        self._n_ctx = n_ctx
        self._max_bytes = max_bytes
        self.fewest = min(self._costs(), default=0)

    def tokens(self, asked: GenerationRequest) -> list[int]:
        """The prompt's token ids (`invalid_value`; `context_length_exceeded` when it is far too
        long).
        """
        if asked.messages is not None:
            check_count(len(asked.messages), self.fewest, self._n_ctx)
        most = _MORE * self._n_ctx
        tokens = self._given(asked, "prompt", special=True, most=most)
        if len(tokens) > most:
            raise too_long(self._n_ctx, f"more than {most}")
        if not tokens:
            raise BadRequest("invalid_value", "The prompt is empty.", param="prompt")
        return tokens

    def tokenised(self, request: Tokenize) -> Tokens:
        """An empty text has none."""
        tokens = self._given(request.asked, "tokens", special=request.special)
        text = ""
        if request.asked.tokens is not None:
            text = self._measured(self._tokenizer.detokenize(tokens))
        strings = [self._tokenizer.label(token) for token in tokens] if request.strings else []
        return Tokens(request.id, tokens, text, strings)

    def _given(
        self, asked: GenerationRequest, param: str, *, special: bool, most: int | None = None
    ) -> list[int]:
        if asked.tokens is not None:
            if any(not 0 <= t < self._tokenizer.n_vocab for t in asked.tokens):
                raise BadRequest(
                    "invalid_value",
                    f"Token ids must be between 0 and {self._tokenizer.n_vocab - 1}.",
                    param=param,
                )
            return list(asked.tokens)
        if asked.messages is not None:
            return self._conversation(asked, most)
        text = self._measured(asked.prompt or "")
        return self._tokenizer.tokenize(text, add_special=special, parse_special=True, most=most)

    def _conversation(self, asked: GenerationRequest, most: int | None) -> list[int]:
        messages = tuple(map(self._controls.message, asked.messages or ()))
        tools = asked.tools
        if tools is not None:
            functions = tuple(map(self._controls.broken, tools.functions))
            tools = replace(tools, functions=functions)
        text = self._rendered(asked, messages, tools)
        self._measured(text.replace(BREAK, ""))
        begins = bool(self._bos) and text.startswith(self._bos)
        tokens: list[int] = []
        for place, part in enumerate(text.split(BREAK)):
            effort.check()
            special = place == 0 and not begins
            tokens += self._tokenizer.tokenize(
                part, add_special=special, parse_special=True, most=most
            )
            if most is not None and len(tokens) > most:
                break
        return tokens

    def _costs(self) -> Iterator[int]:
        """Tokens that one more message takes at least, from what the template makes of pairs."""
        for pair in product(_ROLES, _ROLES):
            sizes = []
            for times in (1, 1 + _REPEATED):
                talk = (_said("user"), *(_said(role) for role in pair * times))
                with contextlib.suppress(BadRequest):  # a conversation that nobody can have
                    asked = GenerationRequest("", messages=talk)
                    sizes.append(len(self._conversation(asked, None)))
            if len(sizes) == 2:
                yield (sizes[1] - sizes[0]) // (2 * _REPEATED)

    def thinking(self, asked: GenerationRequest) -> Thinking:
        if asked.messages is None or not self.template.thinks:
            return ""
        return self.template.thinking(self._rendered(asked, asked.messages, asked.tools))

    def _rendered(
        self, asked: GenerationRequest, messages: tuple[Message, ...], tools: Tools | None
    ) -> str:
        """A constrained answer has no reasoning."""
        bound = asked.constraint or (tools and tools.forced)
        thinking = False if bound else asked.thinking
        return self.template.render(messages, tools, thinking, asked.clock_s)

    def limit(self, prompt_tokens: int, max_tokens: int | None) -> int:
        """Most tokens that it may generate."""
        room = self._n_ctx - prompt_tokens
        wanted = room if max_tokens is None else max_tokens
        if wanted > room or (max_tokens is None and room < 1):
            asked = "" if max_tokens is None else f" and {max_tokens} for the answer"
            raise too_long(self._n_ctx, str(prompt_tokens), asked)
        return wanted

    def check_bias(self, bias: tuple[tuple[int, float], ...]) -> None:
        """Refuse unknown token ids (`invalid_value`)."""
        for token, _ in bias:
            if not 0 <= token < self._tokenizer.n_vocab:
                raise BadRequest(
                    "invalid_value",
                    f"Token ids must be between 0 and {self._tokenizer.n_vocab - 1}, "
                    f"and {token} is not.",
                    param="logit_bias",
                )

    def _measured(self, text: str) -> str:
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > self._max_bytes:
            raise BadRequest(
                "request_too_large", f"The prompt has {size} bytes; the limit is {self._max_bytes}."
            )
        return text


def _said(role: str) -> Message:
    return {"role": role, "content": "", **({"tool_call_id": "a"} if role == "tool" else {})}
