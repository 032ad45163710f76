"""Makes the guides into HTML pages with a search, for readers without a network: Sphinx with furo.

usage: python -m installer.bundle.pages

Rules
- The generator has its own lock, is kept in the cache and never installed next to the product.
- The pages refer to no other host. They go into `appliance/pages/`, which our wheel carries.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from installer.bundle import sbom
from installer.bundle.cache import cache_root, exclusive, sha256_file
from installer.bundle.llama_recipe import SOURCE_DATE_EPOCH
from installer.bundle.locks import LOCKS, read_lock
from installer.bundle.steps import command_line, run_pip, run_step, say
from installer.bundle.tuning_set import key
from installer.bundle.wheel_lists import product_version

LOCK: Final = LOCKS / "lock-docs.txt"
CHECKOUT: Final = LOCKS.parent
PLACE: Final = CHECKOUT / "appliance" / "pages"
_SOURCES: Final = ("docs/*.md", "docs/adr/*.md", "docs/img/*", "*.md")
_SHIPPED: Final = ("sphinx", "furo", "sphinx_basic_ng", "snowballstemmer")
"""Projects with files among the pages, so that their licences are there, too."""
_PARTS: Final = (
    ("furo", "MIT", "_static/scripts/furo.js"),
    ("sphinx", "BSD-2-Clause", "_static/searchtools.js"),
)
"""The two with programs among the pages: licence, and the file that stands for it."""
_UNUSED: Final = ("*.map", ".buildinfo", "objects.inv")


def build(out: Path) -> Path:
    """Replaces earlier ones; returns `out`."""
    tools = generator()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        source, made = work / "source", work / "made"
        for path in [path for pattern in _SOURCES for path in sorted(CHECKOUT.glob(pattern))]:
            target = source / path.relative_to(CHECKOUT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        shutil.copytree(CHECKOUT / "docs" / "html", source, dirs_exist_ok=True)
        options = ["-q", "-W", "--keep-going", "-E", "-b", "html", "-d", str(work / "cache")]
        run_step(
            [sys.executable, "-S", "-P", "-m", "sphinx", *options, str(source), str(made)],
            what="pages",
            log=work / "sphinx.log",
            env={
                "PATH": os.defpath,
                "PYTHONPATH": str(tools),
                "PYTHONHASHSEED": "0",
                "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
                "APPLIANCE_VERSION": product_version(),
                "APPLIANCE_CHECKOUT": str(CHECKOUT),
            },
        )
        for path in [path for pattern in _UNUSED for path in made.rglob(pattern)]:
            path.unlink()
        (made / "LICENSES.txt").write_text(_licences(tools), encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out)
    return out


def parts(place: Path) -> list[sbom.Part]:
    """The programs among the pages, for the bill of materials."""
    versions = {locked.name: locked.version for locked in read_lock(LOCK)}
    return [
        sbom.Part(
            name, versions[name], f"pkg:pypi/{name}@{versions[name]}",
            sha256_file(place / file), licence,
        )
        for name, licence, file in _PARTS
    ]  # fmt: skip


def on_stick(place: Path) -> dict[str, bytes]:
    """The pages by their paths on the stick; their source texts are there already."""
    files = (path for path in sorted(place.rglob("*")) if path.is_file())
    found = {path.relative_to(place): path for path in files}
    return {
        f"docs/html/{name}": path.read_bytes()
        for name, path in found.items()
        if name.parts[0] != "_sources"
    }


def generator() -> Path:
    """The directory of Sphinx and its parts, installed if it is missing."""
    made = cache_root() / "docs" / key(LOCK.read_bytes())
    with exclusive(made.with_suffix(".lock")):
        if not (made / "complete").is_file():
            shutil.rmtree(made, ignore_errors=True)
            say("Installing the generator of the pages")
            options = ["--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)]
            log = made.with_suffix(".log")
            run_pip("install", "--target", str(made), *options, what="pip install", log=log)
            (made / "complete").touch()
    return made


def _licences(tools: Path) -> str:
    """The licences of the projects whose files are among the pages."""
    texts = []
    for name in _SHIPPED:
        found = tools.glob(f"{name}-*.dist-info/**/*")
        for path in sorted(path for path in found if path.name.startswith(("LICENSE", "COPYING"))):
            texts.append(f"== {name}\n\n{path.read_text(encoding='utf-8')}")
    return "\n".join(texts)


def main() -> None:
    """Command line: make the pages where the product expects them, and print where."""
    out = build(PLACE)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {len(list(out.rglob('*.html')))} pages, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    command_line(main)
