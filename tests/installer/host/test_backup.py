"""Backup, restore, drill: on an installed small bundle."""

import contextlib
import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from appliance.facts import read
from appliance.governance import backups
from appliance.trust.artifacts.records import ModelRecord
from appliance.wire.admin.keys import KEY_CREATE, KeyCreate
from installer.host import answers, backup
from installer.host.answers import Layout
from installer.host.problems import InstallError
from installer.host.service import Service
from tests.api.admin.lab import APPROVERS, LabData, make_lab
from tests.api.admin.lab import opened as lab_opened
from tests.cli.conftest import run_command
from tests.forked import FORKING
from tests.installer.bench import Bench
from tests.routing import world


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("backup"))
    bench.bundle()
    assert bench.install().returncode == 0
    (bench.data / "models" / "m").mkdir(parents=True)
    (bench.data / "models" / "m" / "weights").write_bytes(b"w" * 1000)
    done = bench.installer("backup", str(bench.place / "whole"), "--with-models")
    assert done.returncode == 0, done.stderr
    return bench


def test_a_backup_restores_and_drills(kept: Bench) -> None:
    path = kept.place / "whole"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = kept.footprint()
    drilled = kept.installer("drill", str(path))
    assert drilled.returncode == 0, drilled.stderr
    assert kept.footprint() == before
    assert kept.told("restore", str(path))["code"] == "data_present"
    assert kept.footprint() == before
    kept.data.rename(kept.place / "moved")
    assert kept.installer("restore", str(path)).returncode == 0
    assert kept.footprint() == before


def test_what_nobody_can_name_goes_in(kept: Bench) -> None:
    copy = kept.data / "models" / "half.part"  # the stick has the whole
    copy.mkdir()
    (copy / "weights").write_bytes(b"h")
    assert kept.installer("backup", "small").returncode == 0  # where it was typed
    shutil.rmtree(copy)
    index = backup.read(kept.place / "small")
    names = index["files"]
    noted = json.loads((kept.data / "backups.json").read_text())["backups"][-1]
    assert (noted["time"], noted["file"]) == (index["made"], "small")
    assert backups.known(kept.data)[-1].file == "small"  # as the product reads it
    assert "data/models/m/weights" in names  # the product lists no model
    assert "data/models/half.part/weights" not in names
    assert "data/audit/log" in names and "data/appliance.db" in names


def test_what_is_left_out_is_named_and_must_be_brought(kept: Bench) -> None:
    listed = [
        {"id": "m", "digest": "ab" * 32, "state": "approved", "kind": "generate"},
        {"id": "gone", "digest": "cd" * 32, "state": "approved", "kind": "embed"},
        {"id": "old", "digest": "ef" * 32, "state": "retired", "kind": "generate"},
    ]
    (kept.data / "registry.json").write_text(json.dumps(listed))
    try:
        small, whole = kept.place / "named", kept.place / "named-whole"
        told = kept.told("backup", str(small))
        assert not [n for n in backup.read(small)["files"] if n.startswith("data/models/m/")]
        m, gone = ({"id": x["id"], "digest": x["digest"]} for x in listed[:2])
        assert told["left_out"] == [m, gone]
        assert backup.read(small)["left_out"] == [m, gone]
        assert kept.told("backup", str(whole), "--with-models")["left_out"] == [gone]
        assert kept.told("drill", str(small))["bring"] == [m, gone]
        assert kept.told("drill", str(whole))["bring"] == [gone]
        said = kept.installer("drill", str(small)).stderr
        assert "must be brought" in said and f"m  {'ab' * 32}" in said
        kept.data.rename(kept.place / "aside")
        restored = kept.told("restore", str(small))
        assert restored["bring"] == [m, gone]
        shutil.rmtree(kept.data)
        (kept.place / "aside").rename(kept.data)
    finally:
        (kept.data / "registry.json").unlink()


def test_the_whole_way_with_the_real_product(tmp_path: Path) -> None:
    """Backup without models, restore on another host, bring the model: approvals are kept."""
    lab = make_lab(tmp_path)
    artifact = lab.artifact("tiny")
    assert run_command("model", "import", artifact, data=lab.data).status == 0
    for name in APPROVERS:
        words = ("--as", name, "--key", lab.key(name), "--meaning", "fit for use")
        assert run_command("model", "approve", "tiny", *words, data=lab.data).status == 0
    first = host(tmp_path / "first", lab.data)
    chosen = answers.combine({})
    told = backup.backup(first, chosen, quiet(first), tmp_path / "file", models=False)
    (model,) = told["left_out"]
    assert model["id"] == "tiny" and len(model["digest"]) == 64
    second = host(tmp_path / "second", tmp_path / "elsewhere")
    assert backup.drill(second, chosen, tmp_path / "file")["bring"] == [model]
    index = backup.restore(second, chosen, tmp_path / "file")
    assert backup.to_bring(second, chosen, index, second.data) == [model]
    doctor = run_command("doctor", "--json", data=second.data).document
    assert "model_missing" in [problem["code"] for problem in doctor["problems"]]
    done = run_command("model", "import", artifact, "--json", data=second.data)
    assert done.document["state"] == "approved"
    assert backup.to_bring(second, chosen, index, second.data) == []


