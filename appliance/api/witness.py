"""`POST /witness/add-checkpoint`: another appliance asks for a cosignature of its log's head.

Rules: instead of a key, a request has its log's signature. The body is text, so that any client of
c2sp.org/tlog-witness may ask.
"""

import asyncio
from typing import Final

from fastapi import APIRouter, Request, Response

from appliance.api.deps import in_header, services_of
from appliance.peers.cosigning import NotCosigned
from appliance.peers.ring import PATH
from appliance.peers.witness import SENT

router = APIRouter(tags=["site"])
_SIZE: Final = "text/x.tlog.size"


@router.post(PATH, response_class=Response)
async def add_checkpoint(request: Request) -> Response:
    """The cosignature of the head, or why there is none, as C2SP has it."""
    services = services_of(request)
    body, sent = await request.body(), in_header(request, SENT)
    try:
        line = await asyncio.to_thread(services.ring.witness.add_checkpoint, body, sent)
    except NotCosigned as refused:
        if refused.size is not None:
            return Response(f"{refused.size}\n", refused.status, media_type=_SIZE)
        return Response(f"{refused.why}\n", refused.status, media_type="text/plain")
    return Response(line, media_type="text/plain")
