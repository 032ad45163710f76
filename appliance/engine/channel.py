"""The worker's end of the socket: whole messages in both directions."""

import socket
import threading

from appliance.engine import protocol


class Channel:
    """Frames over the socket; several threads send, one receives.

    Attributes:
        size: bytes of the last message received.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.size = 0
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: protocol.FromWorker) -> None:
        data = protocol.frame(message)
        with self._lock:
            self._connection.sendall(data)

    def receive(self) -> protocol.ToWorker | None:
        """The next message; None once the server is gone."""
        header = self._exactly(protocol.HEADER.size)
        if header is None:
            return None
        body = self._exactly(protocol.HEADER.unpack(header)[0])
        self.size = protocol.HEADER.size + len(body or b"")
        return None if body is None else protocol.decode_to_worker(body)

    def _exactly(self, size: int) -> bytes | None:
        data = self._connection.recv(size, socket.MSG_WAITALL)
        return data if len(data) == size else None
