"""Entries of the log as the state that they prove, and the differences of `appliance.db`. Pure.

Rules:
- The stricter of log and row holds: only a row that permits more than its entries is a difference.
- A field that no entry of a subject has, as in entries of older releases, is not compared.
- Facts that no row may lack are withdrawals: a look, a suspension, a given label.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from appliance.types import Json

ANY: Final = "*"
"""A subject of which an older entry says that it is there, and not which it is."""
SETTLED: Final = "state_settled"
"""The action of the entry by which differences were settled."""
KINDS: Final = ("admin", "model", "job_end", "erase")
"""Kinds of entries that rows follow from."""


Value: TypeAlias = str | int | bool | list[str] | dict[str, str | int | None] | None
"""The types of a row's fields."""
Values: TypeAlias = dict[str, Value]


class ProvenFacts(msgspec.Struct, frozen=True):
    """Known facts of one subject.

    Attributes:
        rank: how strict it is; 0 lets it be used.
        values: by name; unknown ones are left out.
        seq: the newest entry that says so; -1 of a row.
        extra: mends the row and is not compared.
    """

    rank: int = 0
    values: Values = {}
    seq: int = -1
    extra: Values = {}

    @property
    def round(self) -> int:
        return cast(int, self.values.get("round", 0))


class Settled(msgspec.Struct, frozen=True):
    """A row that is the state from here on; without facts, there is none."""

    table: str
    subject: str
    facts: ProvenFacts | None


_UNKNOWN: Final = ProvenFacts()
State: TypeAlias = dict[str, dict[str, ProvenFacts]]
"""By table and subject."""
Body: TypeAlias = Mapping[str, Json]
What: TypeAlias = Literal["unlogged", "revived", "edited", "lost", "absent"]


@dataclass(frozen=True)
class Table:
    """A kind of row.

    Attributes:
        words: for people.
        grants: whether a row by itself permits something.
        kept: whether a missing row permits something.
        ends: from this rank on nothing else about a row matters.
    """

    words: str
    grants: bool = True
    kept: bool = False
    ends: int = 1


TABLES: Final[Mapping[str, Table]] = {
    "api_keys": Table("API key"),
    "key_groups": Table("member of a group"),
    "models": Table("artifact", ends=4),
    "model_approvals": Table("approval"),
    "looks": Table("look", grants=False, kept=True),
    "certificates": Table("certificate", kept=True),
    "route_certificates": Table("certificate of a route", kept=True),
    "route_suspensions": Table("suspension of a route", grants=False, kept=True),
    "task_pointers": Table("name of a task"),
    "upstream_fingerprints": Table("fingerprint of an upstream"),
    "upstream_approvals": Table("approval of an upstream"),
    "labels": Table("label", kept=True),
    "jobs": Table("job", grants=False),
}
RANKS: Final[Mapping[str, int]] = {
    "approved": 0, "staged": 0, "serving": 0, "verified": 1, "vetted": 2, "quarantined": 2,
    "suspended": 3, "refused": 4, "retired": 4, "revoked": 4,
}  # fmt: skip
"""Strictness of an artifact's state."""


@dataclass(frozen=True)
class UnprovenRow:
    """A row that its entries do not prove.

    Attributes:
        what: unlogged (the row has no entry), revived (it was withdrawn), edited, lost (the row of
            a withdrawal is missing), absent (only the log permits it).
        names: the fields that differ.
        seq: the newest entry about it; -1 without one.
        facts: proved by the entries.
    """

    table: str
    subject: str
    what: What
    names: tuple[str, ...] = ()
    seq: int = -1
    facts: ProvenFacts = _UNKNOWN

    @property
    def permits(self) -> bool:
        """True if the row permits more than the log."""
        return self.what != "absent"

    def sentence(self) -> str:
        name = f"The {TABLES[self.table].words} {self.subject}"
        log = f"entry {self.seq}"
        match self.what:
            case "unlogged":
                return f"{name} is in appliance.db and in no entry of the log."
            case "revived":
                return f"{name} was withdrawn by {log}; appliance.db does not say so."
            case "edited":
                return f"{name} has another {', '.join(self.names)} than {log} says."
            case "lost":
                return f"{name} of {log} is missing in appliance.db."
            case "absent":
                return f"{name} was permitted by {log}; appliance.db does not permit it."


