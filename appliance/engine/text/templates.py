"""The chat template of a model, rendered in a sandbox.

Rules: the environment is Jinja's immutable sandbox with nothing of Python in reach; output is
bounded; every error is `template_failed`. Templates may use the functions of Hugging Face's
`apply_chat_template`: `raise_exception`, `strftime_now`, `tojson`, loop controls, `generation`.
"""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from appliance.engine import effort
from appliance.engine.text import dialects
from appliance.engine.text.dialects import Message
from appliance.engine.text.reasoning import BEGIN, END, Thinking
from appliance.engine.text.reply import Dialect
from appliance.errors import BadRequest
from appliance.types import Tools

# Used where a GGUF carries no template; the form that most small instruction models were tuned on.
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class ChatTemplate:
    """A compiled template.

    Args:
        source: Jinja text from the GGUF (`template_failed` when it does not compile).
        limit: most characters of output.
    """

    def __init__(self, source: str, *, bos: str, eos: str, limit: int) -> None:
        self.sha256 = hashlib.sha256(source.encode()).hexdigest()
        self.thinks = BEGIN in source or END in source
        self.dated = "strftime_now" in source
        self._limit = limit
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, _Generation]
        )
        environment.filters["tojson"] = _tojson
        environment.globals.update(raise_exception=_raise, bos_token=bos, eos_token=eos)
        try:
            self._template = environment.from_string(source)
        except Exception as error:  # Python's own compiler and lexer have limits too
            raise BadRequest(
                "template_failed", f"The chat template does not compile: {error}"
            ) from error
        native = dialects.native_dialect(lambda talk, tools: self._generate(talk, tools, None))
        self._native = bool(native)
        self.dialect: Dialect = native or dialects.fallback_dialect(source)
        self._system = self._takes_system()

    def render(
        self,
        messages: tuple[Message, ...],
        tools: Tools | None = None,
        thinking: bool | None = None,
        clock_s: int | None = None,
    ) -> str:
        """The prompt text for a conversation, ready for the assistant's turn.

        Args:
            thinking: reason first; None leaves it to the template, and a template that always
                begins with reasoning has it ended at once by False.
            clock_s: as of `GenerationRequest`.

        Beyond the limit: `request_too_large`.
        """
        if not self._native:
            if tools or any(m.get("role") == "tool" or "tool_calls" in m for m in messages):
                messages = dialects.spelled_out(messages, tools, self.dialect, system=self._system)
            tools = None
        text = self._generate(messages, tools, thinking, clock_s)
        if thinking is False and self.thinking(text) == "open":
            text += f"\n\n{END}\n\n"
        return text

    def thinking(self, prompt: str) -> Thinking:
        if not self.thinks or prompt.rstrip().endswith(END):
            return ""
        return "open" if prompt.rstrip().endswith(BEGIN) else "tags"

    def _takes_system(self) -> bool:
        talk = ({"role": "system", "content": "probe"}, {"role": "user", "content": "probe"})
        try:
            self._generate(talk, None, None)
        except BadRequest:
            return False
        return True

    def _generate(
        self,
        messages: tuple[Message, ...],
        tools: Tools | None,
        thinking: bool | None,
        clock_s: int | None = None,
    ) -> str:
        parts, size = [], 0
        values: dict[str, Any] = {"messages": list(messages), "add_generation_prompt": True}
        values["strftime_now"] = _clock(clock_s)
        if tools is not None:
            values["tools"] = dialects.as_template_tools(tools)
        if thinking is not None:
            values["enable_thinking"] = thinking
        try:
            for part in self._template.generate(values):
                effort.check()
                parts.append(part)
                size += len(part)
                if size > self._limit:
                    raise BadRequest(
                        "request_too_large",
                        f"The rendered prompt is longer than {self._limit} characters.",
                        param="messages",
                    )
        except BadRequest:
            raise
        except (
            Exception
        ) as error:  # a template can raise anything; none of it is our fault or state
            raise BadRequest(
                "template_failed",
                f"The chat template refused the messages: {error}",
                param="messages",
            ) from error
        return "".join(parts)


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks the assistant's text for training; ignored here."""

    tags = {"generation"}  # noqa: RUF012 - as the base class has it

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _clock(clock_s: int | None) -> Callable[[str], str]:
    def strftime_now(form: str) -> str:
        return time.strftime(form, time.gmtime(clock_s))  # the local zone would need a file

    return strftime_now


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
