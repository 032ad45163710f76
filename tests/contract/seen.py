"""Clients as the contract tests saw them: `seen.json`, of which docs/interop.md is made.

Rules: only a test that passed is written down; `--seen` replaces the records of the files that it
ran. A test whose name says that something is refused, or an error, is a refusal.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

RECORD: Final = Path(__file__).with_name("seen.json")
NODE: Final = Path(__file__).parent / "node"
NO_CLIENT: Final = {"test_schemathesis.py"}
"""Sends what no client would."""
_REFUSAL: Final = re.compile("refus|error|fails|is not", re.ASCII)
_IMPORTED: Final = re.compile(r'from "(@[^"/]+/[^"/]+|[^"@/.:][^"/:]*)')
_PASSED: Final = re.compile(r"^ok \d+ - (.+)$", re.MULTILINE)


class SeenClients(msgspec.Struct, omit_defaults=True):
    """One file of tests, in words, and the models besides the default one with which it passed."""

    clients: dict[str, str]
    passed: list[str]
    also: list[str] = []

    @property
    def works(self) -> list[str]:
        return [test for test in self.passed if not _REFUSAL.search(test)]

    @property
    def refused(self) -> list[str]:
        return [test for test in self.passed if _REFUSAL.search(test)]


def recorded() -> dict[str, SeenClients]:
    return msgspec.json.decode(RECORD.read_bytes(), type=dict[str, SeenClients])


def write(name: str, seen: SeenClients) -> None:
    """A run of the same tests with another model is added to the record."""
    found = recorded() if RECORD.is_file() else {}
    before = found.get(name, seen)
    if (before.clients, before.passed) == (seen.clients, seen.passed):
        seen.also = sorted({*before.also, *seen.also})
    found[name] = seen
    whole = {key: msgspec.to_builtins(found[key]) for key in sorted(found)}
    text = json.dumps(whole, indent=1, ensure_ascii=False, sort_keys=True)
    RECORD.write_text(text + "\n", encoding="utf-8")


def of_node(script: str, output: str) -> SeenClients:
    """The packages of npm that a script imports, and what its output in TAP says."""
    lock = json.loads((NODE / "package-lock.json").read_text("utf-8"))["packages"]
    names = sorted(set(_IMPORTED.findall(script)) & _direct())
    versions = {f"{name} (npm)": lock[f"node_modules/{name}"]["version"] for name in names}
    return SeenClients(versions, _PASSED.findall(output))


def _direct() -> set[str]:
    return set(json.loads((NODE / "package.json").read_text("utf-8"))["dependencies"])


def table() -> Iterable[tuple[str, str, str]]:
    """The rows of docs/interop.md: clients, † if `also`, what works, what is refused."""
    for _, one in sorted(recorded().items()):
        clients = ", ".join(f"{name} {version}" for name, version in sorted(one.clients.items()))
        if " (npm)" in clients:
            clients = "npm: " + clients.replace(" (npm)", "")
        clients += " †" if one.also else ""
        yield clients, "; ".join(_gathered(one.works)), "; ".join(_gathered(one.refused))


def models() -> list[str]:
    """Those with which some were seen besides the default one."""
    return sorted({model for one in recorded().values() for model in one.also})


def _gathered(tests: list[str]) -> Iterable[str]:
    """A test that several parts of a client pass is named once, after those parts."""
    parts: dict[str, list[str]] = {}
    for test in tests:
        part, mark, rest = test.rpartition(": ")
        parts.setdefault(rest, []).extend([part] if mark else [])
    return (f"{', '.join(of)}: {rest}" if of else rest for rest, of in parts.items())
