"""The process that reads one document: confined before the first byte of it, and then it ends.

Order: the reader of the format is imported, all rights are dropped as in a worker of models, the
document is read from descriptor 0, and text and structure are written to descriptor 1.

usage: python -I -m appliance.retrieval.reader MEDIA SECONDS < DOCUMENT
"""

import os
import resource
import sys
from typing import Final

import msgspec

from appliance.engine import confine
from appliance.errors import ApplianceError, CollectionRefused
from appliance.retrieval import formats
from appliance.retrieval.extracted import Builder, Extracted

MEMORY: Final = 1 << 30
"""Bytes of memory that a reader may map besides its own program."""
_SLICE: Final = 1 << 20


class Reading(msgspec.Struct, frozen=True):
    """The process's answer: a text, or the reason for none."""

    extracted: Extracted | None = None
    code: str = ""
    message: str = ""


def main() -> None:
    """Read the document of this process."""
    media, seconds = sys.argv[1], int(sys.argv[2])
    if media not in formats.NAMES:
        raise SystemExit(f"no media: {media}")
    module = formats.reader(media)
    _rehearse(module)
    # At the first limit the kernel ends it with SIGXCPU, which tells why.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    confine.drop(MEMORY, {0, 1, 2})
    _write(msgspec.msgpack.encode(_reading(module)))
    os._exit(0)


def _rehearse(module: object) -> None:
    builder = Builder()
    builder.add("paragraph", "\u00e4 \u3042")
    msgspec.msgpack.encode(Reading(builder.done()))
    b"".decode("cp1252"), b"".decode("utf-16"), b"".decode("iso8859-15"), b"".decode("utf-8-sig")
    prepare = getattr(module, "prepare", None)
    if prepare is not None:
        prepare()


def _reading(module: object) -> Reading:
    read = getattr(module, "read")  # noqa: B009 - a module
    try:
        return Reading(read(_document()))
    except ApplianceError as error:
        return Reading(code=error.code, message=error.message)
    except MemoryError:
        return Reading(code="document_too_large", message="It needs more memory than a reader has.")
    except Exception as error:  # whatever a library makes of hostile bytes
        name = type(error).__name__
        return Reading(code="document_unreadable", message=f"Its reader failed ({name}).")


def _document() -> bytes:
    parts = []
    while part := os.read(0, _SLICE):
        parts.append(part)
    return b"".join(parts)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view[:_SLICE]) :]


def decoded(answer: bytes) -> Extracted:
    """Checked, since the process read hostile bytes.

    Raises:
        CollectionRefused: the reader's, or `document_unreadable`.
    """
    try:
        found = msgspec.msgpack.decode(answer, type=Reading)
    except msgspec.MsgspecError as error:
        raise CollectionRefused("document_unreadable", "The reader ended early.") from error
    if found.extracted is None:
        code = found.code if found.code.startswith("document_") else "document_unreadable"
        raise CollectionRefused(code, found.message[:500])
    return _checked(found.extracted)


def _checked(extracted: Extracted) -> Extracted:
    builder = Builder()
    end = 0
    try:
        for block in extracted.blocks:
            if not end <= block.start <= block.end <= len(extracted.text):
                raise ValueError("span")
            content = extracted.text[block.start : block.end].decode()
            level, page = max(0, min(block.level, 6)), max(0, min(block.page, 1 << 30))
            builder.add(block.kind[:16], content, level=level, page=page)
            end = block.end
    except ValueError as error:
        message = "The reader answered with what is no text."
        raise CollectionRefused("document_unreadable", message) from error
    builder.title = extracted.title
    builder.warnings = [warning[:40] for warning in extracted.warnings[:20]]
    return builder.done(
        pages=max(0, min(extracted.pages, 1 << 30)),
        empty_pages=max(0, min(extracted.empty_pages, 1 << 30)),
    )


if __name__ == "__main__":
    main()
