"""Random bytes in lumps: no two callers get the same ones, nor do two processes."""

import os
from concurrent.futures import ThreadPoolExecutor

from appliance.draws import drawn, request_id


def test_no_bytes_are_given_twice_whatever_their_number() -> None:
    def some(_: int) -> list[bytes]:
        return [drawn(count) for count in (16, 12, 8, 32) for _ in range(100)]

    with ThreadPoolExecutor(4) as threads:
        found = [one for several in threads.map(some, range(8)) for one in several]
    assert len(set(found)) == len(found) == 3200
    assert {len(one) for one in found} == {8, 12, 16, 32}
    assert len(request_id()) == len("req-") + 32


def test_a_fork_draws_others() -> None:
    drawn(1)  # so that both have a lump
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, drawn(16))
        os._exit(0)
    mine = drawn(16)
    os.waitpid(child, 0)
    assert os.read(reader, 16) != mine
    os.close(reader)
    os.close(writer)
