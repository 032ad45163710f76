"""The child that converts: it reads the files of a directory and writes one GGUF file.

Order: import everything, drop all rights, and only then read the first byte. No more than the
largest tensor is in memory.

usage: python -I -m appliance.tuning.conversion OUT_FD ORDER_FD RESULT_FD
"""

import os

os.environ.update(OPENBLAS_NUM_THREADS="1")

import sys
import traceback
from typing import Final

import msgspec

from appliance.engine import confine
from appliance.errors import ApplianceError, TuningRefused
from appliance.trust.bytes.sealed import write_all
from appliance.tuning.conversion import (
    config,
    documents,
    gguf_file,
    safetensors,
    tokenizer,
    weights,
)
from appliance.tuning.conversion.messages import (
    CONFIG,
    INDEX,
    TEMPLATE,
    TOKENIZER,
    TOKENIZER_CONFIG,
    ConversionOrder,
    ConversionResult,
)
from appliance.tuning.conversion.safetensors import Stored

_BROKEN: Final = 70  # EX_SOFTWARE
_PIECE: Final = 1 << 30  # most that one system call reads


def convert(order: ConversionOrder, out: int) -> ConversionResult:
    """Raises TuningRefused."""
    table = documents.parse(_whole(order, CONFIG), CONFIG)
    model = config.read(table)
    stored = _stored(order)
    planned = weights.plan(model, stored)
    template = _whole(order, TEMPLATE).decode() if TEMPLATE in order.files else None
    given = documents.Members(TOKENIZER_CONFIG, {})
    if TOKENIZER_CONFIG in order.files:
        given = documents.parse(_whole(order, TOKENIZER_CONFIG), TOKENIZER_CONFIG)
    cut = documents.parse(_whole(order, TOKENIZER), TOKENIZER)
    pre, vocabulary = tokenizer.pairs(cut, given, table, model.vocabulary, template)
    kind = weights.type_of(stored)
    pairs = {**model.pairs(order.name, weights.FILE_TYPES[kind]), **vocabulary}
    write_all(out, memoryview(gguf_file.head(pairs, [one.place for one in planned])))
    for one in planned:
        data = one.converted(_read(order, one.stored.file, one.stored.at, one.stored.size))
        write_all(out, memoryview(data + bytes(gguf_file.padding(len(data)))))
    return ConversionResult(
        architecture=model.architecture, type=kind, tokenizer=pre, tensors=len(planned)
    )


def _stored(order: ConversionOrder) -> dict[str, Stored]:
    found: dict[str, Stored] = {}
    for file, fd in order.files.items():
        if not file.endswith(".safetensors"):
            continue
        size = os.fstat(fd).st_size
        first = _read(order, file, 0, min(size, safetensors.LENGTH))
        length = safetensors.table_size(first, file, size)
        table = _read(order, file, safetensors.LENGTH, length)
        for name, one in safetensors.read(table, file, size).items():
            if name in found:
                raise TuningRefused("convert_tensors", f"{name[:80]} is in two files.")
            found[name] = one
    if INDEX in order.files:
        index = documents.parse(_whole(order, INDEX), INDEX)
        if index.get("weight_map") != {name: one.file for name, one in found.items()}:
            raise TuningRefused("convert_tensors", f"{INDEX} names other tensors than the files.")
    return found


def _whole(order: ConversionOrder, file: str) -> bytes:
    size = os.fstat(order.files[file]).st_size
    if size > documents.LARGEST:
        raise documents.source(file, f"has more than {documents.LARGEST >> 20} MiB")
    return _read(order, file, 0, size)


def _read(order: ConversionOrder, file: str, at: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = os.pread(order.files[file], min(size - len(data), _PIECE), at + len(data))
        if not piece:
            raise documents.source(file, "became shorter while it was read")
        data += piece
    return bytes(data)


def main(out: int, given: int, result: int) -> ConversionResult:
    """Execute the order."""
    with os.fdopen(given, "rb", closefd=False) as file:
        order = msgspec.msgpack.decode(file.read(), type=ConversionOrder)
    keep = {0, 1, 2, out, given, result, *order.files.values()}
    in_force = confine.drop(order.memory_bytes, keep, writes=order.most_bytes)
    return msgspec.structs.replace(convert(order, out), confinement=in_force)


if __name__ == "__main__":
    out_fd, order_fd, result_fd = (int(fd) for fd in sys.argv[1:4])
    try:
        told = main(out_fd, order_fd, result_fd)
    except ApplianceError as error:
        told = ConversionResult(error.code, error.message)
    except UnicodeError:
        told = ConversionResult("convert_source", "A text of the files is no Unicode.")
    except MemoryError:
        told = ConversionResult("convert_failed", "There is no memory left.")
    except OSError as error:
        told = ConversionResult("convert_failed", f"The file cannot be written: {error.strerror}.")
    except Exception:
        traceback.print_exc()
        os._exit(_BROKEN)
    os.write(result_fd, msgspec.msgpack.encode(told))
    os._exit(0)
