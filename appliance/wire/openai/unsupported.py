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


def absent(*defaults: Any) -> Callable[[Any], bool]:
    """Null and the defaults ask for nothing; types count, since `False == 0` in Python."""
    return lambda value: (
        value is None
        or any(type(value) is type(default) and value == default for default in defaults)
    )


_OLD_TOOLS: Final = "use tools and tool_choice, which replace it"
_ONLY_CHAT: Final = "only chats take tools"
_NO_SCHEMA: Final = "use a JSON schema, guided_regex, or guided_grammar with a name"

REQUEST_FIELDS: Final[Mapping[str, Unsupported]] = {
    "use_beam_search": Unsupported(absent(False), "choices are sampled; use n or best_of"),
    "functions": Unsupported(absent([]), _OLD_TOOLS),
    "function_call": Unsupported(absent("none", "auto"), _OLD_TOOLS),
    "web_search_options": Unsupported(absent(), "the appliance reaches no network"),
    "grammar": Unsupported(absent(""), _NO_SCHEMA),
    "structured_outputs": Unsupported(absent(), _NO_SCHEMA),
    "prompt_logprobs": Unsupported(absent(), "use echo with logprobs on /v1/completions"),
    "stop_token_ids": Unsupported(absent([]), "stop takes strings only"),
    "suffix": Unsupported(absent(""), "text is not filled into a gap"),
    "audio": Unsupported(absent(), "models answer with text only"),
    "modalities": Unsupported(absent([], ["text"]), "models answer with text only"),
    "chat_template": Unsupported(absent(), "the template is part of the signed model"),
    "add_generation_prompt": Unsupported(absent(True), "an answer is always begun"),
    "continue_final_message": Unsupported(absent(False), "an answer is always begun"),
}

CHAT_FIELDS: Final[Mapping[str, Unsupported]] = {
    **REQUEST_FIELDS,
    "best_of": Unsupported(absent(1), "only /v1/completions ranks choices; use n"),
    "echo": Unsupported(absent(False), "only /v1/completions repeats the prompt"),
}

COMPLETION_FIELDS: Final[Mapping[str, Unsupported]] = {
    **REQUEST_FIELDS,
    "tools": Unsupported(absent([]), _ONLY_CHAT),
    "tool_choice": Unsupported(absent("none", "auto"), _ONLY_CHAT),
    "chat_template_kwargs": Unsupported(absent({}), "only chats use the template"),
    "top_logprobs": Unsupported(absent(0), "completions take the number as logprobs"),
}

MESSAGE_FIELDS: Final[Mapping[str, Unsupported]] = {
    "function_call": Unsupported(absent(), _OLD_TOOLS),
    "audio": Unsupported(absent(), "models read text only"),
}


def refuse_unsupported(data: Any, table: Mapping[str, Unsupported]) -> Any:
    """Pass `data` on if no field of the table asks for something.

    Raises:
        PydanticCustomError: `unsupported_parameter` with the field and the reason.
    """
    if isinstance(data, dict):
        for field, rule in table.items():
            if field in data and not rule.harmless(data[field]):
                raise field_refused("unsupported_parameter", field, rule.reason)
    return data


def field_refused(code: str, field: str, reason: str) -> PydanticCustomError:
    """A refusal with a code of ours, for a validator to raise.

    Args:
        field: the name below the value that is being validated; empty for that value itself.
    """
    values = {"field": field, "reason": reason}
    return PydanticCustomError(code, "{field}: {reason}", values)
