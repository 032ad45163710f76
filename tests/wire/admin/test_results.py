"""Results of jobs: old rows are read, each kind has a form, and nothing of one is changed."""

from typing import Any, Final

import pytest

from appliance.jobs.kind import dumps
from appliance.wire.admin.jobs import Job
from appliance.wire.admin.results import (
    FORMS,
    AdapterTuned,
    EvaluationResult,
    GateResult,
    ModelLoaded,
    TuningPlanned,
    UnknownResult,
    read,
)
from tests.tuning import example

BASE: Final = {"id": "smol", "oms_root": "ab" * 32, "gguf_sha256": "cd" * 32}
TASK: Final = {"id": "orders", "version": 1, "digest": "ef" * 32}
ROWS: Final[dict[str, dict[str, Any]]] = {
    "verify": {"ok": True, "entries": 2, "first": 0, "last": 1, "root": "ab" * 32, "problems": [],
               "problem_count": 0, "open_intents": 0, "unwitnessed": 2},
    "export": {"format": "csv", "out": "/tmp/out", "entries": 2},
    "replay": {"same": 1, "differs": 1, "cannot": 2, "reasons": {"its texts were not kept": 2},
               "answers": [{"seq": 7, "model": "m", "verdict": "differs", "why": "w", "token": 2,
                            "was": " a", "now": " b"}], "written": 0},
    "import": {"id": "tiny", "state": "verified", "code": "", "files": [
        {"name": "model.gguf", "size": 9, "copied": 9, "sha256": "ab" * 32}]},
    "load": {"model": "tiny", "seconds": 1.25},
    "dataset-check": {
        "ok": False,
        "problems": [{"code": "leak_exact", "level": "error", "count": 1, "message": "Items.",
                      "examples": [{"item": "a", "like": "b"}, ["c", "d"], "e"]}],
        "summary": {"kind": "dataset", "name": "orders", "version": 1, "items": {"dev": 1},
                    "groups": {"dev": 1}},
        "splits": {"dev": {"items": 1, "groups": 1, "largest_group": 1.0, "smallest_effect": 0.9,
                           "certifies_without_error": None, "strata": {}, "labels": {"a": 1},
                           "majority": 1.0}},
        "near_threshold": 0.8, "duplicates": {"texts": 1, "exact": 0, "near": 0},
        "labels": {"repeated_texts": 0, "agreement": None, "ceiling": None},
        "personal_data": {}, "not_looked_for": "names", "characters":
        {"median": 1, "p90": 1, "max": 1},
    },
    "ingest": {"collection": "manuals", "added": 1, "changed": 0, "unchanged": 2, "refused": 0},
    "tune-search": {
        "collection": "manuals", "questions": 60, "questions_sha256": "ab" * 32,
        "rankings": [{"ranking": "bm25", "ndcg": 0.5, "ndcg_interval": [0.4, 0.6], "recall": 0.7,
                      "recall_interval": [0.6, 0.8]}],
        "best": "bm25", "before": "vectors", "applied": True,
    },
    "evaluation": {
        "task": "orders", "version": 1, "metric": "exact_match", "data": "/d", "split": "dev",
        "items": 12, "answer": "It is.", "baseline": "majority", "candidate": None, "drafts": [],
        "label_agreement": None,
        "candidates": [{"name": "majority", "kind": "baseline", "model": None, "quality": 1,
                        "interval": [0.7, 1], "groups": 12, "documents_s": 1e6, "p50_s": 1e-6,
                        "p95_s": 1e-6, "tokens": 0, "memory_bytes": 0, "joules": None,
                        "failures": {}, "slices": {"C": [0.5, 0.4, 0.6]},
                        "calibration_error": 0.12, "macro_f1": 0.9, "outcomes": "ab" * 32}],
        "comparisons": [],
        "packs": {"smol": {
            "general": {"items": 80, "quality": 0.5, "interval": [0.4, 0.6],
                        "de": {"quality": 0.5, "interval": [0.4, 0.6]}},
            "refusals": {"items": 40, "quality": 0.5, "interval": [0.4, 0.6], "refused_wrongly": 0},
            "frozen": {"de": {"nats_per_token": 3.1, "bits_per_byte": 1.0, "tokens": 9,
                              "failed": 0}}}},
        "notes": [], "retrieval": None, "digests": {"task": "ab" * 32, "dataset": "cd" * 32},
    },
    "gate": {
        "verdict": "pass", "metric": "exact_match", "task": "orders-1", "candidate": "smol",
        "incumbent": "majority", "difference": 0, "interval": [-0.03, 0.04], "margin": 0.05,
        "groups": 222, "groups_needed": None, "groups_needed_range": None, "unasked": 0,
        "agreed": 0, "floors": {"": "pass"}, "packs": {"general": {
            "floor": 500_000, "right": 60, "items": 80, "interval": [0.6, 0.8],
            "verdict": "pass"}},
        "certificate": "ab" * 32, "statement": "ab" * 32, "advice": 0.73, "answer": "Pass.",
        "looks": 1, "looks_left": 3, "alpha_left": 0.015,
    },
    "carry": {"task": "orders-1", "engine": "b2", "items": 9, "flips": [], "certificate": "ab",
              "groups": 9, "change": 0.1},
    "route": {
        "verdict": "not_certifiable", "route": "both", "alpha": 0.05, "delta": 0.1, "margin": 0.02,
        "threshold": None, "coverage": 0.0, "certificate": None, "small": "orders-1",
        "larger": None, "noise": 0.0, "unclaimed": [], "company": True, "weight": "groups",
        "group_from": "", "reason": "too few groups", "groups": 40, "groups_needed": 90,
        "groups_needed_range": [80, None], "reach": None, "effective": None, "answer": "Not.",
        "doubtful": None, "origins": [], "difference": None, "avoided": None, "ablation": {},
        "curve": [[900_000, 0.3, 0.01, 0, 0.03]], "looks": 1, "looks_left": 3,
    },
    "route-carry": {"route": "both", "engine": "b2", "items": 9, "flips": ["a"],
                    "certificate": None},
    "drift": {"task": "orders", "state": "alarm", "answer": "It changed.", "weeks": 14,
              "last_week": 2_950, "findings": [
                  {"week": 2_950, "window": 4, "statistic": "length", "size": 3.0,
                   "difference": 9.5, "rank": 0.001, "level": 0.01, "alarm": True}],
              "alarm": None, "statistics": ["length"]},
    "tune": example.result(),
    "teach": {
        "teacher": {"id": "large", "digest": "ab" * 32, "shots": 8}, "licence": "Apache-2.0",
        "task": {"id": "orders", "digest": "ef" * 32}, "data": {"digest": "12" * 32, "version": 1},
        "agreement": {"value": 0.84, "interval": [0.7, 0.92], "items": 50, "groups": 41},
        "asked": 200, "taken": 190, "dropped": {"form": 7}, "share_dropped": 0.05,
        "taught": "2026-11-18T12:00:00Z", "seconds": 9.5, "dataset": "/data/teaching/4/dataset",
    },
    "quantize": {
        "rows": [], "recommended": None, "source": {**BASE, "mib": 258.1, "metric": 0.7},
        "task": {**TASK, "margin": 0.05}, "data": {"digest": "12" * 32, "dev": 9},
        "importance_matrix": {"split": "train", "rows": 3, "tokens": 90, "rows_sha256": "34" * 32,
                              "weights": 7, "sha256": "56" * 32},
        "engine": "b1 haswell", "made": "2026-11-18T12:00:00Z", "seconds": 9.5, "adapters": [],
    },
    "batch": {"batch": "batch_" + "0" * 22, "status": "completed", "completed": 3, "failed": 1},
}  # fmt: skip
"""A row of each kind, as version 0.1 and the commits after it wrote them."""


