"""The queues of items that people label, in `appliance.db`.

Rules: a queue keeps its items' inputs from its creation, whatever happens to the dataset's
directory; a label is read and written in one transaction.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    column,
    delete,
    func,
    insert,
    or_,
    select,
    table,
)
from sqlalchemy.dialects import sqlite

from appliance.clock import Clock
from appliance.datasets.items import Item, Scalar
from appliance.datasets.labelling import (
    MOST_ITEMS,
    Given,
    Labelling,
    PutAside,
    check_labels,
    check_raters,
)
from appliance.db import SealedText, scrub
from appliance.errors import DatasetRefused, StateRefused
from appliance.types import Held

TABLES: Final = """\
CREATE TABLE label_queues (
  name TEXT PRIMARY KEY,
  source TEXT NOT NULL,
  labels TEXT NOT NULL,
  raters TEXT NOT NULL,
  created_us INTEGER NOT NULL
) STRICT;
CREATE TABLE label_items (
  queue TEXT NOT NULL REFERENCES label_queues (name) ON DELETE CASCADE,
  place INTEGER NOT NULL,
  item TEXT NOT NULL,
  input TEXT NOT NULL,
  PRIMARY KEY (queue, item)
) STRICT;
CREATE TABLE labels (
  id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  item TEXT NOT NULL,
  rater TEXT NOT NULL,
  together INTEGER NOT NULL,
  label TEXT NOT NULL,
  actor TEXT NOT NULL,
  time_us INTEGER NOT NULL,
  UNIQUE (queue, item, rater, together),
  FOREIGN KEY (queue, item) REFERENCES label_items (queue, item) ON DELETE CASCADE
) STRICT;
"""

SEALED: Final = """\
ALTER TABLE label_queues ADD COLUMN job INTEGER NOT NULL DEFAULT 0;
ALTER TABLE label_items ADD COLUMN origin TEXT NOT NULL DEFAULT '';
"""
"""A further migration: queues of a gate's sealed items, and which item each of them is."""

ASIDE: Final = """\
CREATE TABLE label_aside (
  id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  item TEXT NOT NULL,
  rater TEXT NOT NULL,
  reason TEXT NOT NULL,
  UNIQUE (queue, item, rater),
  FOREIGN KEY (queue, item) REFERENCES label_items (queue, item) ON DELETE CASCADE
) STRICT;
"""
"""A further migration: items that people have put aside."""


_ITEMS: Final = table(
    "label_items", *map(column, ("queue", "place", "item", "origin")), column("input", SealedText)
)
_LABELS: Final = table(
    "labels",
    *map(column, ("id", "queue", "item", "rater", "together", "actor", "time_us")),
    column("label", SealedText),
)
_QUEUES: Final = table(
    "label_queues",
    *map(column, ("name", "source", "raters", "created_us", "job")),
    column("labels", SealedText),
)
_ASIDE: Final = table(
    "label_aside", *map(column, ("id", "queue", "item", "rater")), column("reason", SealedText)
)
TEXTS: Final = (_ITEMS, _LABELS, _QUEUES, _ASIDE)
"""The columns that lie encrypted."""


@dataclass(frozen=True)
class StoredLabelQueue:
    """One queue.

    Attributes:
        source: directory of the dataset, or its id for a gate's queue.
        job: the gate whose sealed items it has, under meaningless names; 0 for none.
    """

    name: str
    source: str
    created_us: int
    labelling: Labelling
    job: int = 0