def test_a_restore_without_weights_serves_its_tasks_at_once(tmp_path: Path) -> None:
    data = world.make_lab(tmp_path)
    lab, adapter = LabData(data), ModelRecord("tiny:a", "verified", "ab" * 32)
    with lab_opened(lab) as (services, client):
        lab.approved(client, "tiny")
        services.store.inventory.save(replace(adapter, facts=read({"kind": "adapter"})))
        (data / "models" / "tiny:a").mkdir()
        (data / "models" / "tiny:a" / "adapter.gguf").write_bytes(b"trained here")
        secret = client.call(KEY_CREATE, KeyCreate(name="app")).secret
    first, chosen = host(tmp_path / "first", data), answers.combine({})
    told = backup.backup(first, chosen, quiet(first), tmp_path / "file", models=False)
    assert [model["id"] for model in told["left_out"]] == ["tiny"]
    shutil.rmtree(data)

    second = host(tmp_path / "second", tmp_path / "elsewhere")
    backup.restore(second, chosen, tmp_path / "file")
    stored = {path.name for path in (second.data / "models").iterdir()}
    assert stored == {world.SMALL_ID, world.LARGE_ID, world.DATA_ID, world.ROUTE_ID, "tiny:a"}
    with served(second.data) as address:
        headers = {"authorization": f"Bearer {secret}"}
        with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
            for name in (world.SMALL_ID, world.ROUTE_ID):
                asked = {"model": name, "messages": [{"role": "user", "content": world.SURE}]}
                answer = client.post("/v1/chat/completions", json=asked)
                assert answer.status_code == 200, answer.text
                said = answer.json()["choices"][0]["message"]["content"]
                assert (name, said) == (name, "hydraulics")
    listed = run_command("model", "list", "--json", data=second.data).document["models"]
    assert [m["id"] for m in listed if m["state"] == "missing"] == ["tiny"]


def test_a_route_without_files_is_missing(tmp_path: Path) -> None:
    data = world.make_lab(tmp_path)
    shutil.rmtree(data / "models" / world.ROUTE_ID)
    (route,) = run_command("route", "list", "--json", data=data).document["routes"]
    assert (route["id"], route["state"]) == (world.ROUTE_ID, "missing")
    assert (route["certified"], route["why"]) == (False, "model_missing")


@contextlib.contextmanager
def served(data: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "appliance", "serve", "--port", "0", "--data", str(data)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = (re.search(r"listening on (http://\S+)", line) for line in process.stderr)
            yield next(match[1] for match in said if match)
        finally:
            process.terminate()
            process.communicate(timeout=60)


def host(root: Path, data: Path) -> Layout:
    short = answers.layout(answers.combine({}), user=True, home=Path("/h"))
    layout = replace(short, prefix=root, state=root / "state", data=data)
    python = layout.release("r1") / "root" / "usr" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nshift 3\nexec {FORKING.typed()}/appliance "$@"\n')  # -I -m ...
    python.chmod(0o755)
    layout.current.symlink_to("releases/r1")
    return layout


def quiet(layout: Layout) -> Service:
    return Service(False, True, layout.data)


def test_nothing_is_overwritten(kept: Bench) -> None:
    assert kept.told("backup", str(kept.place / "whole"))["code"] == "backup_exists"


def test_any_damage_is_found(kept: Bench, tmp_path: Path) -> None:
    data = (kept.place / "whole").read_bytes()
    body = data.index(b"w" * 1000)
    for name, damaged in (
        ("flipped", data[:body] + b"v" + data[body + 1 :]),
        ("cut", data[: body + 10]),
        ("empty", b""),
        ("other", b"x" * 4096),
    ):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(InstallError) as refused:
            backup.read(tmp_path / name)
        assert refused.value.code == "backup_invalid"
        assert kept.told("drill", str(tmp_path / name))["code"] == "backup_invalid"


def test_a_drill_finds_a_log_that_does_not_verify(kept: Bench) -> None:
    log = kept.data / "audit" / "log"
    good = log.read_text()
    log.write_text("forged\n")
    try:
        assert kept.installer("backup", str(kept.place / "forged")).returncode == 0
        assert kept.told("drill", str(kept.place / "forged"))["code"] == "backup_invalid"
    finally:
        log.write_text(good)
