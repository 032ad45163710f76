"""Accepting TLS connections: each is counted before its handshake costs memory.

Rules: a connection counts for its source from its acceptance; one over a limit is closed before
anything is allocated for it; a handshake has a time.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from appliance.server.connection import Connections

_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class TlsAcceptor:
    """Takes the place of `asyncio.Server` for one listening socket; a handshake takes at most
    `seconds`.
    """

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        protocol: Callable[[], asyncio.Protocol],
        shared: Connections,
        seconds: float,
    ) -> None:
        self.sockets = (listener,)
        self._context, self._protocol = context, protocol
        self._shared, self._seconds = shared, seconds
        self._shaking: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        self._task = asyncio.create_task(self._accept(listener))

    def close(self) -> None:
        """Accept no more connections; handshakes under way end."""
        for task in (self._task, *self._shaking):
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait for the handshakes under way."""
        await asyncio.gather(self._task, *self._shaking, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:  # of a connection that has gone already, or of all
                if error.errno in _NO_ROOM:
                    await asyncio.sleep(1)
                continue
            source = str(address[0])
            if not self._shared.begin_handshake(source):
                connection.close()
                continue
            task = asyncio.create_task(self._shake(loop, connection, source))
            self._shaking.add(task)
            task.add_done_callback(self._shaking.discard)

    async def _shake(
        self, loop: asyncio.AbstractEventLoop, connection: socket.socket, source: str
    ) -> None:
        try:
            with suppress(OSError):  # it spoke no TLS, not ours, too slowly, or left
                await loop.connect_accepted_socket(
                    self._protocol,
                    connection,
                    ssl=self._context,
                    ssl_handshake_timeout=self._seconds,
                )
        finally:
            self._shared.end_handshake(source)
