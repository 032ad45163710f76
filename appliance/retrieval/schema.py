"""Tables of one collection. Scripts are never edited, only added to at the end."""

from typing import Final

from sqlalchemy import column, table

from appliance.db import SealedBytes, SealedText

_FIRST: Final = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE documents (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  current INTEGER,
  added_us INTEGER NOT NULL,
  added_by TEXT NOT NULL
) STRICT;
CREATE TABLE metadata (
  document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (document, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE access (
  document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
  grantee TEXT NOT NULL,
  PRIMARY KEY (document, grantee)
) STRICT, WITHOUT ROWID;
CREATE INDEX access_by_grantee ON access (grantee, document);
CREATE TABLE versions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  source_sha256 TEXT NOT NULL,
  text_sha256 TEXT NOT NULL,
  text BLOB NOT NULL,
  media TEXT NOT NULL,
  title TEXT NOT NULL,
  language TEXT NOT NULL,
  pages INTEGER NOT NULL,
  empty_pages INTEGER NOT NULL,
  warnings TEXT NOT NULL,
  added_us INTEGER NOT NULL,
  UNIQUE (document, number)
) STRICT;
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  version INTEGER NOT NULL REFERENCES versions (id) ON DELETE CASCADE,
  document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
  start INTEGER NOT NULL,
  "end" INTEGER NOT NULL,
  page INTEGER NOT NULL,
  heading TEXT NOT NULL,
  words INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX chunks_by_version ON chunks (version);
CREATE INDEX chunks_by_document ON chunks (document);
CREATE TABLE vectors (
  chunk INTEGER PRIMARY KEY REFERENCES chunks (id) ON DELETE CASCADE,
  vector BLOB NOT NULL
) STRICT;
CREATE TABLE reports (
  job INTEGER NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  code TEXT NOT NULL,
  message TEXT NOT NULL,
  PRIMARY KEY (job, name)
) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE terms USING fts5(
  body, content='chunks', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE postings USING fts5vocab(terms, instance);
INSERT INTO terms (terms, rank) VALUES ('secure-delete', 1);
"""
_INGESTS: Final = """
CREATE TABLE ingests (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  metadata TEXT NOT NULL,
  created_us INTEGER NOT NULL
) STRICT;
"""
"""Values of metadata that an ingest waits with: its job and the log have the number of the row."""
_NO_TERMS: Final = "DROP TABLE postings;\nDROP TABLE terms;\n"
"""An index of words on the disk shows them; the one in memory is made of the texts."""
MIGRATIONS: Final = (_FIRST, _INGESTS, _NO_TERMS)

DOCUMENTS: Final = table("documents", column("id"), column("name"))
METADATA: Final = table("metadata", column("document"), column("name"), column("value", SealedText))
VERSIONS: Final = table(
    "versions",
    *map(column, ("id", "document", "number", "source_sha256", "text_sha256", "media", "language")),
    *map(column, ("pages", "empty_pages", "added_us")),
    *(column("text", SealedBytes), column("title", SealedText), column("warnings", SealedText)),
)
CHUNKS: Final = table(
    "chunks",
    *map(column, ("id", "version", "document", "start", "end", "page", "words", "sha256")),
    *(column("heading", SealedText), column("body", SealedText)),
)
VECTORS: Final = table("vectors", column("chunk"), column("vector", SealedBytes))
REPORTS: Final = table(
    "reports", *map(column, ("job", "name", "state", "code")), column("message", SealedText)
)
INGESTS: Final = table(
    "ingests", column("id"), column("metadata", SealedText), column("created_us")
)
TEXTS: Final = (METADATA, VERSIONS, CHUNKS, VECTORS, REPORTS, INGESTS)
"""The columns that lie encrypted."""
