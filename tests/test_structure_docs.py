"""docs/structures.md names every package and module, and no link or docs path leads nowhere."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
STRUCTURES = ROOT / "docs" / "structures.md"
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
_BULLET = re.compile(r"^ *- `([^`]+)`:", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_DOCS_PATH = re.compile(r"(?<![\w/])docs/[\w./-]+\.md\b")


def undescribed(bullets: set[str], present: set[str]) -> set[str]:
    """Both ways: without a bullet, and a bullet without its package."""
    return bullets ^ present


def packages_and_modules() -> set[str]:
    packages = {
        f"{path.parent.relative_to(ROOT).as_posix()}/"
        for top in ("appliance", "auditor", "tui", "installer")
        for path in (ROOT / top).rglob("__init__.py")
    }
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "appliance").glob("*.py")}
    return packages | modules - {"appliance/__init__.py"}


def broken_links(text: str, document: Path) -> list[str]:
    broken = []
    for target in _LINK.findall(_FENCE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue  # another host: nothing that a test without a network can ask
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    return broken


def anchors(path: Path) -> set[str]:
    """As the usual renderers make them."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in _HEADING.findall(text)
    }


def test_every_package_and_module_has_one_bullet() -> None:
    bullets = _BULLET.findall(STRUCTURES.read_text(encoding="utf-8"))
    data = {"examples/", "kernels/", "models/", "offline-wheels/", "tests/"}
    assert len(bullets) == len(set(bullets))
    assert undescribed(set(bullets) - data, packages_and_modules()) == set()
    assert all((ROOT / name).is_dir() for name in data)


def test_a_new_package_and_a_stale_bullet_are_noticed() -> None:
    here = packages_and_modules()
    assert undescribed(here, here | {"appliance/new/"}) == {"appliance/new/"}
    assert undescribed(here | {"appliance/gone.py"}, here) == {"appliance/gone.py"}


def test_links_resolve() -> None:
    assert len(DOCUMENTS) > 50
    links = {d: broken_links(d.read_text(encoding="utf-8"), d) for d in DOCUMENTS}
    assert {str(document): broken for document, broken in links.items() if broken} == {}


def test_a_dead_link_and_a_dead_anchor_are_noticed() -> None:
    text = "[a](README.md) [b](nowhere.md) [c](docs/structures.md#words) [d](#nothing)"
    assert broken_links(text, ROOT / "README.md") == ["nowhere.md", "#nothing"]


def test_documents_that_the_source_names_exist() -> None:
    sources = [ROOT / "Makefile", ROOT / "pyproject.toml"]
    for top in ("appliance", "installer"):
        sources += (ROOT / top).rglob("*.py")
    named = {
        (source.relative_to(ROOT).as_posix(), name)
        for source in sources
        for name in _DOCS_PATH.findall(source.read_text(encoding="utf-8"))
    }
    assert len(named) > 3
    assert {(source, name) for source, name in named if not (ROOT / name).is_file()} == set()
