"""Items from apps' requests: the prompts of the audit log, unlabelled.

Rules: only keys whose owners agreed; without the system's part of a prompt; personal data are
masked by default; the group is the app and the day, because requests of one day go together.
"""

import json
from typing import Any, Final, Literal, TypeAlias

from appliance.clock import iso
from appliance.datasets.items import Item, Scalar, build
from appliance.datasets.personal_data import mask
from appliance.errors import DatasetRefused

Grouping: TypeAlias = Literal["day", "request"]
_MOST_FIELDS: Final = 64


def item(
    request_id: str,
    app: str,
    time_us: int,
    prompt: bytes,
    *,
    grouping: Grouping = "day",
    masks: bool = True,
) -> Item | None:
    """The item of a request; None where the prompt is no text of a user.

    Args:
        prompt: as the log keeps it: messages or a prompt, JSON.
        grouping: "request" only where nothing ties an app's requests of a day together.
    """
    asked = _asked(prompt)
    if asked is None:
        return None
    moment = iso(time_us)
    fields = _fields(asked)
    if masks:
        fields = {
            name: mask(value) if isinstance(value, str) else value for name, value in fields.items()
        }
    group = f"{app} {moment[:10]}" if grouping == "day" else request_id
    value = {"id": request_id, "group": group, "input": fields, "time": f"{moment[:19]}Z"}
    try:
        return build(value, f"request {request_id}")
    except DatasetRefused:
        return None  # empty, or larger than an item may be


def _asked(prompt: bytes) -> str | None:
    try:
        value = json.loads(prompt)
    except ValueError:
        return None
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return None
    for message in reversed(value):
        if isinstance(message, dict) and message.get("role") == "user":
            return _text(message.get("content"))
    return None


def _text(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str)) or None
    return None


def _fields(text: str) -> dict[str, Scalar]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"text": text}
    plain = (str, int, float, bool, type(None))
    if not isinstance(value, dict) or not 0 < len(value) <= _MOST_FIELDS:
        return {"text": text}
    if not all(isinstance(content, plain) for content in value.values()):
        return {"text": text}
    return value
