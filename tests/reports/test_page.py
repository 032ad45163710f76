"""The page: self-contained, safe, and readable at every width, in light and dark, in a browser."""

from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from appliance.reports.page import Section, render
from tests.browser import Tab, chromium
from tests.conftest import need_tool
from tests.reports.example import HOSTILE, page

_FILLS = "[...document.querySelectorAll('polyline')].map(line => getComputedStyle(line).fill)"
"""What is within each line of a chart."""

_CONTRAST = """
(() => {
  const channel = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) =>
    .2126 * channel(r / 255) + .7152 * channel(g / 255) + .0722 * channel(b / 255);
  const back = e => { for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const low = [];
  const all = 'h1, h2, p, dt, dd, small, td, th, figcaption, caption, text';
  for (const e of document.querySelectorAll(all)) {
    const style = getComputedStyle(e);
    const ink = parse(e.tagName === 'text' ? style.fill : style.color);
    const [a, b] = [light(ink), light(back(e.closest('svg') ?? e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) low.push([e.tagName, e.textContent.slice(0, 30), ratio]);
  }
  return low;
})()
"""


class Attributes(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_the_file_refers_to_nothing_outside_and_runs_nothing() -> None:
    parser = Attributes()
    parser.feed(render(page()))
    tags = {tag for tag, _ in parser.seen}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "base", "form"})
    names = {name for _, attributes in parser.seen for name in attributes}
    assert names.isdisjoint({"src", "href", "xlink:href", "srcset", "style"})
    assert not any(name.startswith("on") for name in names)
    assert "url(" not in render(page()) and "@import" not in render(page())


def test_text_of_data_is_escaped_and_visible() -> None:
    html = render(replace(page(), title=HOSTILE, sections=(Section(HOSTILE, (HOSTILE,)),)))
    assert "<script>" not in html
    assert "\x1b" not in html and "\u202e" not in html


def test_the_answer_stands_before_everything_else() -> None:
    html = render(page())
    assert html.index("A classifier is enough") < html.index("<dl>") < html.index("<svg")


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with chromium(need_tool("chromium")) as opened:
        yield opened


def opened(tab: Tab, tmp_path: Path, width: int, scheme: str) -> None:
    (tmp_path / "report.html").write_text(render(page()), encoding="utf-8")
    tab.command(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=800,
        deviceScaleFactor=1,
        mobile=False,
    )
    tab.command(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    tab.open(f"file://{tmp_path}/report.html", "footer p")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1024, 1920])
def test_a_browser_shows_it_without_overflow(
    tab: Tab, tmp_path: Path, width: int, scheme: str
) -> None:
    opened(tab, tmp_path, width, scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(_CONTRAST) == []
    assert set(tab.evaluate(_FILLS)) == {"none"}
    assert [url for url in tab.requested if not url.startswith(("file:", "about:"))] == []
    assert tab.complaints == []


def test_the_answer_and_its_figures_fit_one_screen(tab: Tab, tmp_path: Path) -> None:
    opened(tab, tmp_path, 1024, "light")
    assert tab.evaluate("document.querySelector('dl').getBoundingClientRect().bottom") < 700


def test_low_contrast_would_be_noticed(tab: Tab, tmp_path: Path) -> None:
    opened(tab, tmp_path, 1024, "light")
    tab.evaluate("document.documentElement.style.setProperty('--soft', '#b0b0b0')")
    assert tab.evaluate(_CONTRAST) != []


def test_it_prints_on_a4(tab: Tab, tmp_path: Path) -> None:
    opened(tab, tmp_path, 1024, "light")
    tab.command("Emulation.setEmulatedMedia", media="print")
    tab.command(
        "Emulation.setDeviceMetricsOverride",
        width=680,
        height=970,
        deviceScaleFactor=1,
        mobile=False,
    )  # 180 mm at 96 pixels an inch
    widest = "Math.max(...[...document.querySelectorAll('svg, table')].map(e => e.scrollWidth))"
    assert tab.evaluate(widest) <= 680
    tab.command("Emulation.setEmulatedMedia", media="")
