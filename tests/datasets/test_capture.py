"""Items from prompts: taken, left out, masked."""

import json
from typing import Any

import pytest

from appliance.datasets.capture import item

pytestmark = pytest.mark.long

AT = 1_764_239_400_000_000  # 2025-11-27T10:30:00Z


def made(prompt: Any, **options: Any) -> Any:
    data = prompt if isinstance(prompt, bytes) else json.dumps(prompt).encode()
    return item("req-1", "plant", AT, data, **options)


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "system", "content": "secret rules"}, {"role": "user", "content": content}]


def test_the_last_message_of_the_user() -> None:
    found = made([*user("first"), {"role": "assistant", "content": "ok"}, *user("hose leaks")])
    assert (found.id, found.text, found.labelled) == ("req-1", "hose leaks", False)
    assert found.group == "plant 2025-11-27"
    assert found.time == "2025-11-27T10:30:00Z"
    assert made(user("x"), grouping="request").group == "req-1"
    assert made(user([{"type": "text", "text": "a"}, {"type": "image"}])).text == "a"
    assert made("a completion").text == "a completion"


def test_fields_of_a_task() -> None:
    assert dict(made(user('{"report": "hose leaks", "year": 2010}')).input) == {
        "report": "hose leaks",
        "year": 2010,
    }
    assert dict(made(user('{"deep": {"a": 1}}')).input) == {"text": '{"deep": {"a": 1}}'}


def test_personal_data_are_masked_unless_asked_otherwise() -> None:
    text = "call anna@werk.example"
    assert made(user(text)).text == "call [E-MAIL]"
    assert made(user(text), masks=False).text == text
    assert dict(made(user(json.dumps({"report": text}))).input) == {"report": "call [E-MAIL]"}


@pytest.mark.parametrize(
    "prompt",
    [b"{", [1, 2, 3], {"query": "x"}, user(""), user(None), [{"role": "system", "content": "x"}]],
)
def test_what_is_no_text_of_a_user(prompt: Any) -> None:
    assert made(prompt) is None
    assert made(user("x" * (2 << 20))) is None
