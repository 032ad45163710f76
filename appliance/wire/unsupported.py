"""Request fields whose meaning would be lost, and so are refused.

Rules: a field is in the table as long as the engine cannot do what it asks for; the day it can,
its row goes. A value that asks for nothing (null, the default, an empty list) always passes.
Unknown fields that are not in the table are ignored: SDKs send many that change no answer.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from pydantic_core import PydanticCustomError


class Unsupported(NamedTuple):
    """A field: which values of it ask for nothing, and why all others are refused."""

    harmless: Callable[[Any], bool]
    reason: str


def _absent(*defaults: Any) -> Callable[[Any], bool]:
    """Null and the defaults ask for nothing; types count, since `False == 0` in Python."""
    return lambda value: (
        value is None
        or any(type(value) is type(default) and value == default for default in defaults)
    )


_NO_TOOLS: Final = "tool calling is not available yet"
_NO_SCHEMA: Final = "grammars are not taken from clients; use a JSON schema or guided_regex"

REQUEST_FIELDS: Final[Mapping[str, Unsupported]] = {
    "use_beam_search": Unsupported(_absent(False), "choices are sampled; use n or best_of"),
    "tools": Unsupported(_absent([]), _NO_TOOLS),
    "functions": Unsupported(_absent([]), _NO_TOOLS),
    "function_call": Unsupported(_absent("none", "auto"), _NO_TOOLS),
    "tool_choice": Unsupported(_absent("none", "auto"), _NO_TOOLS),
    "web_search_options": Unsupported(_absent(), "the appliance reaches no network"),
    "grammar": Unsupported(_absent(""), _NO_SCHEMA),
    "structured_outputs": Unsupported(_absent(), _NO_SCHEMA),
    "guided_grammar": Unsupported(_absent(), _NO_SCHEMA),
    "prompt_logprobs": Unsupported(_absent(), "use echo with logprobs on /v1/completions"),
    "stop_token_ids": Unsupported(_absent([]), "stop takes strings only"),
    "suffix": Unsupported(_absent(""), "text is not filled into a gap"),
    "audio": Unsupported(_absent(), "models answer with text only"),
    "modalities": Unsupported(_absent([], ["text"]), "models answer with text only"),
    "chat_template": Unsupported(_absent(), "the template is part of the signed model"),
    "chat_template_kwargs": Unsupported(_absent({}), "the template takes no arguments yet"),
    "add_generation_prompt": Unsupported(_absent(True), "an answer is always begun"),
    "continue_final_message": Unsupported(_absent(False), "an answer is always begun"),
}

CHAT_FIELDS: Final[Mapping[str, Unsupported]] = {
    **REQUEST_FIELDS,
    "best_of": Unsupported(_absent(1), "only /v1/completions ranks choices; use n"),
    "echo": Unsupported(_absent(False), "only /v1/completions repeats the prompt"),
}

COMPLETION_FIELDS: Final[Mapping[str, Unsupported]] = {
    **REQUEST_FIELDS,
    "top_logprobs": Unsupported(_absent(0), "completions take the number as logprobs"),
}

MESSAGE_FIELDS: Final[Mapping[str, Unsupported]] = {
    "tool_calls": Unsupported(_absent([]), _NO_TOOLS),
    "function_call": Unsupported(_absent(), _NO_TOOLS),
    "audio": Unsupported(_absent(), "models read text only"),
}


def refuse_unsupported(data: Any, table: Mapping[str, Unsupported]) -> Any:
    """Pass `data` on if no field of the table asks for something.

    With `tool_choice: "none"` the tools are only context that the model may not call: they
    are ignored.

    Raises:
        PydanticCustomError: `unsupported_parameter` with the field and the reason.
    """
    if isinstance(data, dict):
        for field, rule in table.items():
            if field in data and not rule.harmless(data[field]):
                if field == "tools" and data.get("tool_choice") == "none":
                    continue
                raise field_refused("unsupported_parameter", field, rule.reason)
    return data


def field_refused(code: str, field: str, reason: str) -> PydanticCustomError:
    """A refusal with a code of ours, for a validator to raise.

    Args:
        field: the name below the value that is being validated; empty for that value itself.
    """
    values = {"field": field, "reason": reason}
    return PydanticCustomError(code, "{field}: {reason}", values)
