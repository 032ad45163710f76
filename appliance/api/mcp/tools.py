"""The tools of `/mcp`, each a request as the HTTP API takes it.

Rules: a tool does what its route does, with the same rights, quota and entries in the log; none
changes anything on the server.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from appliance.api.mcp.protocol import named
from appliance.api.openai.answer import begun, collected
from appliance.api.openai.chat import ChatFormat
from appliance.api.openai.classify import classified
from appliance.api.openai.pooled import pieces_of
from appliance.api.openai.receipts import evidence_of
from appliance.api.openai.search import searched
from appliance.api.openai.several import start_all
from appliance.app import Services
from appliance.audit.proof import check_proof
from appliance.errors import BadRequest
from appliance.serving.generation import ServedAnswer
from appliance.types import Caller, GenerationRequest, JsonValue, Principal, TaskNeeds
from appliance.wire.mcp.rpc import ToolListed
from appliance.wire.mcp.tools import (
    AskArguments,
    AskFound,
    ClassifyArguments,
    ClassifyFound,
    ReceiptArguments,
    ReceiptFound,
    SearchFound,
)
from appliance.wire.openai.search import SearchRequest

A = TypeVar("A", bound=BaseModel)
_MOST_NAMES: Final = 500


@dataclass(frozen=True)
class McpTool(Generic[A]):
    """A tool.

    Attributes:
        work: the result of a call; raises ApplianceError.
        forms: of the tasks that it is offered for; if empty, it takes no task.
    """

    name: str
    description: str
    arguments: type[A]
    result: type[BaseModel]
    work: Callable[[Services, Caller, A], Awaitable[BaseModel]]
    forms: frozenset[str] = frozenset()

    async def call(self, services: Services, caller: Caller, given: JsonValue) -> BaseModel:
        """Call it (`invalid_value` for the arguments)."""
        try:
            arguments = self.arguments.model_validate(given)
        except ValidationError as error:
            raise BadRequest("invalid_value", named(error)) from error
        return await self.work(services, caller, arguments)

    def listed(self, services: Services, principal: Principal) -> ToolListed:
        taken = self.arguments.model_json_schema()
        cards = services.inference.cards(principal) if self.forms else []
        names = sorted(card.id for card in cards if card.form in self.forms)
        if 0 < len(names) <= _MOST_NAMES:
            taken["properties"]["task"]["enum"] = names
        return ToolListed(
            name=self.name,
            description=self.description,
            inputSchema=taken,
            outputSchema=self.result.model_json_schema(mode="serialization"),
            annotations={"readOnlyHint": True, "openWorldHint": False},
        )


async def _search(services: Services, caller: Caller, given: SearchRequest) -> SearchFound:
    found, receipt = await searched(services, caller, given)
    told = {"request_id": caller.request_id, "receipt": receipt.header()}
    return SearchFound.model_validate({**found.model_dump(), **told})


async def _classify(services: Services, caller: Caller, given: ClassifyArguments) -> ClassifyFound:
    needs = TaskNeeds(distribution=True)
    wanted = [GenerationRequest(given.task, prompt=text, task=needs) for text in given.texts]
    async with begun(partial(start_all, services.inference, caller, wanted)) as generation:
        pieces = await pieces_of(generation)
    found = classified(generation, pieces, caller.request_id)
    return ClassifyFound.model_validate({**found.model_dump(), **_recorded(caller, generation)})


async def _ask(services: Services, caller: Caller, given: AskArguments) -> AskFound:
    cards = services.inference.cards(caller.principal)
    if any(card.id == given.task and not card.form for card in cards):
        what = f"{given.task!r} is a model; name a task or a route."
        raise BadRequest("wrong_model_kind", what, param="task")
    wanted = GenerationRequest(given.task, messages=({"role": "user", "content": given.text},))
    async with begun(partial(services.inference.start, caller, wanted)) as generation:
        form = ChatFormat(generation, caller.request_id, "none")
        whole = form.whole(await collected(generation, form))
    (choice,) = whole.choices
    return AskFound(
        answer=choice.message.content or "",
        finish_reason=choice.finish_reason,
        usage=form.usage(),
        x_appliance=None if generation.about is None else generation.about.document(),
        **_recorded(caller, generation),
    )


async def _check(services: Services, caller: Caller, given: ReceiptArguments) -> ReceiptFound:
    def check() -> ReceiptFound:
        key_id, reader = caller.principal.key_id, services.reader
        found = evidence_of(services, key_id, given.request_id)
        proved = check_proof(found.proof.encode(), reader.genesis())
        places = [f"{e.seq} {e.leaf}" for e in (found.intent, found.outcome) if e is not None]
        kept = given.receipt
        return ReceiptFound(
            **dict(found),
            root=proved.root,
            size=proved.size,
            matches=None if kept is None else kept.rpartition(" ")[0] in places,
        )

    return await asyncio.to_thread(check)


def _recorded(caller: Caller, generation: ServedAnswer) -> dict[str, str]:
    receipt = generation.outcome.header() if generation.outcome else ""
    return {"request_id": caller.request_id, "receipt": receipt}


TOOLS: Final[dict[str, McpTool[Any]]] = {
    tool.name: tool
    for tool in (
        McpTool(
            "search_collection",
            "Find the passages of a collection of documents that answer a query best. Each is "
            "quoted exactly, with document, place and digest to cite it by.",
            SearchRequest,
            SearchFound,
            _search,
        ),
        McpTool(
            "classify",
            "Sort texts into the labels of a task; gives the probability of every label.",
            ClassifyArguments,
            ClassifyFound,
            _classify,
            frozenset({"labels"}),
        ),
        McpTool(
            "ask",
            "Ask a task. The answer tells how sure it is, and cites documents where the task does. "
            "With the error task_queued a person answers later.",
            AskArguments,
            AskFound,
            _ask,
            frozenset({"labels", "fields", "text"}),
        ),
        McpTool(
            "check_receipt",
            "Look up the entries of an earlier request in the audit log, and check their proof.",
            ReceiptArguments,
            ReceiptFound,
            _check,
        ),
    )
}
