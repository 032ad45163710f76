"""`POST /v1/search` and the passages that citations name: documents that a key may read."""

from fastapi import APIRouter, Request, Response

from appliance.api.deps import CallerDep, services_of
from appliance.api.described import RECORDED
from appliance.api.json_body import JsonRoute
from appliance.app import Services
from appliance.retrieval.service import SearchQuery
from appliance.types import Caller, Receipt
from appliance.wire.openai.search import PassageFound, SearchRequest, SearchResult

router = APIRouter(tags=["search"], route_class=JsonRoute)


@router.post("/v1/search", responses=RECORDED)
async def search(
    request: Request, response: Response, body: SearchRequest, caller: CallerDep
) -> SearchResult:
    """The passages of a collection that answer a query best."""
    found, receipt = await searched(services_of(request), caller, body)
    response.headers["x-appliance-receipt"] = receipt.header()
    return found


@router.get("/v1/collections/{collection}/passages/{passage_id}", responses=RECORDED)
async def passage(
    request: Request, response: Response, collection: str, passage_id: str, caller: CallerDep
) -> PassageFound:
    """The passage that a citation names; `score` is 0."""
    services = services_of(request)
    found, receipt = await services.retrieval.passage(caller, collection, passage_id)
    await services.inference.acknowledge(receipt)
    response.headers["x-appliance-receipt"] = receipt.header()
    return PassageFound(**vars(found.passages[0]))


async def searched(
    services: Services, caller: Caller, body: SearchRequest
) -> tuple[SearchResult, Receipt]:
    """The passages, and the receipt of their record."""
    query = SearchQuery(body.collection, body.query, body.limit, body.filters)
    found, receipt = await services.retrieval.search(caller, query)
    await services.inference.acknowledge(receipt)
    result = SearchResult(
        collection=body.collection,
        generation=found.generation,
        ranking=found.ranking,
        nonce=found.nonce,
        data=[PassageFound(**vars(passage)) for passage in found.passages],
    )
    return result, receipt
