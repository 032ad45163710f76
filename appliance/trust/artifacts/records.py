"""Records of models and their approvals, in appliance.db.

Rules: a record is a note of a decision, never the ground for the next one; approvals are kept as
signed, byte for byte.
"""

import contextlib
import enum
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from appliance import facts
from appliance.errors import CODES
from appliance.facts import OTHER_KINDS, AdapterFacts, ArtifactFacts, UnreadFacts, table_of
from appliance.types import Json

TABLES: Final = """
CREATE TABLE models (
  id TEXT PRIMARY KEY,
  state TEXT NOT NULL,
  digest TEXT,
  code TEXT,
  message TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  facts TEXT NOT NULL
) STRICT;
CREATE TABLE model_approvals (
  model TEXT NOT NULL REFERENCES models (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  envelope BLOB NOT NULL,
  PRIMARY KEY (model, key)
) STRICT;
"""
"""SQL script for appliance.db; a migration in the sense of `appliance.db`."""

ROUNDS: Final = """
ALTER TABLE models ADD COLUMN round INTEGER NOT NULL DEFAULT 0;
"""
"""A later migration: which round of approvals a model is in."""

_MODELS: Final = sa.table(
    "models",
    *map(sa.column, ("id", "state", "digest", "code", "message", "created_us", "facts", "round")),
)
_APPROVALS: Final = sa.table("model_approvals", *map(sa.column, ("model", "key", "envelope")))


class ModelState(enum.StrEnum):
    """State of a model; docs/trust.md draws the edges."""

    QUARANTINED = "quarantined"
    VETTED = "vetted"
    VERIFIED = "verified"
    APPROVED = "approved"
    STAGED = "staged"
    SERVING = "serving"
    SUSPENDED = "suspended"
    RETIRED = "retired"
    REFUSED = "refused"
    REVOKED = "revoked"


F = TypeVar("F", bound=ArtifactFacts, covariant=True)
_UNREAD: Final[Any] = UnreadFacts()


@dataclass(frozen=True)
class ArtifactRecord(Generic[F]):
    """One artifact.

    Attributes:
        digest: hex OMS root digest, once the artifact was verified.
        code: why it was refused, suspended or revoked.
        round: how often a suspension voided its approvals.
    """

    id: str
    state: str
    digest: str | None = None
    code: str | None = None
    message: str = ""
    created_us: int = 0
    facts: F = _UNREAD
    round: int = 0

    @property
    def kind(self) -> str:
        """Empty before it was vetted."""
        return self.facts.kind

    @property
    def is_model(self) -> bool:
        """True if it is, or may turn out to be, a model or an adapter."""
        return self.kind not in OTHER_KINDS

    @property
    def hint(self) -> str:
        """Next step for `code`; empty when there is none."""
        return CODES[self.code].hint if self.code in CODES else ""


ModelRecord: TypeAlias = ArtifactRecord[ArtifactFacts]
"""Of an artifact of any kind."""


def of_kind(record: ArtifactRecord[Any], kind: type[F]) -> ArtifactRecord[F] | None:
    """The record if it is of this kind, else None."""
    return record if isinstance(record.facts, kind) else None


def followers(records: Iterable[ModelRecord], base_id: str) -> list[ArtifactRecord[AdapterFacts]]:
    """The approved adapters of a base, whose ids are `BASE:NAME`."""
    return [
        found
        for record in records
        if record.id.partition(":")[:2] == (base_id, ":") and record.state == ModelState.APPROVED
        if (found := of_kind(record, AdapterFacts)) is not None
    ]


class Records:
    """The two tables of appliance.db."""

    def __init__(self, database: Engine) -> None:
        self._database = database
        self._change = object()  # another one after each change, whichever thread makes it
        self._held: tuple[object, dict[str, ModelRecord]] | None = None

    def save(self, record: ModelRecord, *, fresh: bool = False) -> None:
        """Insert or replace a record.

        Args:
            fresh: a new artifact: older approvals are deleted.
        """
        values = {
            "id": record.id,
            "state": ModelState(record.state).value,
            "digest": record.digest,
            "code": record.code,
            "message": record.message,
            "created_us": record.created_us,
            "facts": json.dumps(table_of(record.facts)),
            "round": record.round,
        }
        with self._changing() as connection:
            if fresh:
                connection.execute(sa.delete(_APPROVALS).where(_APPROVALS.c.model == record.id))
            changed = connection.execute(
                sa.update(_MODELS).where(_MODELS.c.id == record.id).values(values)
            )
            if not changed.rowcount:
                connection.execute(sa.insert(_MODELS).values(values))

    def forget(self) -> None:
        """Read the rows again, after they were changed elsewhere."""
        self._change = object()

    def find(self, model_id: str) -> ModelRecord | None:
        return self._known().get(model_id)

    def all(self) -> list[ModelRecord]:
        return list(self._known().values())

    def delete(self, model_id: str) -> None:
        with self._changing() as connection:
            connection.execute(sa.delete(_MODELS).where(_MODELS.c.id == model_id))

    def add_approval(
        self, model_id: str, key: str, envelope: bytes, state: str | None = None
    ) -> None:
        """Keep an approval and the state that follows, in one transaction; one per key, the newest
        wins.
        """
        with self._changing() as connection:
            connection.execute(
                sa.delete(_APPROVALS).where(_APPROVALS.c.model == model_id, _APPROVALS.c.key == key)
            )
            connection.execute(
                sa.insert(_APPROVALS).values(model=model_id, key=key, envelope=envelope)
            )
            if state is not None:
                connection.execute(
                    sa.update(_MODELS)
                    .where(_MODELS.c.id == model_id)
                    .values(state=ModelState(state).value, code=None, message="")
                )

    def approvals(self, model_id: str | None = None, *, but: str = "") -> list[bytes]:
        """The envelopes for a model, or for all, by key; without those of the key `but`."""
        asked = sa.select(_APPROVALS.c.envelope).order_by(_APPROVALS.c.key)
        if model_id is not None:
            asked = asked.where(_APPROVALS.c.model == model_id, _APPROVALS.c.key != but)
        with self._database.begin() as connection:
            return [bytes(envelope) for (envelope,) in connection.execute(asked)]

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Connection]:
        """A transaction after which records are read again."""
        try:
            with self._database.begin() as connection:
                yield connection
        finally:
            self._change = object()

    def _known(self) -> dict[str, ModelRecord]:
        change = self._change  # before they are read: what changes meanwhile is read again
        held = self._held
        if held is None or held[0] is not change:
            with self._database.begin() as connection:
                held = change, {record.id: record for record in _select(connection)}
            self._held = held
        return held[1]


def _select(connection: Connection) -> list[ModelRecord]:
    rows = connection.execute(sa.select(_MODELS).order_by(_MODELS.c.id)).mappings()
    return [ModelRecord(**{**row, "facts": _kept(json.loads(row["facts"]))}) for row in rows]


def _kept(table: Mapping[str, Json]) -> ArtifactFacts:
    """The facts of a row, unchanged when the row is written again."""
    found = facts.read(table)
    return found if facts.table_of(found) == table else UnreadFacts(table)