def job(kind: str, result: dict[str, Any]) -> Job:
    return Job.model_validate({
        "id": 1, "kind": kind, "title": "t", "state": "done", "actor": "uid:0", "created": "x",
        "result": result,
    })  # fmt: skip


@pytest.mark.parametrize("kind", FORMS)
def test_a_row_of_each_kind_is_read_and_written_byte_for_byte(kind: str) -> None:
    found = read(kind, ROWS[kind])
    assert type(found) is FORMS[kind][0]
    for row in (ROWS[kind], {**ROWS[kind], "later": {"a": [1, 2.5, None]}}):
        assert dumps(read(kind, row).document) == dumps(row)
        sent = Job.model_validate_json(job(kind, row).model_dump_json())  # as over HTTP
        assert dumps(sent.told) == dumps(row) and type(sent.result) is type(found)


def test_fields_are_read_by_name() -> None:
    measured = job("evaluation", ROWS["evaluation"]).came_to(EvaluationResult)
    assert measured is not None and measured.candidates[0].quality == 1.0
    assert measured.packs["smol"].frozen["de"].nats_per_token == 3.1
    judged = job("gate", ROWS["gate"]).came_to(GateResult)
    assert judged is not None and judged.packs["general"].right == 60
    assert judged.having(looks=2).looks == 2
    assert judged.having(looks=2).document == {**ROWS["gate"], "looks": 2}


def test_a_plan_is_no_adapter() -> None:
    assert isinstance(read("tune", example.PLAN), TuningPlanned)
    tuned = read("tune", example.result())
    assert isinstance(tuned, AdapterTuned) and tuned.chosen.kind == "blend"
    assert [one.paired for one in tuned.candidates] == [False, True, True]


@pytest.mark.parametrize(
    ("kind", "row"),
    [("load", {"model": 7}), ("gate", {"verdict": 3}), ("later", {"a": 1}), ("tune", {})],
)
def test_what_has_no_known_form_is_unknown_and_loses_nothing(
    kind: str, row: dict[str, Any]
) -> None:
    found = job(kind, row)
    assert isinstance(found.result, UnknownResult) and found.told == row
    assert found.came_to(ModelLoaded) is None


def test_a_job_without_a_result_tells_nothing() -> None:
    found = job("load", ROWS["load"]).model_copy(update={"result": None})
    assert found.told == {} and found.came_to(ModelLoaded) is None
