"""Decisions before a bundle is built; test_chroots.py has the whole build."""

import os
import re
import sys
import zipfile
from pathlib import Path

import pytest

from appliance.cli.auditor import TOOLS
from installer.bundle import build, e5
from installer.bundle.build import Wanted
from installer.bundle.cache import sha256_file
from installer.bundle.default_model import default_model
from installer.bundle.steps import BundleError
from installer.bundle.wheel_cache import Wheel
from installer.host import wheel
from installer.host.manifest import Manifest
from tests.conftest import CHECKOUT
from tests.installer.bench import pack_wheel
from tests.installer.host.test_manifest import example


def test_a_model_without_a_signature_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.gguf").write_bytes(b"x")
    wanted = Wanted(tmp_path / "key", 1, models=[tmp_path / "m"])
    with pytest.raises(BundleError, match=r"no model\.sig"):
        list(build._sources(tmp_path, [], wanted))
    lab = Wanted(tmp_path / "key", 1, lab_models=[tmp_path / "m"])
    assert [s.name for s in build._sources(tmp_path, [], lab)][-1] == "m/model.gguf"


def test_a_plugin_comes_with_the_listing_of_its_files(tmp_path: Path) -> None:
    wanted = Wanted(tmp_path / "key", 1, plugins=[("cuda13", tmp_path / "p.whl")])
    found = [(s.kind, s.name, s.when) for s in build._sources(tmp_path, [], wanted)]
    assert found[-2:] == [("plugin", "p.whl", "cuda13"), ("tree", "cuda13.list", "cuda13")]


def test_the_libraries_of_a_plugin_share_its_listing(tmp_path: Path) -> None:
    plugins = [("cuda13", tmp_path / "p.whl"), ("cuda13", tmp_path / "q.whl")]
    found = list(build._sources(tmp_path, [], Wanted(tmp_path / "key", 1, plugins=plugins)))
    assert [s.name for s in found if s.when] == ["p.whl", "q.whl", "cuda13.list"]


def test_a_plugin_that_a_host_could_not_use_is_refused_first(tmp_path: Path) -> None:
    wanted = Wanted(tmp_path / "key", 1, plugins=[("cuda13", tmp_path / "nvidia-1.whl")])
    with pytest.raises(BundleError, match="0 wheels of appliance_cuda13"):
        build.build(tmp_path / "out", wanted)
    assert not (tmp_path / "out").exists()


def test_only_wheels_of_the_lists_are_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama = Wheel(tmp_path / "llama_cpp_python-0.3.36-py3-none-linux_x86_64.whl", "0" * 64, {})
    pack_wheel(tmp_path / "appliance-1.0-py3-none-any.whl", "1.0", 1, False)
    monkeypatch.setattr(build, "obtain", lambda *_: llama)
    monkeypatch.setattr(build, "recipe", lambda: None)
    monkeypatch.setattr(build, "fill", lambda *_: tmp_path)
    with pytest.raises(BundleError, match=r"the sums and .* differ"):
        build._wheels()


def test_no_page_on_the_stick_points_to_one_that_is_not_there() -> None:
    found = build.guides(CHECKOUT / "docs")
    assert "docs/install-guide.md" in found and "docs/admin-guide.md" in found
    for name, data in found.items():
        for link in re.findall(r"\]\(([^)#:]+)[)#]", data.decode()) if name.endswith("md") else ():
            target = os.path.normpath(f"{Path(name).parent}/{link}")
            there = target in found or target == "docs/install-results.md"
            assert there or not target.startswith("docs/"), (name, link)


def test_rules_and_dashboard_are_on_the_stick() -> None:
    found = build.monitoring(CHECKOUT / "appliance/incidents/monitoring")
    assert set(found) == {"monitoring/appliance.rules.yml", "monitoring/appliance.dashboard.json"}


def test_the_auditors_programs_are_on_the_stick() -> None:
    found = build.programs(CHECKOUT / "auditor")
    assert set(found) == {f"auditor/{name}" for name in TOOLS}


def test_the_counter_is_the_number_of_commits(tmp_path: Path) -> None:
    assert build.commits() > 100
    with pytest.raises(BundleError, match="--counter"):
        build.commits(tmp_path)


def test_a_sabotaged_wheel_still_unpacks(tmp_path: Path) -> None:
    name = "appliance-1.0-py3-none-any.whl"
    pack_wheel(tmp_path / name, "1.0", 1, False)
    (tmp_path / "work").mkdir()
    broken = build._sabotaged(tmp_path / name, tmp_path / "work")
    wheel.unpack(broken, tmp_path / "site", name)
    with zipfile.ZipFile(broken) as archive:
        assert build._VICTIM not in archive.namelist()
    assert build._sabotaged(tmp_path / "other-1.whl", tmp_path) == tmp_path / "other-1.whl"


def test_the_default_model_and_the_embedder_are_on_the_stick_under_their_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Wanted] = []

    def built(out: Path, wanted: Wanted) -> Manifest:
        seen.append(wanted)
        directory, embedder = wanted.lab_models
        assert (directory.name, embedder.name) == (default_model().id, "multilingual-e5-small")
        assert {path.name for path in embedder.iterdir()} == {e5.FILE, "artifact.json", "LICENSE"}
        (file,) = directory.iterdir()
        assert sha256_file(file) == default_model().sha256
        out.mkdir()
        (out / "vendor.pub").write_text("key")
        return example()

    (tmp_path / "embedder").write_text("GGUF")
    monkeypatch.setattr(e5, "obtained", lambda _: tmp_path / "embedder")
    monkeypatch.setattr(build, "build", built)
    words = [str(tmp_path / "out"), "--key", str(tmp_path / "vendor.pem"), "--new-key"]
    monkeypatch.setattr(
        sys, "argv", ["build", *words, "--counter", "1", "--default-model", "--embedder"]
    )
    build.main()
    assert (
        f"models, as the answers name them: {default_model().id}, {e5.ID}"
        in capsys.readouterr().out
    )
    assert not seen[0].lab_models[0].exists()  # it was laid out for this bundle
    bundle = re.findall(r"(?m)^bundle:.*\n(?:\t.*\n)+", (CHECKOUT / "Makefile").read_text())
    assert "--default-model" in bundle[0] and "--embedder" in bundle[0]
