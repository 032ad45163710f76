"""The models screen: each artifact, the reason it is not served, and the next step.

Rules: a refusal is in words with the next step, never a code only.
"""

from collections.abc import Mapping, Sequence
from typing import Final, assert_never

from textual.content import Content

from appliance.facts import (
    AdapterFacts,
    ArtifactFacts,
    DatasetFacts,
    ModelFacts,
    RouteFacts,
    TaskFacts,
    UnreadFacts,
)
from appliance.wire.admin.models import MODEL_TABLE, Model, ModelDetail, Worker
from tui.columns import Column, cells, listed
from tui.text import Cell, labelled, line, quiet, state
from tui.view.units import clock, count, many, size

COLUMNS: Final = (
    listed(MODEL_TABLE, "ID", 0, name="MODEL", least=18, most=44),
    listed(MODEL_TABLE, "STATE", 13),
    listed(MODEL_TABLE, "KIND", 8, drop=3),
    Column("ENGINE", 14, drop=2),
    listed(MODEL_TABLE, "DIGEST", 16, drop=4),
    Column("WHY", 26, drop=1),
    Column("ADDED", 19, drop=5),
)
_NEXT: Final = {
    "verified": "a a approves; enough different people must.",
    "approved": "a l loads it.",
    "suspended": "Find out why; then a a approves it again.",
    "quarantined": "Its checks have not ended.",
    "missing": "0 imports the artifact with this digest under this id; its approvals stay.",
    "retired": "Out of use for good; its files stay as evidence.",
    "revoked": "It never loads again; import another version.",
}


_KINDS: Final = ("task", "route", "dataset")
"""Artifacts that are never in memory, below the models and in this order."""


def place(model: Model) -> int:
    """Where a kind is in the list."""
    return _KINDS.index(model.kind) + 1 if model.kind in _KINDS else 0


def following(model: Model) -> str:
    """The next step, by the state and the allowed actions."""
    if model.state == "approved" and "load" not in model.actions:
        return "" if model.kind == "dataset" else "It answers under its name."
    return _NEXT.get(model.state, "")


def row(model: Model, engines: Mapping[str, Worker]) -> Sequence[Cell]:
    """One artifact of the store."""
    own = {
        "ENGINE": _at_work(model, engines.get(model.id)),
        "WHY": model.code or "",
        "ADDED": clock(model.created) if model.created else "-",
    }
    return cells(COLUMNS, model, own)


def _at_work(model: Model, worker: Worker | None) -> Cell:
    if model.activity == "loading" and model.progress is not None and model.progress.total:
        return state("loading") + f" {100 * model.progress.done // model.progress.total} %"
    if worker is not None:
        return state(worker.state)
    return state(model.activity) if model.activity in ("loading", "waiting") else "-"


def detail(model: ModelDetail, worker: Worker | None, width: int) -> list[Content]:
    """Everything about one artifact."""
    said = labelled("digest", model.digest or "-", width)
    if model.code or model.message:
        reason = ": ".join(part for part in (model.code or "", model.message) if part)
        said += labelled("why", reason, width)
    if step := model.hint if model.code else following(model):
        said += labelled("what to do", step, width)
    said += signatures(model, width)
    of = f"{len(model.approvals)} of {model.approvals_needed} needed"
    if not model.approvals:
        nobody = f"by nobody, {of}" if model.approvals_needed else "by nobody"
        said += labelled("approved", nobody, width)
    elif len(model.approvals) < model.approvals_needed:
        said += labelled("", quiet(of), width)
    if worker is not None:
        said += labelled("engine", _engine(worker), width)
        said += labelled("held in", _held(worker), width)
    if memory := _memory(model):
        said += labelled("memory", line(*memory), width)
    if model.unloaded:
        said += labelled("unloaded", model.unloaded, width)
    said += labelled("file", line(*_facts(model.facts)), width)
    return said


def signatures(of: ModelDetail, width: int) -> list[Content]:
    """The publisher and the approvers."""
    said: list[Content] = []
    if of.publisher:
        said += labelled("signed by", line(of.publisher, state("verified")), width)
    for given in of.approvals:
        told = line(given.name, clock(given.time), quiet(given.meaning))
        said += labelled("approved", told, width)
    return said


def _memory(model: ModelDetail) -> list[Cell]:
    told: list[Cell] = []
    if model.needs_mib:
        told.append(f"{size(model.needs_mib << 20)} by the estimate")
    if model.pinned:
        told.append("pinned: stays in memory")
    elif model.on_demand:
        told.append("loaded on demand")
    if model.waiting:
        told.append(f"{many(model.waiting, 'request')} waiting")
    return told


def _engine(worker: Worker) -> Content:
    return line(
        state(worker.state),
        f"{worker.running}/{worker.slots} running",
        f"{worker.queued} queued",
        f"KV {count(worker.kv_used)} of {count(worker.n_ctx)} tokens",
        size(worker.memory_mib << 20),
        many(worker.restarts, "restart"),
    )


def _held(worker: Worker) -> str:
    if worker.held == "disk":
        return "a file that the service cannot write: a weaker claim than sealed memory"
    return "sealed memory: what is on the disk afterwards does not matter"


def _facts(facts: ArtifactFacts) -> list[Cell]:
    told: list[Cell] = [facts.name] if facts.name else []
    match facts:
        case AdapterFacts():
            told += [facts.architecture, size(facts.file_bytes)]
        case ModelFacts():
            told += [
                facts.architecture,
                size(facts.file_bytes),
                f"{many(facts.n_ctx_train, 'token')} of context",
                f"{many(facts.n_layer, 'layer')}",
                f"{many(facts.n_vocab, 'word')}",
                "chat template" if facts.has_template else "no chat template",
            ]
        case TaskFacts() | RouteFacts() | DatasetFacts() | UnreadFacts():
            pass
        case _:
            assert_never(facts)
    return told or ["not read yet"]
