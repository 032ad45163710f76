"""Checks a collection's digests, spans and vectors.

Rules: everything is computed again from the stored texts; nothing is repaired.
"""

import hashlib
from typing import Any

from appliance.db import sealed_columns
from appliance.retrieval.collection import OpenCollection
from appliance.retrieval.schema import CHUNKS, VERSIONS
from appliance.wire.admin.collections import VerifiedCollection


def verify(collection: OpenCollection) -> VerifiedCollection:
    """Check a collection; blocks while it reads all."""
    problems: list[str] = []
    with collection.reading() as connection:
        problems += [
            f"database: {row[0]}"
            for row in connection.exec_driver_sql("PRAGMA integrity_check")
            if row[0] != "ok"
        ]
        if connection.exec_driver_sql("PRAGMA foreign_key_check").fetchone() is not None:
            problems.append("database: a row refers to what is not there")
        versions = 0
        rows = connection.execute(
            sealed_columns("SELECT id, text, text_sha256 FROM versions ORDER BY id", *VERSIONS.c)
        )
        for version, content, digest in rows:
            versions += 1
            if hashlib.sha256(content).hexdigest() != digest:
                problems.append(f"version {version}: its text is not that of its digest")
        chunks = _chunks(connection, problems)
        vectors, widths = connection.exec_driver_sql(
            "SELECT count(*), count(DISTINCT length(vector)) FROM vectors"
        ).one()
        documents = connection.exec_driver_sql("SELECT count(*) FROM documents").scalar_one()
    if vectors not in (0, chunks) or widths > 1:
        problems.append(f"vectors: {vectors} of {widths} widths for {chunks} chunks")
    return VerifiedCollection(
        documents=documents, versions=versions, chunks=chunks, vectors=vectors,
        problems=problems[:100],
    )  # fmt: skip


def _chunks(connection: Any, problems: list[str]) -> int:
    version, content, count = 0, b"", 0
    every = 'SELECT id, version, start, "end", sha256, body FROM chunks ORDER BY version, start'
    rows = connection.execute(sealed_columns(every, *CHUNKS.c)).fetchall()
    one = sealed_columns("SELECT text FROM versions WHERE id = :id", *VERSIONS.c)
    for chunk, owner, start, end, digest, body in rows:
        count += 1
        if owner != version:
            version, content = owner, connection.execute(one, {"id": owner}).scalar_one()
        span = bytes(content[start:end])
        if span != body.encode() or hashlib.sha256(span).hexdigest() != digest:
            problems.append(f"chunk {chunk}: its text is not at its span")
    return count
