"""The child that quantises ends with a word, whatever it is given."""

import os
import subprocess
import sys

import msgspec

from appliance.engine.quantized import Order, Result
from appliance.trust.bytes.sealed import write_all
from appliance.workers.cpu_variants import best_variant, library_directory


def test_a_broken_file_is_refused_and_nothing_is_written() -> None:
    fds = [os.memfd_create(name) for name in ("source", "out", "order")]
    order = Order(ftype=7, threads=1, texts=[], start=0, memory_bytes=1 << 30, most_bytes=1 << 20)
    write_all(fds[0], memoryview(b"GGUF" + bytes(100)))
    write_all(fds[2], memoryview(msgspec.msgpack.encode(order)))
    reads, writes = os.pipe()
    variant = str(best_variant(library_directory()))
    handed = (*fds, writes)
    subprocess.run(
        [sys.executable, "-I", "-m", "appliance.engine.quantizer", *map(str, handed), variant],
        env={}, cwd="/", pass_fds=handed, check=True, timeout=120,
    )  # fmt: skip
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        told = msgspec.msgpack.decode(pipe.read(), type=Result)
    assert told.code == "quantize_failed" and told.compared is None
    assert os.fstat(fds[1]).st_size == 0
    for fd in fds:
        os.close(fd)
