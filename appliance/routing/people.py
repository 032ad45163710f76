"""The queue of people: an input that no stage may answer waits for a person, up to a deadline.

Rules:
- Only texts that the log keeps may wait here.
- One item has one answer, in the form of the task, and none after its deadline, whatever the clock
  says later.
- The same request of the same key names the same unexpired item for a day, so that a retry makes no
  second.
- The queue, and each key's part of it, is bounded.
- The log records who read and who answered each item; an answer's words are a text of its entry.
- Answers are labels of items in doubt: they say nothing about accepted answers.
"""

import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, TypeAlias

import jsonschema_rs
import sqlalchemy as sa
from sqlalchemy import Engine

from appliance.audit.log import AuditLog, Draft
from appliance.clock import Clock, iso
from appliance.datasets.items import Item, build
from appliance.db import SealedText
from appliance.errors import BadRequest, Forbidden, NotFound, Overloaded, StateRefused
from appliance.types import Caller, ContentMode, Json, JsonValue, Principal

TABLES: Final = """
CREATE TABLE deferred_items (
  id TEXT PRIMARY KEY,
  request_id TEXT NOT NULL,
  key_id TEXT NOT NULL,
  app TEXT NOT NULL,
  task TEXT NOT NULL,
  reason TEXT NOT NULL,
  input TEXT NOT NULL,
  form TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  deadline_us INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('waiting', 'answered', 'expired')),
  answer TEXT,
  actor TEXT,
  ended_us INTEGER
) STRICT;
CREATE INDEX deferred_items_by_state ON deferred_items (state, deadline_us);
CREATE INDEX deferred_items_by_key ON deferred_items (key_id, created_us);
"""
"""SQL script for appliance.db; a migration in the sense of `appliance.db`."""
SAME: Final = """
ALTER TABLE deferred_items ADD COLUMN same TEXT;
CREATE INDEX deferred_items_by_same ON deferred_items (same, created_us);
"""
"""The next one: the keyed digest of what was asked, by which the same request is known again."""

MOST_WAITING: Final = 10_000
KEYS_PART: Final = 10
"""One key has at most the queue divided by this: an input that a rule defers takes no
tokens, so that one app could fill the queue of all."""
MOST_SHOWN: Final = 200
MOST_READ: Final = 20_000
"""Readings that are remembered: two people have read a full queue."""
MOST_LABELS: Final = 100_000
_MOST_ANSWER: Final = 64 << 10
_DAY_US: Final = 86_400_000_000


State: TypeAlias = Literal["waiting", "answered", "expired"]


@dataclass(frozen=True)
class Form:
    """One of labels, an object of a schema, or else text."""

    labels: tuple[str, ...] = ()
    schema: Mapping[str, JsonValue] | None = None

    def check(self, answer: Any) -> None:
        """Raises BadRequest (`queue_answer_unfit`)."""
        if len(json.dumps(answer)) > _MOST_ANSWER:
            raise _unfit(f"an answer has at most {_MOST_ANSWER} bytes")
        if self.labels:
            if answer not in self.labels:
                raise _unfit("the answer is none of the labels")
        elif self.schema is not None:
            if not jsonschema_rs.is_valid(dict(self.schema), answer):
                raise _unfit("the answer does not satisfy the schema of the task")
        elif not isinstance(answer, str) or not answer.strip():
            raise _unfit("the answer is a text")


@dataclass(frozen=True)
class DeferredItem:
    """Times in microseconds since the epoch.

    Attributes:
        answer, actor: a person's; None before.
        same: equal for the same request of the same key; None in items of older versions.
    """

    id: str
    request_id: str
    key_id: str
    app: str
    task: str
    reason: str
    input: Mapping[str, JsonValue]
    form: Form
    created_us: int
    deadline_us: int
    state: State
    answer: Any = None
    actor: str | None = None
    ended_us: int | None = None
    same: str | None = None

    def document(self) -> dict[str, JsonValue]:
        """For its app; times in seconds."""
        return {
            "id": self.id,
            "task": self.task,
            "state": self.state,
            "created": self.created_us // 1_000_000,
            "deadline": self.deadline_us // 1_000_000,
            "reason": self.reason,
            "input": dict(self.input),
            "labels": list(self.form.labels) or None,
            "form": None if self.form.schema is None else dict(self.form.schema),
            "answer": self.answer,
        }

    def item(self) -> Item:
        """The group is the app and the day. Raises DatasetRefused: larger than an item may be."""
        moment = iso(self.created_us)
        value = {
            "id": self.request_id,
            "group": f"{self.app} {moment[:10]}",
            "input": dict(self.input),
            "expected": self.answer,
            "time": f"{moment[:19]}Z",
        }
        return build(value, f"request {self.request_id}")


_ITEMS: Final = sa.table(
    "deferred_items",
    *(
        sa.column(each.name, SealedText if each.name in ("input", "answer") else None)
        for each in fields(DeferredItem)
    ),
)
TEXTS: Final = _ITEMS