def differences(proven: State, rows: State) -> list[UnprovenRow]:
    """Rows that differ from their entries' proof, in order."""
    found = []
    for name, table in TABLES.items():
        said, there = proven.get(name, {}), rows.get(name, {})
        for subject in sorted(said.keys() | there.keys()):
            if subject.rpartition("/")[2] == ANY:
                continue
            known = subject in said or ANY in said or f"{subject.rpartition('/')[0]}/{ANY}" in said
            row, facts = there.get(subject), said.get(subject)
            one = _compared(table, facts, row, known)
            if one is not None:
                what, names = one
                facts = facts or ProvenFacts()
                found.append(UnprovenRow(name, subject, what, names, facts.seq, facts))
    return found


def _compared(
    table: Table, facts: ProvenFacts | None, row: ProvenFacts | None, known: bool
) -> tuple[What, tuple[str, ...]] | None:
    if facts is None:
        unlogged = row is not None and table.grants and not known and row.rank < table.ends
        return ("unlogged", ()) if unlogged else None
    if row is None:
        if facts.rank < table.ends and table.kept:
            return "lost", ()
        return ("absent", ()) if facts.rank == 0 and table.grants else None
    if row.rank < facts.rank:
        return "revived", ()
    if row.rank >= table.ends:
        return None
    names = [n for n, v in facts.values.items() if n in row.values and row.values[n] != v]
    if names:
        return "edited", tuple(sorted(names))
    return ("absent", ()) if row.rank > facts.rank else None


def agreed(proven: State, rows: State) -> State:
    """The state for the next comparison: proven facts, and of rows those without an entry."""
    kept: State = {}
    for name in TABLES:
        said, there = dict(proven.get(name, {})), rows.get(name, {})
        for subject, found in there.items():
            facts, row = said.get(subject), _lasting(found)
            if facts is not None:
                values = {**row.values, **facts.values}
                said[subject] = _with(facts, values=values, extra={**row.extra, **facts.extra})
            elif ANY in said or f"{subject.rpartition('/')[0]}/{ANY}" in said:
                said[subject] = row
        if name == "jobs":  # old ones are cleared away
            said = {subject: facts for subject, facts in said.items() if subject in there}
        kept[name] = {s: f for s, f in said.items() if s.rpartition("/")[2] != ANY}
    return kept


def _lasting(row: ProvenFacts) -> ProvenFacts:
    """A row without fields that change without an entry: a job keeps checkpoints while it works."""
    values = {name: value for name, value in row.values.items() if name != "checkpoint_sha256"}
    return _with(row, values=values)


def settled(found: Iterable[UnprovenRow], rows: State) -> list[dict[str, Json]]:
    """The part of an entry that makes the rows the state from here on."""
    made: list[dict[str, Json]] = msgspec.to_builtins(
        [Settled(o.table, o.subject, rows.get(o.table, {}).get(o.subject)) for o in found]
    )
    return made


def fold(state: State, entries: Iterable[Body]) -> State:
    """Apply entries to a state, in their order and in place."""
    for body in entries:
        match body["kind"]:
            case "admin":
                made = _ACTIONS.get(str(body["action"]))
                if made is not None:
                    made(state, body)
            case "model":
                _model(state, body)
            case "job_end":
                _job_end(state, body)
            case "erase":
                _erased(state, body)
            case _:
                pass
    return state


def label(queue: object, item: object, rater: object, together: object) -> str:
    """The subject of a label; an id of an item may be of any length."""
    who = hashlib.sha256(msgspec.json.encode([rater, bool(together)])).hexdigest()
    return f"{queue}/{_of_item(item)}{who[:12]}"


def _of_item(item: object) -> str:
    return hashlib.sha256(str(item).encode()).hexdigest()[:24]


