"""The names that a client, a proxy or a trace gave a request: kept and returned.

Rules: `x-request-id` of an answer is always our own, since proxies send one without the app's
knowledge; the client's is returned as `x-client-request-id`. A value that is no plain id is left
out, never refused.

Source: W3C Trace Context, `traceparent`.
"""

import re
from collections.abc import Iterable
from typing import Final

from appliance.types import ClientIds

_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@~,-]{1,128}")
_TRACE: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_FORMS: Final = {
    b"x-request-id": _ID, b"x-client-request-id": _ID, b"traceparent": _TRACE,
}  # fmt: skip


def named_by_client(headers: Iterable[tuple[bytes, bytes]]) -> ClientIds:
    """The names in the headers of a request, without any that came twice."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        form = _FORMS.get(name)
        if form is not None:
            found[name] = "" if name in found or not form.fullmatch(value) else value.decode()
    return ClientIds(*(found.get(name, "") for name in _FORMS))


def told_back(ids: ClientIds) -> list[tuple[bytes, bytes]]:
    """The headers of an answer that repeat them."""
    said = ((b"x-client-request-id", ids.newest), (b"traceparent", ids.traceparent))
    return [(name, value.encode()) for name, value in said if value]
