"""An accelerator's wheels on the stick are complete, or refused."""

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from installer.bundle import plugins
from installer.bundle.cache import sha256_file
from installer.bundle.cuda_recipe import PLUGINS
from installer.bundle.plugin_gate import check_plugin_wheel
from installer.bundle.steps import BundleError
from tests.installer.bundle.wheel_files import write_wheel

OWN = "appliance_cuda13-0.3.36-py3-none-linux_x86_64.whl"
Given = list[tuple[str, Path]]


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    """A plugin without its gate (test_plugin_gate.py), and the libraries of its lock."""
    own = write_wheel(tmp_path / OWN, name="appliance_cuda13", version="0.3.36")
    with zipfile.ZipFile(own, "a") as archive:
        archive.writestr("appliance_cuda13/plugin.json", '{"architectures": ["90-real"]}')
    libraries = [
        write_wheel(tmp_path / "b-1.0-py3-none-any.whl", name="b"),
        write_wheel(tmp_path / "c-1.0-py3-none-any.whl", name="c"),
    ]
    lock = tmp_path / "lock.txt"
    lock.write_text(
        "".join(f"{p.name[0]}==1.0 --hash=sha256:{sha256_file(p)}\n" for p in libraries)
    )
    monkeypatch.setitem(PLUGINS, "cuda13", replace(PLUGINS["cuda13"], lock=lock))
    gated: list[tuple[str, ...]] = []
    monkeypatch.setattr(plugins, "check_plugin_wheel", lambda _, p: gated.append(p.architectures))
    found = [("cuda13", path) for path in (own, *libraries)]
    plugins.check(found)
    assert gated == [("90-real",)]
    return found


def test_nothing_is_nothing() -> None:
    plugins.check([])


CHANGES: dict[str, tuple[Callable[[Given], object], str]] = {
    "a library is missing": (lambda g: g.pop(), "needs b 1.0, c 1.0 next to it"),
    "the plugin is missing": (lambda g: g.pop(0), "0 wheels of appliance_cuda13"),
    "another accelerator": (lambda g: g.append(("rocm", g[1][1])), "no accelerator rocm"),
    "one twice": (lambda g: g.append(g[1]), "next to it, and nothing else"),
    "other bytes": (lambda g: write_wheel(g[1][1], "b/x.py", name="b"), "b is not a wheel of"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_host_could_not_use_is_refused(given: Given, name: str) -> None:
    change, message = CHANGES[name]
    change(given)
    with pytest.raises(BundleError, match=message):
        plugins.check(given)


def test_a_plugin_without_facts(given: Given) -> None:
    write_wheel(given[0][1], name="appliance_cuda13", version="0.3.36")
    with pytest.raises(BundleError, match="no facts of a plugin"):
        plugins.check(given)


def test_the_gate_is_the_real_one(tmp_path: Path) -> None:
    own = write_wheel(tmp_path / OWN, name="appliance_cuda13", version="0.3.36")
    with pytest.raises(BundleError):
        check_plugin_wheel(own, PLUGINS["cuda13"])
