"""The pages: complete, closed in themselves, and searchable in a browser without a network."""

import json
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from installer.bundle import pages, sbom
from installer.bundle.steps import BundleError
from tests.browser import Tab, chromium
from tests.conftest import CHECKOUT, need_tool, unavailable

_LIMIT = 8_370_000
"""A tenth of the bundle without models (docs/install-results.md)."""
_SERVE = """
import sys
from pathlib import Path
from appliance.cli import docs, main
docs.PAGES = Path(sys.argv.pop(1))
main.main()
"""


class References(HTMLParser):
    """The addresses that a page refers to, and its own anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "action", "data-content_root"):
                self.targets.append(value or "")
            elif name == "srcset":
                raise AssertionError("srcset is not read here")
            elif name == "id":
                self.places.add(value or "")


def astray(root: Path) -> list[str]:
    read = {path: References(path.read_text(encoding="utf-8")) for path in root.rglob("*.html")}
    found = []
    for path, page in read.items():
        for target in page.targets:
            address, place = urldefrag(target)
            other = (path.parent / unquote(urlsplit(address).path)).resolve() if address else path
            there = other.exists() and other.is_relative_to(root.resolve())
            known = not place or other not in read or unquote(place) in read[other].places
            leaves = bool(urlsplit(target).scheme or urlsplit(target).netloc)
            if not target.startswith("data:") and (leaves or not (there and known)):
                found.append(f"{path.relative_to(root)} -> {target}")
    for path in root.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        if "@import" in text or "url(http" in text or "url(//" in text:
            found.append(str(path.relative_to(root)))
    return found


def test_the_contents_name_each_page_once() -> None:
    text = (CHECKOUT / "docs" / "html" / "index.md").read_text(encoding="utf-8")
    named = Counter(line for line in text.splitlines() if line.startswith("docs/"))
    assert named == {f"docs/{path.stem}": 1 for path in (CHECKOUT / "docs").glob("*.md")}


def test_our_wheel_carries_the_pages() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    (carried,) = project["tool"]["hatch"]["build"]["targets"]["wheel"]["artifacts"]
    assert CHECKOUT / carried == pages.PLACE
    assert f"/{carried}" in (CHECKOUT / ".gitignore").read_text().splitlines()


def test_a_reference_that_leaves_or_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<p id="x"><a href="a.html#x"></a><a href="#x"></a>')
    assert astray(tmp_path) == []
    for bad in ("b.html", "#y", "a.html#y", "https://a.example", "//a.example/x", "../.."):
        (tmp_path / "a.html").write_text(f'<a href="{bad}">')
        assert astray(tmp_path) == [f"a.html -> {bad}"]
    (tmp_path / "a.html").write_text("")
    (tmp_path / "a.css").write_text("@font-face {src: url(https://a.example)}")
    assert astray(tmp_path) == ["a.css"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        pages.generator()
    except BundleError as error:
        unavailable(str(error)[-300:])
    return pages.build(tmp_path_factory.mktemp("pages") / "pages")


@pytest.mark.long
def test_the_pages_are_whole_small_and_refer_to_nothing_outside(built: Path) -> None:
    guides = {path.stem for path in (CHECKOUT / "docs").glob("*.md")}
    assert guides <= {path.stem for path in (built / "docs").glob("*.html")}
    assert len(list((built / "docs" / "adr").glob("*.html"))) > 70
    assert astray(built) == []
    stick = pages.on_stick(built)
    assert "docs/html/index.html" in stick and "docs/html/docs/cli.html" in stick
    assert sum(map(len, stick.values())) < 0.7 * _LIMIT
    licences = (built / "LICENSES.txt").read_text()
    assert all(f"== {name}\n" in licences for name in ("furo", "sphinx", "snowballstemmer"))
    found = sbom.read(sbom.write("pages", "1", pages.parts(built)))
    assert {part.name for part in found} == {"furo", "sphinx"}


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    command = [sys.executable, "-c", _SERVE, str(built), "docs", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            text += process.stdout.readline()
        yield json.loads(text)["url"]
        process.terminate()
        assert process.wait(60) in (0, -15)


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with chromium(need_tool("chromium")) as opened:
        yield opened


@pytest.mark.long
def test_a_browser_finds_a_page_and_asks_no_other_host(tab: Tab, address: str, built: Path) -> None:
    found = "ul.search a[href*='install-guide']"
    tab.open(f"{address}docs/install-guide.html", "article h1")
    tab.open(f"{address}search.html?q=rollback", found)
    asked = {urlsplit(url).netloc for url in tab.requested if not url.startswith("data:")}
    assert asked == {urlsplit(address).netloc}
    assert tab.complaints == []
    refused = "fetch('http://localhost:9/').then(() => '', error => error.name)"
    assert tab.evaluate(refused) == "TypeError"
    assert any("violates" in text for text in tab.complaints)  # the control
    tab.open(f"{(built / 'search.html').as_uri()}?q=rollback", found)  # without a server
