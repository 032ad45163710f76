"""The chat template of a model, rendered in a sandbox.

Rules: the environment is Jinja's immutable sandbox with nothing of Python in reach; output is
bounded; whatever goes wrong is `template_failed`, never a Python error. Runs in the confined
worker only, where memory is limited too. What templates may use (`raise_exception`,
`strftime_now`, `tojson`, loop controls) follows Hugging Face's `apply_chat_template`.
"""

import hashlib
import json
import time
from typing import Any, NoReturn

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from appliance.errors import BadRequest

# Used where a GGUF carries no template; the form that most small instruction models were tuned on.
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class ChatTemplate:
    """A compiled template.

    Args:
        source: Jinja text from the GGUF.
        bos: text of the begin-of-sequence token.
        eos: text of the end-of-sequence token.
        limit: most characters of output.

    Raises:
        BadRequest: `template_failed` when the source does not compile.
    """

    def __init__(self, source: str, *, bos: str, eos: str, limit: int) -> None:
        self.sha256 = hashlib.sha256(source.encode()).hexdigest()
        self._limit = limit
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals.update(
            raise_exception=_raise, strftime_now=_strftime, bos_token=bos, eos_token=eos
        )
        try:
            self._template = environment.from_string(source)
        except Exception as error:  # Python's own compiler and lexer have limits too
            raise BadRequest(
                "template_failed", f"The chat template does not compile: {error}"
            ) from error

    def render(self, messages: tuple[dict[str, Any], ...]) -> str:
        """The prompt text for a conversation, ready for the assistant's turn.

        Raises:
            BadRequest: `template_failed`; `request_too_large` beyond the limit.
        """
        parts, size = [], 0
        try:
            for part in self._template.generate(
                messages=list(messages), add_generation_prompt=True
            ):
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


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime(form: str) -> str:
    return time.strftime(form, time.gmtime())  # the local zone would need a file


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
