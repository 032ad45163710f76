"""Messages cross the socket whole, whoever sends beside."""

import socket
import threading

from appliance.engine import protocol
from appliance.engine.channel import Channel


def test_messages_of_several_threads_do_not_mix_and_the_end_is_none() -> None:
    ours, theirs = socket.socketpair()
    worker = Channel(ours)
    sizes = range(1, 60)

    def send() -> None:
        for size in sizes:
            worker.send(protocol.Failed("x" * size, "y" * size * 100))

    def read() -> None:
        while (header := theirs.recv(4, socket.MSG_WAITALL)) != b"":
            (size,) = protocol.HEADER.unpack(header)
            message = protocol.decode_from_worker(theirs.recv(size, socket.MSG_WAITALL))
            assert isinstance(message, protocol.Failed)
            assert len(message.message) == 100 * len(message.code)
            found.append(len(message.code))

    found: list[int] = []
    reader = threading.Thread(target=read)
    senders = [threading.Thread(target=send) for _ in range(3)]
    for thread in (reader, *senders):
        thread.start()
    for thread in senders:
        thread.join()
    ours.close()
    reader.join()
    assert sorted(found) == sorted([*sizes] * 3)
    theirs.close()


def test_what_the_server_sends_is_received_and_then_none() -> None:
    ours, theirs = socket.socketpair()
    worker = Channel(ours)
    theirs.sendall(protocol.frame(protocol.Run(7)) + protocol.frame(protocol.Cancel(8))[:-1])
    theirs.close()
    assert worker.receive() == protocol.Run(7)
    assert worker.receive() is None  # the server ended in the middle of a frame
    ours.close()
