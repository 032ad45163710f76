"""`POST /v1/search`: passages of the documents that a key may read."""

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


async def searched(
    services: Services, caller: Caller, body: SearchRequest
) -> tuple[SearchResult, Receipt]:
    """The passages, and the receipt of their record; raises as `SearchService.search`."""
    query = SearchQuery(body.collection, body.query, body.limit, body.filters)
    found, receipt = await services.retrieval.search(caller, query)
    result = SearchResult(
        collection=body.collection,
        generation=found.generation,
        ranking=found.ranking,
        nonce=found.nonce,
        data=[PassageFound(**vars(passage)) for passage in found.passages],
    )
    return result, receipt
