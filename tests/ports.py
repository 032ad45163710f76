"""Ports for servers that start later."""

import contextlib
import random
import socket

_BELOW_EPHEMERAL = range(20_000, 32_000)


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens.

    The kernel gives none of this range to connections and to servers that ask for any port, so that
    none of those takes it meanwhile.
    """
    while True:
        port = random.SystemRandom().choice(_BELOW_EPHEMERAL)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
