"""The tools of `/mcp`: arguments, and results with their receipts.

Rules: unknown arguments are refused; a result has the fields of the HTTP API's answer to the same
request, its id, and the receipt of its entry in the audit log.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from appliance.wire.openai.classify import MOST_INPUTS, ClassifyResponse
from appliance.wire.openai.embeddings import Text
from appliance.wire.openai.generation import Usage
from appliance.wire.openai.receipts import ReceiptResponse
from appliance.wire.openai.search import SearchResult

_TaskName = Annotated[str, Field(min_length=1, max_length=256, description="name of the task")]
_RECEIPT = "sequence number, leaf hash and checkpoint size of the entry in the audit log; keep it"


class _Arguments(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class ClassifyArguments(_Arguments):
    """The arguments of `classify`."""

    task: _TaskName
    texts: list[Text] = Field(
        min_length=1,
        max_length=MOST_INPUTS,
        fail_fast=True,
        description="each a text, or the task's fields as a JSON object in a text",
    )


class AskArguments(_Arguments):
    """The arguments of `ask`."""

    task: _TaskName
    text: Text = Field(description="the input, or the task's fields as a JSON object in a text")


class ReceiptArguments(_Arguments):
    """The arguments of `check_receipt`."""

    request_id: str = Field(max_length=64, description="as the result of the other tools names it")
    receipt: str | None = Field(
        None,
        pattern="^[0-9]{1,16} [0-9a-f]{64} [0-9]{1,16}$",
        description="the receipt that was kept, to be compared with the log",
    )


class SearchFound(SearchResult):
    """The result of `search_collection`."""

    request_id: str
    receipt: str = Field(description=_RECEIPT)


class ClassifyFound(ClassifyResponse):
    """The result of `classify`; of several texts a receipt each, with commas between."""

    request_id: str
    receipt: str = Field(description=_RECEIPT)


class AskFound(BaseModel):
    """The result of `ask`; `x_appliance` has the citations, and says how sure the task is."""

    answer: str
    finish_reason: str
    usage: Usage
    x_appliance: dict[str, Any] | None
    request_id: str
    receipt: str = Field(description=_RECEIPT)


class ReceiptFound(ReceiptResponse):
    """The result of `check_receipt`.

    `holds`: this server found the proof in order, else there is an error; `matches` compares the
    kept receipt, where one was given. Without trust in this server, check `proof` with another
    program.
    """

    holds: Literal[True] = True
    root: str
    size: int
    matches: bool | None = None
