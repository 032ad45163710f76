"""An upstream that computes nothing: one token at once, over connections that stay if they may.

usage: python -m benchmarks.null_upstream
It prints its port and serves until it is ended.
"""

import asyncio
import itertools
import json
import sys
from typing import Final, cast

import uvloop

_numbers = itertools.count()
_TOPS: Final = {"a": -0.5, "b": -1.5, "c": -2.5, "d": -3.5, "e": -4.5}
_PROBED: Final = {
    "id": "p",
    "choices": [
        {
            "index": 0,
            "text": "a",
            "finish_reason": "length",
            "logprobs": {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [_TOPS]},
        }
    ],
}


class _Protocol(asyncio.Protocol):
    """One connection; requests come whole or in parts, one after the other."""

    def __init__(self) -> None:
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        head, found, body = self._rest.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
        if found and len(body) >= size and self._transport is not None:
            self._rest = body[size:]
            self._transport.write(_answer(head, body[:size]))
            if b"connection: close" in head.lower():
                self._transport.close()


def _answer(head: bytes, body: bytes) -> bytes:
    if head.startswith(b"POST /tokenize"):
        return _whole({"tokens": [1, 2, 3]})
    if b'"stream": true' not in body:
        return _whole(_PROBED)
    piece = {
        "id": f"n-{next(_numbers)}",
        "choices": [{"index": 0, "text": "a", "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
    data = f"data: {json.dumps(piece)}\n\ndata: [DONE]\n\n".encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
    return head % len(data) + data


def _whole(document: object) -> bytes:
    data = json.dumps(document).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(data) + data


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Protocol, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
