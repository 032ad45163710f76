"""The tables of a segment of the log, as scripts that only ever add.

Rules: a script is never edited once a log was made with it; a new one goes to the end. None touches
bodies, hashes and heads. Indexes and spans are copies for searching.
"""

from typing import Final

_SCHEMA: Final = """
CREATE TABLE leaf (
  seq INTEGER PRIMARY KEY,
  prev BLOB NOT NULL UNIQUE CHECK (length(prev) = 32),
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  body BLOB NOT NULL CHECK (length(body) <= 65535),
  kind TEXT GENERATED ALWAYS AS (json_extract(CAST(body AS TEXT), '$.kind')) VIRTUAL,
  time_us INTEGER GENERATED ALWAYS AS (json_extract(CAST(body AS TEXT), '$.time_us')) VIRTUAL,
  request_id TEXT GENERATED ALWAYS AS (json_extract(CAST(body AS TEXT), '$.request_id')) VIRTUAL,
  key_id TEXT GENERATED ALWAYS AS (json_extract(CAST(body AS TEXT), '$.key_id')) VIRTUAL,
  model TEXT GENERATED ALWAYS AS (json_extract(CAST(body AS TEXT), '$.model')) VIRTUAL,
  intent INTEGER GENERATED ALWAYS AS (json_extract(CAST(body AS TEXT), '$.intent')) VIRTUAL,
  dek TEXT GENERATED ALWAYS AS (json_extract(CAST(body AS TEXT), '$.content.key')) VIRTUAL
) STRICT;
CREATE INDEX leaf_kind ON leaf (kind);
CREATE INDEX leaf_time ON leaf (time_us);
CREATE INDEX leaf_request ON leaf (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX leaf_key ON leaf (key_id) WHERE key_id IS NOT NULL;
CREATE INDEX leaf_model ON leaf (model) WHERE model IS NOT NULL;
CREATE UNIQUE INDEX leaf_intent ON leaf (intent) WHERE intent IS NOT NULL;
CREATE UNIQUE INDEX leaf_dek ON leaf (dek) WHERE dek IS NOT NULL;
CREATE TABLE checkpoint (
  size INTEGER PRIMARY KEY,
  note BLOB NOT NULL
) STRICT;
CREATE TABLE node (
  level INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;
CREATE TABLE content (
  seq INTEGER NOT NULL,
  name TEXT NOT NULL,
  nonce BLOB NOT NULL,
  ct BLOB NOT NULL,
  PRIMARY KEY (seq, name)
) STRICT;
"""
_TABLES: Final = ("leaf", "checkpoint", "node", "content")


def _triggers(*tables: str) -> str:
    return "".join(
        f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} BEGIN\n"
        f"  SELECT RAISE(ABORT, 'the audit log is append-only');\nEND;\n"
        for table in tables
        for change in ("UPDATE", "DELETE")
    )


SPAN: Final = 1_024
"""Entries of a block whose earliest and latest wall time `span` keeps."""

# Times jump with the clock, so an index on them cannot be followed in order; spans can. A column
# that a body may fill with anything takes anything.
_SPANS: Final = """
ALTER TABLE leaf ADD COLUMN app ANY GENERATED ALWAYS AS (
  json_extract(CAST(body AS TEXT), '$.app')
) VIRTUAL;
ALTER TABLE leaf ADD COLUMN code ANY GENERATED ALWAYS AS (
  coalesce(
    json_extract(CAST(body AS TEXT), '$.code'),
    json_extract(CAST(body AS TEXT), '$.finish'),
    json_extract(CAST(body AS TEXT), '$.status')
  )
) VIRTUAL;
CREATE INDEX leaf_app ON leaf (app) WHERE app IS NOT NULL;
CREATE INDEX leaf_code ON leaf (code) WHERE code IS NOT NULL;
DROP INDEX leaf_time;
CREATE TABLE span (
  block INTEGER PRIMARY KEY,
  low_us INTEGER NOT NULL,
  high_us INTEGER NOT NULL
) STRICT;
INSERT INTO span (block, low_us, high_us)
  SELECT seq / 1024, min(time_us), max(time_us) FROM leaf
  GROUP BY seq / 1024 HAVING count(*) = 1024;
"""

# What a segment carries of the key handovers before it.
_CARRIED: Final = """
CREATE TABLE handover (
  size INTEGER PRIMARY KEY,
  record BLOB NOT NULL CHECK (length(record) = 112)
) STRICT;
"""

MIGRATIONS: Final[tuple[str, ...]] = (
    _SCHEMA + _triggers(*_TABLES),
    _SPANS + _triggers("span"),
    _CARRIED + _triggers("handover"),
)
