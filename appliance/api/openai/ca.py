"""`GET /ca.pem`: the file that clients check the server's certificate with."""

from fastapi import APIRouter, Request, Response

from appliance.api.deps import services_of
from appliance.auth import certificates
from appliance.errors import NotFound, UsageError

router = APIRouter(tags=["health"])
_PEM = "application/pem-certificate-chain"


@router.get("/ca.pem", response_class=Response, responses={200: {"content": {_PEM: {}}}})
def ca(request: Request) -> Response:
    """The CA of this server and, in the days before a change, the next one, too.

    404 where the certificate comes from a CA of your organisation.
    """
    services = services_of(request)
    found = None
    if services.config.tls.enabled:
        try:
            found = certificates.for_clients(services.data / services.config.tls.certificate)
        except UsageError:
            found = None
    if found is None:
        raise NotFound("not_found", "The certificate is not of a CA that this appliance made.")
    return Response(found, media_type=_PEM)
