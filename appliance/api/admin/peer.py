"""Identity of the peer on the admin socket, from the kernel.

Rules: uid and groups come from SO_PEERCRED and SO_PEERGROUPS (unix(7)), taken when the connection
is made. A request without a peer is denied.
"""

import array
import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_SO_PEERGROUPS = 59  # asm-generic/socket.h; the socket module does not name it
_UCRED = struct.Struct("=iII")  # pid, uid, gid
_MOST_GROUPS_BYTES = 1024  # getsockopt's limit in the socket module: 256 groups


@dataclass(frozen=True)
class Peer:
    """A process on this host, by its effective user and all its groups."""

    uid: int
    gids: frozenset[int]


def peer_of(connection: Any) -> Peer | None:
    """The peer of a connected Unix socket; None for any other socket.

    One with more than 256 supplementary groups is known by its primary one only.
    """
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, gid = _UCRED.unpack(raw)
    try:
        more = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_GROUPS_BYTES)
    except OSError:
        more = b""
    return Peer(uid, frozenset(array.array("I", more)) | {gid})


class PeerProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol; each request finds the peer in `request.state.peer`."""

    # uvicorn narrows the base class's transport in the same way, and leaves it unchecked.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.app_state = {**self.app_state, "peer": peer_of(transport.get_extra_info("socket"))}
        super().connection_made(transport)
