"""Questions with known answers, from the documentation that Debian packages carry.

Rules: packages are pinned by digest; a question is the heading of its answer, so headings of
answers are not in the indexed text, and lists of the questions are left out. Grade 2 is the section
under the question, grade 1 a section that its authors link to in the answer.
`pydocs`: the FAQ of the Python documentation, 166 questions over 3,290 sections. `debfaq`: the
Debian FAQ in English, its questions in English, German and French, 355 over 145 sections.
"""

import gzip
import io
import posixpath
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from installer.bundle import debs
from installer.bundle.cache import cache_root
from installer.bundle.example_sets import deb_files

_FAQ: Final = "usr/share/doc/debian/FAQ/"
_PYTHON: Final = "usr/share/doc/python3.13/html/"
_PACKAGES: Final = {
    "py": debs.Package(
        "python3.13-doc",
        "3.13.5-2+deb13u5",
        "a8a924637eeb25e666df5bbf7660ae09eb280be9effa39f9f6929e7a452bf65c",
    ),
    "en": debs.Package(
        "debian-faq", "12.2", "303f1c9de1d5858975490dd9f50a84fcd1c22f04c584a01afc30b5b4fc4fe52d"
    ),
    "de": debs.Package(
        "debian-faq-de", "12.2", "20f85639cd995cbd5abb00c9ed9cb1f481a3b793788455c3e81da188143fdf23"
    ),
    "fr": debs.Package(
        "debian-faq-fr", "12.2", "ea6d4f6265a4c787fa317311219a55df28d2f9289a1e46d383612495ed15732c"
    ),
}
_FEWEST: Final = 15
"""Words of a section that is indexed."""
_NO_TEXT: Final = re.compile(
    r"genindex|search|contents|whatsnew/|_|404|download|copyright|py-modindex"
)


@dataclass(frozen=True)
class Section:
    """A part of a manual."""

    id: str
    title: str
    text: str


@dataclass
class QuestionSet:
    """Sections, and by language the questions about them, each with the grades of its sections."""

    sections: list[Section] = field(default_factory=list)
    questions: dict[str, list[tuple[str, dict[str, int]]]] = field(
        default_factory=lambda: defaultdict(list)
    )


@dataclass
class _Part:
    depth: int
    id: str
    title: str = ""
    text: str = ""
    level: str = ""
    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


class _Parser(HTMLParser):
    """The innermost sections of a page: `<section id>`, or with a class `<div class>`."""

    def __init__(self, tag: str, marked: str) -> None:
        super().__init__(convert_charrefs=True)
        self._tag, self._class, self._depth = tag, marked, 0
        self._heading = self._silent = False
        self._open: list[_Part] = []
        self.done: list[_Part] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        classes = found.get("class", "").split()
        if tag == self._tag:
            self._depth += 1
            if self._class in classes if self._class else found.get("id"):
                self._open.append(_Part(self._depth, found.get("id", "")))
        if not self._open:
            return
        part = self._open[-1]
        if found.get("id"):
            part.ids.append(found["id"])
            part.id = part.id or found["id"]
        if tag in ("h1", "h2", "h3", "h4") and not part.title:
            self._heading, part.level = True, tag
        if tag == "a" and found.get("href") and not self._heading and "headerlink" not in classes:
            part.links.append(found["href"])
        self._silent = self._silent or tag in ("script", "style")
        if tag in ("p", "li", "dt", "dd", "pre", "div", "tr", "td"):
            part.text += " "

    def handle_endtag(self, tag: str) -> None:
        if tag in ("h1", "h2", "h3", "h4"):
            self._heading = False
        if tag in ("script", "style"):
            self._silent = False
        if tag == self._tag:
            if self._open and self._open[-1].depth == self._depth:
                self.done.append(self._open.pop())
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if not self._open or self._silent:
            return
        if self._heading:
            self._open[-1].title += data
        else:
            self._open[-1].text += data


def pydocs() -> QuestionSet:
    """The Python documentation."""
    parts: dict[str, tuple[str, _Part]] = {}
    anchors: dict[str, str] = {}
    for page, part in _parts("py", _PYTHON, "section", "", _NO_TEXT):
        name = f"{page}#{part.id}"
        parts[name] = (page, part)
        anchors |= {f"{page}#{anchor}": name for anchor in part.ids}
    listing = {n for n, (p, part) in parts.items() if p.startswith("faq/") and part.level == "h1"}
    made, answers = QuestionSet(), set()
    for name, (page, part) in sorted(parts.items()):
        if not (page.startswith("faq/") and part.title.endswith("?") and _long(part)):
            continue
        answers.add(name)
        linked = {anchors.get(_target(page, link)) for link in part.links if "://" not in link}
        also = {n for n in linked if n and n != name and n not in listing and _long(parts[n][1])}
        made.questions["en"].append((part.title, {**dict.fromkeys(sorted(also), 1), name: 2}))
    made.sections += [
        Section(name, "" if name in answers else part.title, part.text)
        for name, (_, part) in sorted(parts.items())
        if _long(part) and name not in listing
    ]
    return made


def debfaq() -> QuestionSet:
    """The Debian FAQ, asked in three languages."""
    made = QuestionSet()
    english: dict[str, str] = {}
    for language in ("en", "de", "fr"):
        skipped = re.compile(rf"index|.*(?<!\.{language})\.html")
        found = {
            f"{page}#{part.id}": part
            for page, part in _parts(language, _FAQ, "div", "section", skipped)
        }
        for name, part in sorted(found.items()):
            key = name.split("#")[1]
            if language == "en" and _long(part):
                english[key] = name
                made.sections.append(Section(name, "", part.text))
            if key in english and part.title.rstrip().endswith("?"):
                asked = re.sub(r"^[\d.]+\s*", "", part.title)
                made.questions[language].append((asked, {english[key]: 2}))
    return made


def package(name: str) -> Path:
    """The package of a manual, from the cache or the archive. Raises BundleError."""
    (path,) = debs.fetch([_PACKAGES[name]], cache_root() / "debs")
    return path


def _parts(
    manual: str, under: str, tag: str, marked: str, skipped: re.Pattern[str]
) -> Iterator[tuple[str, _Part]]:
    for page, html in _pages(package(manual), under):
        if skipped.match(page):
            continue
        parser = _Parser(tag, marked)
        parser.feed(html)
        for part in parser.done:
            if part.id:
                part.title, part.text = _squeezed(part.title), _squeezed(part.text)
                yield page, part


def _pages(path: Path, under: str) -> Iterator[tuple[str, str]]:
    with tarfile.open(fileobj=io.BytesIO(deb_files(path))) as archive:
        for member in sorted(archive.getmembers(), key=lambda one: one.name):
            if not (member.isfile() and under in member.name):
                continue
            if member.name.endswith((".html", ".html.gz")) and (
                held := archive.extractfile(member)
            ):
                data = held.read()
                data = gzip.decompress(data) if member.name.endswith(".gz") else data
                yield member.name.split(under, 1)[1], data.decode("utf-8", "replace")


def _target(page: str, link: str) -> str:
    if link.startswith("#"):
        return page + link
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _long(part: _Part) -> bool:
    return len(part.text.split()) >= _FEWEST


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("\u00b6", "").strip()