class People:
    """The queue.

    Args:
        content: retention of texts of keys without a rule of their own.
        secret: key of the digests of requests.
    """

    def __init__(
        self,
        database: Engine,
        audit: AuditLog,
        clock: Clock,
        content: ContentMode,
        secret: Callable[[], bytes],
        most: int = MOST_WAITING,
    ) -> None:
        self._database, self._audit, self._clock = database, audit, clock
        self._content, self._secret, self._most = content, secret, most
        self._putting = threading.Lock()
        self._read: dict[tuple[str, str], None] = {}

    def put(
        self,
        caller: Caller,
        task: str,
        given: Mapping[str, JsonValue],
        form: Form,
        *,
        hours: float,
        reason: str,
    ) -> DeferredItem:
        """Queue a request; recorded before.

        Returns:
            The existing item, answered or not, for the same request within a day.

        Raises:
            Forbidden: `queue_retention` for a key whose texts are not kept.
            Overloaded: `people_queue_full`.
        """
        if (caller.principal.content or self._content) != "encrypted":
            raise Forbidden("queue_retention", "Texts of this key are not kept, so none can wait.")
        now, key_id = self._clock.wall_us(), caller.principal.key_id
        made = DeferredItem(
            id=f"wait-{secrets.token_hex(16)}",
            request_id=caller.request_id,
            key_id=key_id,
            app=caller.principal.name,
            task=task,
            reason=reason,
            input=given,
            form=form,
            created_us=now,
            deadline_us=now + round(hours * 3_600_000_000),
            state="waiting",
            same=self._digest(key_id, task, dict(given), _text(form)),
        )
        with self._putting:
            self._expire(now)
            if (there := self._like(made)) is not None:
                # An erasure finds the item by this entry: its text is that of both requests.
                asked = replace(there, request_id=caller.request_id)
                self._note("queue_same", f"key:{key_id}", asked, {})
                return there
            self._check_room(key_id)
            self._note("queue_put", f"key:{key_id}", made, {"deadline": iso(made.deadline_us)})
            with self._database.begin() as connection:
                connection.execute(sa.insert(_ITEMS).values(_row(made)))
        return made

    def get(self, item_id: str) -> DeferredItem:
        """Raises NotFound (`queue_item_unknown`)."""
        self._expire(self._clock.wall_us())
        with self._database.begin() as connection:
            row = connection.execute(
                sa.select(_ITEMS).where(_ITEMS.c.id == item_id)
            ).mappings().first()  # fmt: skip
        if row is None:
            raise NotFound("queue_item_unknown", "The queue has no such item.")
        return _item(dict(row))

    def list(
        self,
        *,
        state: State | None = "waiting",
        key_id: str | None = None,
        task: str | None = None,
        limit: int = MOST_SHOWN,
    ) -> Sequence[DeferredItem]:
        wanted = {"state": state, "key_id": key_id, "task": task}
        where = [_ITEMS.c[name] == value for name, value in wanted.items() if value is not None]
        return self._found(where, limit)

    def seen_by(self, who: Principal) -> Sequence[DeferredItem]:
        """Its own; if it answers, those waiting under its tasks, too.

        Others take no place in the limit.
        """
        own = _ITEMS.c.key_id == who.key_id
        if not who.answers:
            return self._found([own], MOST_SHOWN)
        right = own | _ITEMS.c.task.in_(who.models) if who.models else sa.true()
        return self._found([_ITEMS.c.state == "waiting", right], MOST_SHOWN)

    def note_reading(
        self, actor: str, items: Sequence[DeferredItem], *, again: bool = False
    ) -> None:
        """Record a reading, before texts leave.

        Args:
            again: also items that were read lately; a screen that refreshes is one reading.
        """
        new = [one for one in items if again or (actor, one.id) not in self._read]
        if new:
            ids: list[Json] = [one.id for one in new]
            self._audit.append(Draft.deed("queue_read", actor, items=ids)).result()
            self._read |= dict.fromkeys((actor, one.id) for one in new)
            for oldest in list(self._read)[: max(0, len(self._read) - MOST_READ)]:
                del self._read[oldest]

    def _found(
        self, where: "Sequence[sa.ColumnElement[bool]]", limit: int
    ) -> Sequence[DeferredItem]:
        self._expire(self._clock.wall_us())
        asked = sa.select(_ITEMS).where(*where)
        asked = asked.order_by(_ITEMS.c.deadline_us, _ITEMS.c.id).limit(limit)
        with self._database.begin() as connection:
            return [_item(dict(row)) for row in connection.execute(asked).mappings()]

    def answer(self, item_id: str, answer: Any, actor: str) -> DeferredItem:
        """Keep a person's answer; recorded before.

        Raises:
            NotFound: `queue_item_unknown`.
            StateRefused: `queue_item_closed`: answered or expired.
            BadRequest: `queue_answer_unfit`.
        """
        found = self.get(item_id)
        if found.state != "waiting":
            raise StateRefused("queue_item_closed", f"The item is {found.state} already.")
        found.form.check(answer)
        text = json.dumps(answer, ensure_ascii=False, sort_keys=True)
        self._note("queue_answer", actor, found, {}, {"answer": text.encode()})
        now = self._clock.wall_us()
        with self._database.begin() as connection:
            changed = connection.execute(
                sa.update(_ITEMS)
                .where((_ITEMS.c.id == item_id) & (_ITEMS.c.state == "waiting"))
                .values(state="answered", answer=text, actor=actor, ended_us=now)
            )
        if not changed.rowcount:
            raise StateRefused("queue_item_closed", "Somebody was faster.")
        return self.get(item_id)

    def holds(self, ids: Collection[str]) -> Mapping[str, int]:
        """By task, the items of these requests or with these ids."""
        asked = sa.select(_ITEMS.c.task, sa.func.count()).where(_of(ids)).group_by(_ITEMS.c.task)
        with self._database.begin() as connection:
            return {str(task): int(count) for task, count in connection.execute(asked)}

    def erase(self, ids: Collection[str]) -> None:
        """Erase the inputs and answers; a waiting item expires."""
        now = self._clock.wall_us()
        gone = {"input": "{}", "form": _text(Form()), "reason": "", "answer": None, "same": None}
        waiting = _ITEMS.c.state == "waiting"
        with self._database.begin() as connection:
            connection.execute(
                sa.update(_ITEMS).where(_of(ids), waiting).values(state="expired", ended_us=now)
            )
            connection.execute(sa.update(_ITEMS).where(_of(ids)).values(**gone))

    def _digest(self, *asked: Any) -> str:
        """The order of fields makes no difference."""
        said = json.dumps(asked, sort_keys=True).encode()
        return hmac.new(self._secret(), said, hashlib.sha256).hexdigest()

    def _like(self, made: DeferredItem) -> DeferredItem | None:
        asked = (
            sa.select(_ITEMS)
            .where(_ITEMS.c.same == made.same, _ITEMS.c.state != "expired")
            .where(_ITEMS.c.created_us > made.created_us - _DAY_US)
        )
        with self._database.begin() as connection:
            row = connection.execute(asked).mappings().first()
        return None if row is None else _item(dict(row))

    def _check_room(self, key_id: str) -> None:
        waiting = _ITEMS.c.state == "waiting"
        asked = sa.select(sa.func.count()).where(waiting)
        with self._database.begin() as connection:
            everything = connection.execute(asked).scalar_one()
            own = connection.execute(asked.where(_ITEMS.c.key_id == key_id)).scalar_one()
        if everything >= self._most:
            raise Overloaded("people_queue_full", f"{everything} items wait for a person.")
        if own >= max(1, self._most // KEYS_PART):
            raise Overloaded("people_queue_full", f"{own} items of this key wait for a person.")

    def _expire(self, now: int) -> None:
        late = (_ITEMS.c.state == "waiting") & (_ITEMS.c.deadline_us <= now)
        with self._database.begin() as connection:
            connection.execute(
                sa.update(_ITEMS).where(late).values(state="expired", ended_us=now)
            )  # fmt: skip

    def _note(
        self,
        action: str,
        actor: str,
        item: DeferredItem,
        fields: Mapping[str, Json],
        texts: Mapping[str, bytes] | None = None,
    ) -> None:
        body: dict[str, Json] = {
            "action": action, "actor": actor, "item": item.id, "task": item.task,
            "request_id": item.request_id, **fields,
        }  # fmt: skip
        self._audit.append(Draft("admin", body, texts or {}, "encrypted")).result()


def may_see(who: Principal, item: DeferredItem) -> bool:
    """True for its own item, or one of its tasks if it answers."""
    return item.key_id == who.key_id or (who.answers and who.may_use(item.task))


def _of(ids: Collection[str]) -> "sa.ColumnElement[bool]":
    mine = _ITEMS.c.request_id.in_(ids) | _ITEMS.c.id.in_(ids)
    return mine & (_ITEMS.c.input != "{}")


def _row(item: DeferredItem) -> dict[str, str | int | Form | None]:
    given = json.dumps(dict(item.input))
    return {**vars(item), "input": given, "form": _text(item.form), "answer": None}


def _text(form: Form) -> str:
    schema = None if form.schema is None else dict(form.schema)
    return json.dumps({"labels": form.labels, "schema": schema})


def _item(row: Mapping[str, Any]) -> DeferredItem:
    form = json.loads(row["form"])
    return DeferredItem(
        **{
            **row,
            "input": json.loads(row["input"]),
            "form": Form(tuple(form["labels"]), form["schema"]),
            "answer": None if row["answer"] is None else json.loads(row["answer"]),
        }
    )


def _unfit(what: str) -> BadRequest:
    return BadRequest("queue_answer_unfit", f"Not taken: {what}.", param="answer")
