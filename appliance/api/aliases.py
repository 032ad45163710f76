"""Other addresses that clients try first, and the one that each of them means.

Rules: an address is replaced before anything looks at it; a route's own address never is.
"""

from collections.abc import Mapping
from typing import Final

_WHOLE: Final[Mapping[str, str]] = {
    "/health": "/healthz",
    "/v1/health": "/healthz",
    "/v2/rerank": "/v1/rerank",  # Cohere
}
_BELOW_V1: Final = frozenset(
    {
        "batches", "chat", "classify", "collections", "completions", "conversations", "embeddings",
        "files", "labels", "messages", "models", "queue", "receipts", "requests", "rerank",
        "responses", "search", "sessions", "usage",
    }
)  # fmt: skip
"""First parts of addresses whose client was given a base URL without `/v1`."""


def meant(path: str) -> str:
    """The address that a client means; a `/v1` that its base URL repeats is dropped."""
    if path.startswith("/v1/v1/"):
        path = path.removeprefix("/v1")
    if path.split("/", 2)[1:2] and path.split("/", 2)[1] in _BELOW_V1:
        return f"/v1{path}"
    return _WHOLE.get(path, path)
