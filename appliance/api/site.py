"""Requests of the other appliances of a site: for documents, receipts of their apps and quotas.

Rules: instead of a key, a request has the signature of an appliance that the trust policy lists. A
refusal is a line that says why.
"""

import asyncio
from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from appliance.api.deps import in_header, services_of
from appliance.api.openai.receipts import evidence_of
from appliance.errors import NotFound, Refused
from appliance.peers.exchange import SIGNED
from appliance.peers.ring import DOCUMENTS, ENTRIES, LOOKS, QUOTAS, RECEIPTS

router = APIRouter(tags=["site"])


@router.post(DOCUMENTS, response_class=Response)
async def documents(request: Request) -> Response:
    """The next documents."""
    site = services_of(request).site
    return await _answered(request, site.exchange.answer) if site else Response(status_code=404)


@router.post(RECEIPTS, response_class=Response)
async def receipts(request: Request) -> Response:
    """The receipt of an app's request."""
    services = services_of(request)
    if (site := services.site) is None:
        return Response(status_code=404)

    def found(body: bytes, signature: bytes) -> bytes:
        asked = site.exchange.receipt_asked(body, signature)
        return evidence_of(services, asked.key, asked.request).model_dump_json().encode()

    return await _answered(request, found)


@router.post(LOOKS, response_class=Response)
async def looks(request: Request) -> Response:
    """The looks that this appliance knows."""
    site = services_of(request).site
    return await _answered(request, site.exchange.vote) if site else Response(status_code=404)


@router.post(ENTRIES, response_class=Response)
async def entries(request: Request) -> Response:
    """The cosignature of a log whose entries were kept."""
    site = services_of(request).site
    return await _answered(request, site.exchange.keep) if site else Response(status_code=404)


@router.post(QUOTAS, response_class=Response)
async def quotas(request: Request) -> Response:
    """The units of quotas that are lent."""
    site = services_of(request).site
    return await _answered(request, site.exchange.lend) if site else Response(status_code=404)


async def _answered(request: Request, answer: Callable[[bytes, bytes], bytes]) -> Response:
    body, signature = await request.body(), in_header(request, SIGNED)
    try:
        found = await asyncio.to_thread(answer, body, signature)
    except Refused as error:
        return Response(f"{error.code}: {error.message}\n", 403, media_type="text/plain")
    except NotFound as error:
        return Response(f"{error.code}: {error.message}\n", 404, media_type="text/plain")
    return Response(found, media_type="application/json")
