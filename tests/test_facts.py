"""Facts of artifacts: rows of today and of older releases, as they were written."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2
import pytest

from appliance.db import open_database
from appliance.facts import (
    AdapterFacts,
    ArtifactFacts,
    DatasetFacts,
    ModelFacts,
    RouteFacts,
    TaskFacts,
    UnreadFacts,
    read,
    table_of,
)
from appliance.trust.artifacts.records import ROUNDS, TABLES, Records
from tests.conftest import CHECKOUT

MODEL = (
    '{"architecture": "llama", "n_tensors": 272, "file_bytes": 105454432, "tensor_bytes": 103,'
    ' "n_ctx_train": 8192, "n_layer": 30, "n_embd": 576, "n_head": 9, "n_head_kv": 3,'
    ' "head_dim_k": 64, "head_dim_v": 64, "n_vocab": 49152, "chat_template": true,'
    ' "name": "Smollm2 135M", "kind": "generate", "matrices": {"Q4_K": 66}, "layer_bytes": 2,'
    ' "output_bytes": 28, "n_wide": 1536, "n_window": 0, "n_merges": 48900}'
)
ADAPTER = (
    '{"kind": "adapter", "architecture": "llama", "name": "", "rank": 2, "alpha": "4.0",'
    ' "weights": 3, "file_bytes": 960, "tensor_bytes": 320, "base_digest": "ab",'
    ' "base_gguf_sha256": "cd"}'
)
TASK = (
    '{"kind": "task", "name": "orders", "version": 1, "description": "d", "candidate": "model",'
    ' "needs": "smol", "model": "smol", "model_digest": "ab", "form": "labels",'
    ' "metric": "exact_match", "margin_micros": 50000, "alpha_micros": 50000,'
    ' "floor_micros": 0, "baseline": ""}'
)
OF_GATES = (
    '{"kind": "task", "name": "orders", "version": 1, "description": "d", "model": "smol",'
    ' "model_digest": "ab", "form": "labels", "metric": "exact_match", "margin_micros": 50000,'
    ' "alpha_micros": 50000, "floor_micros": 0, "baseline": ""}'
)
BEFORE_GATES = (
    '{"kind": "task", "name": "orders", "version": 1, "description": "d", "model": "smol",'
    ' "model_digest": "ab", "form": "labels", "metric": "exact_match"}'
)
ROUTE = (
    '{"kind": "route", "name": "orders", "version": 1, "description": "d", "stages": [{"name":'
    ' "small", "kind": "task", "task": "t", "digest": "ab", "upstream": ""}, {"name": "out",'
    ' "kind": "upstream", "task": "u", "digest": "cd", "upstream": "hall"}], "on_defer": "error",'
    ' "on_drift": "suspend", "weight": "answers", "group_from": "", "error_micros": 100000,'
    ' "delta_micros": 50000, "margin_micros": 100000}'
)
OLD_ROUTE = (
    '{"kind": "route", "name": "orders", "version": 1, "description": "d", "stages": [{"name":'
    ' "small", "kind": "task", "task": "t", "digest": "ab"}], "on_defer": "error",'
    ' "error_micros": 100000, "delta_micros": 50000, "margin_micros": 100000}'
)
DATASET = (
    '{"kind": "dataset", "name": "orders", "version": 1, "items": {"train": 5, "test": 9},'
    ' "groups": {"train": 5, "test": 3}, "sealed": ["certify", "test"]}'
)
OPEN = (
    '{"kind": "dataset", "name": "orders", "version": 1, "items": {"train": 5},'
    ' "groups": {"train": 5}}'
)
OLD_MODEL = MODEL.replace('"matrices": {"Q4_K": 66}', '"quantised_bytes": 66')
ROWS: dict[str, tuple[str, type[ArtifactFacts]]] = {
    "a model": (MODEL, ModelFacts),
    "a model of an older release": (OLD_MODEL, UnreadFacts),
    "a model that says more": (MODEL.replace('"name"', '"more": 1, "name"'), UnreadFacts),
    "an adapter": (ADAPTER, AdapterFacts),
    "a task": (TASK, TaskFacts),
    "a task before classifiers": (OF_GATES, TaskFacts),
    "a task before gates": (BEFORE_GATES, TaskFacts),
    "a route": (ROUTE, RouteFacts),
    "a route before weights": (OLD_ROUTE, RouteFacts),
    "a dataset": (DATASET, DatasetFacts),
    "a dataset without a seal": (OPEN, DatasetFacts),
    "nothing yet": ("{}", UnreadFacts),
    "a kind of a later release": ('{"kind": "voice", "name": "v"}', UnreadFacts),
    "a kind that is no text": ('{"kind": ["task"], "n": [null, true]}', UnreadFacts),
    "a task that says nothing": ('{"kind": "task"}', UnreadFacts),
}


def test_nobody_reads_them_by_a_key() -> None:
    found = [
        f"{path}: {line.strip()}"
        for top in ("appliance", "tui")
        for path in sorted((CHECKOUT / top).rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"(?<!report)\.facts(\[|\.get\()", line)
    ]
    assert found == []


def rows(path: Path) -> list[tuple[Any, ...]]:
    connection = pysqlite3.dbapi2.connect(str(path))
    try:
        return list(connection.execute("SELECT * FROM models"))
    finally:
        connection.close()


@pytest.mark.parametrize(("row", "kind"), ROWS.values(), ids=ROWS)
def test_a_row_is_read_once_and_written_as_it_was(
    tmp_path: Path, row: str, kind: type[ArtifactFacts]
) -> None:
    path = tmp_path / "appliance.db"
    database = open_database(path, [TABLES, ROUNDS])
    with database.begin() as connection:
        sql = "INSERT INTO models VALUES ('a', 'approved', 'ab', NULL, '', 7, ?, 0)"
        connection.exec_driver_sql(sql, (row,))
    records, before = Records(database), rows(path)
    record = records.find("a")
    assert record is not None and type(record.facts) is kind
    assert records.find("a") is record
    assert record.kind == str(json.loads(row).get("kind", "")) or kind is UnreadFacts
    records.save(record)
    assert rows(path) == before
    records.save(replace(record, state="suspended", round=1))
    ((*_, kept, _),) = rows(path)
    assert kept == row
    assert json.dumps(table_of(record.facts)) == row
    database.dispose()


def test_what_older_releases_did_not_say_has_a_meaning() -> None:
    of_gates, before = read(json.loads(OF_GATES)), read(json.loads(BEFORE_GATES))
    assert isinstance(of_gates, TaskFacts) and isinstance(before, TaskFacts)
    assert (of_gates.needed, of_gates.margin_micros) == ("smol", 50_000)
    assert (before.needed, before.margin_micros) == ("smol", None)
    task = read({**json.loads(TASK), "needs": ""})
    assert isinstance(task, TaskFacts) and task.needed == ""
    route = read(json.loads(OLD_ROUTE))
    assert isinstance(route, RouteFacts) and route.on_drift is None
    assert route.terms == {
        "error_micros": 100_000, "delta_micros": 50_000, "margin_micros": 100_000,
    }  # fmt: skip
