"""Each command and code block of the guides: the test that runs it.

The test of its page runs a block with a mark (`<!-- tested … -->`, `<!-- step: … -->`). Every other
one is in a table here, by its page and its beginning.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.conftest import CHECKOUT

MADE = {"install-results", "interop", "oms-interop", "soak-results", "cli", "config", "errors"}
RUN = ("sh", "python", "js")
"""The languages of blocks that run; `READ` are those of blocks that the product reads."""
READ = ("toml", "json")
_BLOCK = re.compile(
    r"^(?P<mark><!-- (?:tested|step).*? -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class GuideBlock:
    """A fenced block of a page; `mark` is the comment before it, or nothing."""

    page: str
    language: str
    code: str
    mark: str


def pages() -> Iterator[Path]:
    """The pages that people write."""
    yield from (CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md")
    found = sorted((CHECKOUT / "docs").glob("*.md"))
    yield from (path for path in found if path.stem not in MADE)


def blocks_of(path: Path) -> list[GuideBlock]:
    text = path.read_text(encoding="utf-8")
    return [
        GuideBlock(path.stem, found["language"], found["code"], (found["mark"] or "").strip())
        for found in _BLOCK.finditer(text)
    ]


def block(page: str, begins: str) -> str:
    path = CHECKOUT / ("" if page.isupper() else "docs") / f"{page}.md"
    (found,) = (one.code for one in blocks_of(path) if one.code.startswith(begins))
    return found


def typed(
    page: str, begins: str, names: Mapping[str, str] = MappingProxyType({})
) -> list[list[str]]:
    """The commands of a block, each as the words after its program; `names` are the reader's."""
    code = re.sub(r"\\\n\s*", " ", block(page, begins))
    lines = (shlex.split(line, comments=True)[1:] for line in code.splitlines())
    return [[names.get(word, word) for word in words] for words in lines]


WALKED: tuple[tuple[str, str], ...] = (
    ("start-here", "appliance dataset new notices"),
    ("datasets", "appliance dataset new orders"),
    ("datasets", "appliance dataset split orders"),
    ("datasets", "appliance key new plant-7"),
    ("datasets", "appliance dataset seal orders"),
    ("datasets", "appliance dataset import"),
    ("gate", "appliance dataset seal orders"),
    ("gate", "appliance task promote"),
    ("gate", "appliance eval certificates"),
    ("tasks", "appliance task new"),
    ("tasks", "answer = client"),
    ("tasks", "curl"),
    ("tasks", "appliance eval compare"),
    ("routes", "appliance route check"),
    ("collections", "appliance collection new"),
    ("collections", "appliance collection tune"),
    ("documents-guide", "appliance key list"),
    ("documents-guide", "appliance collection new"),
    ("documents-guide", "appliance collection search"),
    ("documents-guide", "appliance collection tune"),
    ("documents-guide", "appliance collection add manuals /srv/manuals --keep-access"),
    ("README", "from openai"),
    ("admin-guide", "export APPLIANCE_DATA"),
    ("admin-guide", "appliance tls issue"),
    ("admin-guide", "appliance tls renew"),
    ("admin-guide", "appliance audit retention"),
    ("admin-guide", "cp -a"),
    ("auditor-guide", "python3 verify_export.py /mnt/stick/log genesis.pub DATA/audit"),
    ("auditor-guide", "appliance job result"),
    ("auditor-guide", "python3 verify_result.py"),
    ("auditor-guide", "curl"),
    ("install-guide", "appliance status"),
    ("operator-guide", "appliance tui --data"),
    ("collections", "appliance eval run"),
    ("tuning-guide", "appliance model convert"),
    ("tuning-guide", "appliance quantize"),
    ("tuning-guide", "appliance artifact import"),
    ("tuning-guide", "appliance tune teach"),
)
"""Run by tests/system/test_guide_walk.py."""

_CHROOTS = "tests/installer/test_chroots.py"
RUN_BY: dict[tuple[str, str], str] = {
    ("admin-guide", "appliance serve"): "tests/system/test_docs_snippets.py",
    ("app-guide", "export OPENAI_BASE_URL"): "tests/contract/test_guide.py",
    ("install-guide", "mount -o ro /dev/sdX1 /mnt && cd /mnt/appliance\n"): _CHROOTS,
    ("install-guide", "sha256sum vendor.pub"): _CHROOTS,
    ("install-guide", "sh install.sh"): _CHROOTS,
    ("install-guide", "mount -o ro /dev/sdX1 /mnt && cd /mnt/appliance &&"): _CHROOTS,
    ("install-guide", "appliance-installer rollback"): _CHROOTS,
    ("install-guide", "appliance-installer backup"): _CHROOTS,
    ("install-guide", "appliance-installer status"): _CHROOTS,
    ("install-guide", "mount -o ro /dev/sdX1 /mnt\n"): _CHROOTS,
    ("people-page", "appliance key new"): "tests/contract/test_people_page.py",
    ("routes", "appliance route sample"): "tests/cli/test_route.py",
    ("routes", "appliance queue list"): "tests/cli/test_queue.py",
    ("scaling-guide", "appliance upstream learn"): "tests/cli/test_upstream.py",
    ("gpu", "make wheel-cuda13"): "tests/installer/test_built_plugin.py",
    ("gpu", "pip download"): "tests/installer/test_built_plugin.py",
    ("README", "make demo"): "tests/examples/test_demo.py",
    ("datasets", "appliance label new"): "tests/cli/test_label.py",
    ("method-guide", "appliance label next"): "tests/cli/test_label.py",
    ("gate", "appliance dataset seal plant"): "tests/cli/test_gate.py",
    ("auditor-guide", "python3 verify_receipt.py receipt.json genesis.pub --cited"): (
        "tests/auditor/test_verify_receipt.py"
    ),
    ("tuning-guide", "appliance tune plan"): "tests/cli/test_tune_runs.py",
    ("tuning-guide", "appliance tune report"): "tests/cli/test_tune_runs.py",
    ("tuning-guide", "appliance bundle tuning"): "tests/installer/bundle/test_tuning_bundle.py",
    ("CONTRIBUTING", "make setup"): "tests/test_makefile.py",
    ("admin-guide", "systemd-creds"): "tests/cli/test_unlocking.py",
    ("scaling-guide", "python -m vllm"): "tests/test_guides.py",
    ("tuning-guide", "make lock-torch"): "tests/installer/bundle/test_tuning_lock.py",
}  # fmt: skip
"""Run by another test, in its own words. Two are read, not run: `make setup` is part of what CI
runs, and vLLM's options are those of its release 0.32.0.
"""