class LabelQueues:
    """Stores queues.

    Args:
        database: an engine whose migrations include `TABLES`.
        held: names of queues whose labels differ from the log's.
    """

    def __init__(self, database: Engine, clock: Clock, held: Held = frozenset) -> None:
        self._database, self._clock, self.held = database, clock, held

    def create(
        self,
        name: str,
        source: str,
        items: Sequence[Item],
        labels: Sequence[str],
        raters: Sequence[str],
        origins: Mapping[str, str] = MappingProxyType({}),
        job: int = 0,
    ) -> None:
        """Items come in an order that does not depend on them.

        Args:
            origins: dataset ids of items under other names.

        Raises:
            DatasetRefused: `label_queue_exists`, `label_queue_empty`, `label_unknown`,
                `rater_invalid`, `dataset_too_large`.
        """
        kept, people = check_labels(labels), check_raters(raters)
        if not items:
            raise DatasetRefused("label_queue_empty", "The dataset has no item without a label.")
        if len(items) > MOST_ITEMS and not job:  # a gate has spent its look already
            raise DatasetRefused(
                "dataset_too_large", f"A queue has at most {MOST_ITEMS} items, not {len(items)}."
            )
        with self._database.begin() as connection:
            if _exists(connection, name):
                raise DatasetRefused("label_queue_exists", f"There is a queue {name} already.")
            connection.execute(
                insert(_QUEUES).values(
                    name=name,
                    source=source,
                    labels=json.dumps(kept),
                    raters=json.dumps(people),
                    created_us=self._clock.wall_us(),
                    job=job,
                )
            )
            connection.execute(
                insert(_ITEMS),
                [
                    {
                        "queue": name,
                        "place": place,
                        "item": item.id,
                        "input": json.dumps(dict(item.input)),
                        "origin": origins.get(item.id, ""),
                    }
                    for place, item in enumerate(shuffled(items))
                ],
            )

    def list(self) -> "tuple[StoredLabelQueue, ...]":
        with self._database.connect() as connection:
            names = connection.execute(select(_QUEUES.c.name).order_by(_QUEUES.c.name)).scalars()
            return tuple(_read(connection, name) for name in names.all())

    def get(self, name: str) -> StoredLabelQueue:
        """Raises DatasetRefused (`label_queue_unknown`)."""
        with self._database.connect() as connection:
            return _read(connection, name)

    def check(self, name: str) -> None:
        """Check that labels may be taken. Raises StateRefused (`state_differs`)."""
        if name in self.held():
            raise StateRefused("state_differs", f"Labels of {name} are not as the log has them.")

    def input_of(self, name: str, item: str) -> Mapping[str, Scalar]:
        """Raises DatasetRefused (`item_unknown`)."""
        wanted = select(_ITEMS.c.input).where(_ITEMS.c.queue == name, _ITEMS.c.item == item)
        with self._database.connect() as connection:
            row = connection.execute(wanted).first()
        if row is None:
            raise DatasetRefused("item_unknown", "The queue has no such item.")
        found: Mapping[str, Scalar] = json.loads(row[0])
        return found

    def set(self, name: str, new: Given, actor: str) -> StoredLabelQueue:
        """Raises DatasetRefused: `label_queue_unknown`, or as `Labelling.admit`."""
        row = {"queue": name, "actor": actor, "time_us": self._clock.wall_us(), **new._asdict()}
        made = sqlite.insert(_LABELS).values(row)
        key = ("queue", "item", "rater", "together")
        changed = {each.name: each for each in made.excluded if each.name in row.keys() - key}
        with self._database.begin() as connection:
            _read(connection, name).labelling.admit(new)
            connection.execute(made.on_conflict_do_update(index_elements=key, set_=changed))
            return _read(connection, name)

    def put_aside(self, name: str, new: PutAside) -> StoredLabelQueue:
        """Behind this person's earlier ones; DatasetRefused (`label_queue_unknown`, as
        `admit_aside`).
        """
        row = {"queue": name, **new._asdict()}
        with self._database.begin() as connection:
            _read(connection, name).labelling.admit_aside(new)
            # The newest id, also where the item was put aside last.
            newest = select(func.coalesce(func.max(_ASIDE.c.id), 0) + 1).scalar_subquery()
            connection.execute(insert(_ASIDE).values(id=newest, **row).prefix_with("OR REPLACE"))
            return _read(connection, name)

    def holds(self, ids: Collection[str]) -> Mapping[str, int]:
        with self._database.begin() as connection:
            return _count(connection, ids)

    def origins(self, name: str) -> Mapping[str, str]:
        """Dataset ids of a gate's items, by their names in its queue."""
        wanted = select(_ITEMS.c.item, _ITEMS.c.origin).where(_ITEMS.c.queue == name)
        with self._database.connect() as connection:
            return dict(connection.execute(wanted).all())

    def aliases(self, ids: Collection[str]) -> tuple[str, ...]:
        """Names of these items in gates' queues."""
        wanted = select(_ITEMS.c.item).where(_ITEMS.c.origin.in_(ids)).order_by(_ITEMS.c.item)
        with self._database.connect() as connection:
            return tuple(connection.execute(wanted).scalars())

    def erase(self, ids: Collection[str]) -> None:
        with self._database.begin() as connection:
            connection.execute(delete(_ITEMS).where(_of(ids)))

    def remove(self, name: str) -> None:
        """Delete a queue, its texts and its labels, leaving nothing in the files.

        Raises:
            DatasetRefused: `label_queue_unknown`.
            Unavailable: `erasure_unfinished`.
        """
        with self._database.begin() as connection:
            if not _exists(connection, name):
                raise _unknown(name)
            connection.execute(delete(_QUEUES).where(_QUEUES.c.name == name))
        scrub(self._database)


def _count(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    wanted = select(_ITEMS.c.queue, func.count()).where(_of(ids)).group_by(_ITEMS.c.queue)
    return dict(connection.execute(wanted).all())


def _of(ids: Collection[str]) -> ColumnElement[bool]:
    return or_(_ITEMS.c.item.in_(ids), _ITEMS.c.origin.in_(ids))


def shuffled(items: Sequence[Item]) -> "list[Item]":
    """By ids only, so that a part is a sample of the whole."""
    return sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).digest())


def _exists(connection: Connection, name: str) -> bool:
    return connection.execute(select(1).where(_QUEUES.c.name == name)).first() is not None


def _read(connection: Connection, name: str) -> StoredLabelQueue:
    row = connection.execute(select(_QUEUES).where(_QUEUES.c.name == name)).first()
    if row is None:
        raise _unknown(name)
    items = select(_ITEMS.c.item).where(_ITEMS.c.queue == name).order_by(_ITEMS.c.place)
    given = select(_LABELS).where(_LABELS.c.queue == name).order_by(_LABELS.c.id)
    aside = select(_ASIDE).where(_ASIDE.c.queue == name).order_by(_ASIDE.c.id)
    labelling = Labelling(
        tuple(connection.execute(items).scalars()),
        tuple(json.loads(row.labels)),
        check_raters(json.loads(row.raters)),
        tuple(
            Given(each.item, each.rater, each.label, bool(each.together))
            for each in connection.execute(given)
        ),
        tuple(PutAside(e.item, e.rater, e.reason) for e in connection.execute(aside)),
    )
    return StoredLabelQueue(name, row.source, row.created_us, labelling, row.job)


def _unknown(name: str) -> DatasetRefused:
    return DatasetRefused("label_queue_unknown", f"There is no queue {name!r}.")