def _put(state: State, table: str, subject: object, body: Body, **changed: Any) -> None:
    """Set a subject to an entry's facts; other facts stay."""
    subjects = state.setdefault(table, {})
    facts = subjects.get(str(subject), ProvenFacts())
    values = {**facts.values, **changed.pop("values", {})}
    subjects[str(subject)] = _with(facts, values=values, seq=cast(int, body["seq"]), **changed)


def _with(facts: ProvenFacts, **changed: Any) -> ProvenFacts:
    return msgspec.structs.replace(facts, **changed)


def _there(body: Body, **names: str) -> Values:
    return {column: _value(body, field) for column, field in names.items() if field in body}


def _value(body: Body, field: str) -> Value:
    return cast("Value", body.get(field))


def _key(state: State, body: Body) -> None:
    values = _there(body, **dict(zip(_OF_KEY, _OF_KEY, strict=True)), content="texts")
    known = state.get("api_keys", {}).get(str(body["key_id"]), ProvenFacts())
    rank = 1 if body["action"] == "key_revoke" else known.rank
    _put(state, "api_keys", body["key_id"], body, rank=rank, values=values)


def _group(state: State, body: Body) -> None:
    removed = set(cast("list[str]", body["remove"]))
    for key in {*cast("list[str]", body["add"]), *removed}:
        _put(state, "key_groups", f"{body['group']}/{key}", body, rank=int(key in removed))


def _model(state: State, body: Body) -> None:
    """An edge of an artifact's life; an edge on the stick says nothing about the store."""
    model, after = str(body["model"]), str(body["state"])
    known = state.get("models", {}).get(model, ProvenFacts(extra={"state": "refused"}))
    if body.get("before") == "media":
        # Of a refused artifact the id is used again; of one without files, its files come.
        if known.extra["state"] in ("refused", "media"):
            rank = RANKS[after]
            _put(state, "models", model, body, rank=rank, extra={"state": "media"})
        return
    if after not in RANKS:
        return
    values = _there(body, facts_sha256="facts_sha256")
    if body.get("digest"):
        values["digest"] = _value(body, "digest")
    event, round_ = body.get("event", "state"), known.round
    if after == "vetted" and event == "state":  # another artifact under this id
        round_ = 0
        state.get("models", {}).pop(model, None)
        _forget(state, "model_approvals", model)
    if after == "suspended" and event == "state":
        round_ += 1
    values["round"] = round_
    extra: Values = {"state": after}
    if RANKS[after] >= RANKS["suspended"]:
        extra |= {"code": _value(body, "code") or None, "message": _value(body, "reason")}
    _put(state, "models", model, body, rank=RANKS[after], values=values, extra=extra)
    if event == "approval":
        key = body.get("key", ANY)
        values = _there(body, envelope_sha256="envelope_sha256")
        _put(state, "model_approvals", f"{model}/{key}", body, values=values)


def _forget(state: State, table: str, owner: str) -> None:
    subjects = state.get(table, {})
    for subject in [s for s in subjects if s.rpartition("/")[0] == owner]:
        del subjects[subject]


def _look(state: State, body: Body) -> None:
    values = _there(
        body, job="job", person="person", dataset="dataset", dataset_digest="dataset_digest",
        split="split", groups_sha256="groups_sha256", entry="seq", share_micros="share_micros",
    )  # fmt: skip
    subject = "task" if body["action"] == "gate_look" else "route"
    values |= _there(body, task=subject, task_digest=f"{subject}_digest")
    _put(state, "looks", body["specification"], body, values=values)


def _left(state: State, body: Body) -> None:
    """Outcomes that left end the looks, in entries of releases that named none."""
    if "look" in body:
        _put(state, "looks", body["look"], body, values={"exported": 1})


def _judged(state: State, body: Body) -> None:
    values = {"checkpoint_sha256": body["checkpoint_sha256"]}
    _put(state, "jobs", body["job"], body, values=values)


