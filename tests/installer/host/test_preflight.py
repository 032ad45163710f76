"""All problems at once; nothing is written."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from installer.host import answers, facts, preflight
from installer.host.facts import Host, Space
from installer.host.manifest import Requirements, Tree
from installer.host.preflight import InstallPlan
from installer.host.problems import InstallError
from installer.host.store import Media, Store
from tests.installer.host.test_manifest import D, example, part

HOST = Host(
    machine="x86_64",
    kernel=(6, 1),
    flags=frozenset({"sse4_2"}),
    memory=8 << 30,
    systemd=True,
    selinux=False,
    fapolicyd=False,
    fips=False,
    driver=None,
    gpu=False,
    listening=frozenset(),
)
ROOMY = Space(device=1, free=1 << 40, inodes=1 << 20, noexec=False, readonly=False)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstallPlan:
    monkeypatch.setattr(facts, "space", lambda path: ROOMY)
    document = example()
    for each in document.parts:
        path = tmp_path / "stick" / each.chunks[0].path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"abc")
    chosen = answers.combine()
    return InstallPlan(
        manifest=document,
        parts=list(document.parts),
        media=Media(tmp_path / "stick"),
        store=Store(tmp_path / "store"),
        layout=answers.layout(chosen, user=True, home=tmp_path),
        answers=chosen,
        counter=0,
        current=None,
    )


def codes(problems: Iterable[InstallError]) -> list[str]:
    return [problem.code for problem in problems]


def test_a_good_host_has_no_problem(plan: InstallPlan) -> None:
    assert codes(preflight.problems(plan, HOST, uid=1000)) == []
    assert list(preflight.warnings(plan, HOST, year=2026)) == []


def test_everything_at_once(plan: InstallPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    host = replace(
        HOST, flags=frozenset(), kernel=(4, 18), memory=1, systemd=False,
        listening=frozenset({8080}),
    )  # fmt: skip
    full = Space(device=1, free=10, inodes=3, noexec=True, readonly=True)
    monkeypatch.setattr(facts, "space", lambda path: full)
    (plan.media.root / plan.parts[0].chunks[0].path).unlink()
    (plan.media.root / plan.parts[1].chunks[0].path).write_bytes(b"")
    plan.layout.data.mkdir(parents=True)
    (plan.layout.data / "letters").touch()
    plan.layout.commands.mkdir(parents=True)
    (plan.layout.commands / "appliance").write_text("#!/bin/sh\n")
    wanted = replace(
        plan,
        manifest=replace(plan.manifest, requires=Requirements("5.13", 64), tree=Tree(D, 99, 99)),
        answers=replace(plan.answers, service="systemd", models=("smolm2",)),
        layout=replace(plan.layout, user=False),
        counter=8,
    )
    assert sorted(set(codes(preflight.problems(wanted, host, uid=1000)))) == [
        "bundle_older", "command_taken", "cpu_unsuitable", "data_unusable", "disk_full",
        "file_missing", "file_truncated", "inodes_low", "kernel_too_old", "memory_low",
        "model_missing", "mount_noexec", "mount_readonly", "not_root", "port_taken",
        "systemd_missing",
    ]  # fmt: skip


def test_another_machine(plan: InstallPlan) -> None:
    found = codes(preflight.problems(plan, replace(HOST, machine="aarch64"), uid=0))
    assert found == ["machine_unsupported"]


def test_space_is_added_up_by_file_system(
    plan: InstallPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = preflight._RESERVE + sum(p.size for p in plan.parts) + plan.manifest.tree.bytes
    just = replace(ROOMY, free=needed * 11 // 10)
    monkeypatch.setattr(facts, "space", lambda path: just)
    assert codes(preflight.problems(plan, HOST, uid=0)) == []
    monkeypatch.setattr(facts, "space", lambda path: replace(just, free=just.free - 1))
    assert codes(preflight.problems(plan, HOST, uid=0)) == ["disk_full"]


def test_what_is_copied_already_needs_no_stick(plan: InstallPlan) -> None:
    plan.store.root.mkdir()
    plan.store.path(plan.parts[0]).write_bytes(b"abc")  # all three examples have one digest
    for each in plan.parts:
        (plan.media.root / each.chunks[0].path).unlink()
    assert codes(preflight.problems(plan, HOST, uid=0)) == []


def test_a_running_release_may_have_its_port(plan: InstallPlan) -> None:
    host = replace(HOST, listening=frozenset({8080}))
    assert codes(preflight.problems(replace(plan, current="0.9"), host, uid=0)) == []


@pytest.mark.parametrize("year", [1970, 2036 + 1])
def test_a_wrong_clock_is_a_warning_only(plan: InstallPlan, year: int) -> None:
    assert codes(preflight.problems(plan, HOST, uid=0)) == []
    assert any(str(year) in text for text in preflight.warnings(plan, HOST, year=year))


def test_an_unused_gpu_is_loud(plan: InstallPlan) -> None:
    for host in (replace(HOST, gpu=True), replace(HOST, gpu=True, driver=470)):
        assert "GPU PRESENT, NOT USED" in "".join(preflight.warnings(plan, host, year=2026))
    ready = replace(HOST, gpu=True, driver=590)
    assert ready.accelerator == "cuda13"
    assert "no plugin for cuda13" in "".join(preflight.warnings(plan, ready, year=2026))
    with_plugin = replace(plan, parts=[part("c", "plugin", "cuda13")])
    assert list(preflight.warnings(with_plugin, ready, year=2026)) == []


def test_a_model_that_the_stick_has_not_is_told(plan: InstallPlan) -> None:
    models = (part("a", "model"), part("b", "model"))
    carried = tuple(replace(p, name=f"{p.name}/model.gguf") for p in models)
    there = replace(plan.manifest, parts=(*plan.manifest.parts, *carried))
    for wanted, found in (("a", []), ("aa", ["model_missing"])):
        asked = replace(plan, manifest=there, answers=replace(plan.answers, models=(wanted,)))
        assert codes(preflight.problems(asked, HOST, uid=0)) == found
        if found:
            assert "aa; it carries a, b." in next(preflight.problems(asked, HOST, uid=0)).message
        # An upgrade from a stick without them leaves those that are there.
        upgrade = replace(asked, current="0.9")
        assert codes(preflight.problems(upgrade, HOST, uid=0)) == []
        notes = list(preflight.warnings(upgrade, HOST, year=2026))
        assert len(notes) == len(found)


def test_hardened_hosts_are_told(plan: InstallPlan) -> None:
    host = replace(HOST, selinux=True, fapolicyd=True, fips=True)
    text = " ".join(preflight.warnings(plan, host, year=2026))
    assert all(word in text for word in ("SELinux", "fapolicyd", "FIPS"))
