"""`instructor`: a model of pydantic by a demanded call and by a schema, whole and as it grows."""

from collections.abc import Iterable
from typing import Any

import instructor
import pytest
from openai import OpenAI
from pydantic import BaseModel


class Valve(BaseModel):
    """The state of a valve."""

    name: str
    open: bool


MODES = [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA]
TALK: list[Any] = [{"role": "user", "content": "Valve V7 is open."}]
SETTINGS: dict[str, Any] = {"max_tokens": 200, "temperature": 0, "max_retries": 0}


def client(server: Any, mode: instructor.Mode) -> instructor.Instructor:
    plain = OpenAI(base_url=server.base_url, api_key=server.api_key)
    return instructor.from_openai(plain, mode=mode)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_a_model_is_filled_at_the_first_try(server: Any, mode: instructor.Mode) -> None:
    made = client(server, mode).chat.completions.create(
        model=server.model, messages=TALK, response_model=Valve, **SETTINGS
    )
    assert isinstance(made, Valve)


def test_a_model_streams_as_it_grows(server: Any) -> None:
    growing = list(
        client(server, instructor.Mode.TOOLS).chat.completions.create_partial(
            model=server.model, messages=TALK, response_model=Valve, **SETTINGS
        )
    )
    assert len(growing) > 1 and growing[-1].name is not None


def test_a_list_that_would_not_end_is_closed(server: Any) -> None:
    found = client(server, instructor.Mode.TOOLS).chat.completions.create(
        model=server.model, messages=TALK, response_model=Iterable[Valve], **SETTINGS
    )
    assert all(isinstance(one, Valve) for one in found)