def _verdict(state: State, body: Body) -> None:
    """The end of a look; not every release's ledger has looks without a certificate."""
    table = "certificates" if body["action"] == "gate_verdict" else "route_certificates"
    specification, certified = str(body["specification"]), str(body["certificate"])
    look = state.get("looks", {}).get(specification)
    if look is not None and "statement" in body:
        values = {**_there(body, verdict="ledger_verdict"), "certificate": certified}
        _put(state, "looks", specification, body, values=values)
    if "statement" not in body:
        _put(state, table, certified or ANY, body)
    elif body["statement"]:
        digest = None if look is None else look.values.get("task_digest")
        _put(state, table, body["statement"], body, extra={"digest": digest} if digest else {})


def _certificate(state: State, body: Body) -> None:
    routes = str(body["action"]).startswith("route_")
    table = "route_certificates" if routes else "certificates"
    if body["certificate"]:
        _put(state, table, body["certificate"], body, extra=_there(body, digest="task_digest"))


def _suspended(state: State, body: Body) -> None:
    extra = {"reason": body["reason"], "time_us": body["time_us"]}
    _put(state, "route_suspensions", body["certificate"], body, extra=extra)


def _pointer(state: State, body: Body) -> None:
    values = {**_there(body, newest="pointer"), **_envelope(body)}
    extra = _there(body, envelope="envelope")
    _put(state, "task_pointers", body["name"], body, values=values, extra=extra)


def _learned(state: State, body: Body) -> None:
    values = {"fingerprint_sha256": body["fingerprint"]}
    _put(state, "upstream_fingerprints", body["name"], body, values=values)


def _upstream(state: State, body: Body) -> None:
    subject = f"{body['digest']}/{body.get('key', ANY)}"
    _put(state, "upstream_approvals", subject, body, values=_envelope(body))


def _envelope(body: Body) -> Values:
    if "envelope" not in body:
        return {}
    return {"envelope_sha256": hashlib.sha256(str(body["envelope"]).encode()).hexdigest()}


def _labels(state: State, body: Body) -> None:
    _forget(state, "labels", str(body["queue"]))


def _label(state: State, body: Body) -> None:
    subject = label(body["queue"], body["item"], body["rater"], body["together"])
    _put(state, "labels", subject, body)


def _erased(state: State, body: Body) -> None:
    """Erase people's statements about a text together with it."""
    names = [body["request_id"], *cast("list[str]", body.get("aliases", []))]
    labels, begins = state.get("labels", {}), tuple(map(_of_item, names))
    for subject in [s for s in labels if s.rpartition("/")[2].startswith(begins)]:
        del labels[subject]


def _job_end(state: State, body: Body) -> None:
    if "result_sha256" in body:
        _put(state, "jobs", body["job"], body, values={"result_sha256": body["result_sha256"]})


def _settle(state: State, body: Body) -> None:
    for one in msgspec.convert(body["settled"], list[Settled]):
        subjects = state.setdefault(one.table, {})
        if one.facts is None:
            subjects.pop(one.subject, None)
        else:
            subjects[one.subject] = _with(one.facts, seq=cast(int, body["seq"]))


_OF_KEY: Final = (
    "name", "role", "models", "expires_us", "limits", "old_until_us", "certificate", "examples",
    "tasks_only", "person", "secret_sha256", "old_sha256",
)  # fmt: skip
_ACTIONS: Final[Mapping[str, Callable[[State, Body], None]]] = {
    "key_create": _key, "key_limit": _key, "key_rotate": _key, "key_revoke": _key,
    "key_group": _group, "gate_look": _look, "route_look": _look, "outcomes_read": _left,
    "gate_judged": _judged, "route_judged": _judged, "gate_verdict": _verdict,
    "route_verdict": _verdict, "certificate_kept": _certificate,
    "route_certificate_kept": _certificate, "evaluation_carried": _certificate,
    "route_carried": _certificate,
    "route_suspended": _suspended, "task_pointer": _pointer, "upstream_learn": _learned,
    "upstream_approval": _upstream, "labels_new": _labels, "labels_remove": _labels,
    "label_set": _label, SETTLED: _settle,
}  # fmt: skip
