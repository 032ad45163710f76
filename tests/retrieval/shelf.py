"""Small collections for tests: documents of paragraphs, with vectors of their words."""

import hashlib
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from appliance.retrieval.chunking import chunks
from appliance.retrieval.collection import Incoming, OpenCollection, Settings
from appliance.retrieval.extracted import Builder, Extracted
from appliance.retrieval.ranking import Floats

WIDTH = 48
EVERYONE = ("everyone",)


def vector(text: str) -> Floats:
    """Similar for texts with common words: hashed counts, of length 1."""
    found = np.zeros(WIDTH, np.float32)
    for word in text.lower().split():
        found[zlib.crc32(word.encode()) % WIDTH] += 1
    return found / max(1.0, float(np.linalg.norm(found)))


def written(*paragraphs: str, title: str = "") -> Extracted:
    builder = Builder()
    if title:
        builder.add("heading", title, level=1)
    for paragraph in paragraphs:
        builder.add("paragraph", paragraph)
    return builder.done()


def incoming(
    name: str,
    *paragraphs: str,
    access: Sequence[str] | None = EVERYONE,
    metadata: Mapping[str, str] | None = None,
    embedded: bool = True,
) -> Incoming:
    extracted = written(*paragraphs)
    cut = chunks(extracted.text, extracted.blocks, budget=40, overlap=0)
    vectors = [vector(extracted.text[c.start : c.end].decode()) for c in cut]
    return Incoming(
        name=name,
        source_sha256=hashlib.sha256(extracted.text).hexdigest(),
        media="text",
        extracted=extracted,
        chunks=cut,
        vectors=np.array(vectors, np.float32).reshape(len(cut), WIDTH) if embedded else None,
        access=None if access is None else tuple(access),
        metadata=metadata,
    )


def collection(path: Path, *, ranking: str = "vectors") -> OpenCollection:
    OpenCollection.create(path, Settings(embedder="e", ranking=ranking, budget=40, overlap=0))
    return OpenCollection(path)


def pieces(data: Path, name: str) -> set[bytes]:
    """A part of each longer passage, encrypted as it lies on the disk."""
    sql = "SELECT body FROM chunks WHERE length(body) > 72"
    with closing(sqlite3.connect(data / "collections" / f"{name}.db")) as connection:
        return {body[40:72].encode() for (body,) in connection.execute(sql)}


def on_disk(data: Path, wanted: set[bytes]) -> set[bytes]:
    """Pieces that some file below a directory has."""
    contents = [path.read_bytes() for path in data.rglob("*") if path.is_file()]
    return {piece for piece in wanted if any(piece in content for content in contents)}
