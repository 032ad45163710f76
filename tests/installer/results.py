"""`docs/install-results.md`, from the tests of the installer."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from installer.bundle.cache import cache_root, exclusive
from tests.conftest import CHECKOUT
from tests.installer.faults import FAULTS, Fault

PAGE = CHECKOUT / "docs" / "install-results.md"
_CASE = re.compile(r"\[(.*)\]$")
Outcomes = Mapping[str, Mapping[str, Any]]


def kept() -> Path:
    return cache_root() / "test-install" / "results.json"


def read(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return found


def record(outcomes: Outcomes, *, anew: bool) -> None:
    """Keep the outcomes of this session, beside those of earlier ones or `anew`; write the page."""
    path = kept()
    with exclusive(path.with_suffix(".lock")):
        merged = ({} if anew else read(path)) | dict(outcomes)
        path.write_text(json.dumps(merged, indent=1, sort_keys=True))
        PAGE.write_text(page(merged))


def page(outcomes: Outcomes) -> str:
    rows = [f"| {n} | {f.where} | {f.what} | {f.how} | {_names(f)} | {verdict(f, outcomes)} |"
            for n, f in enumerate(FAULTS, start=1)]  # fmt: skip
    good = sum(survived(fault, outcomes) for fault in FAULTS)
    return f"""# Installing, measured
Written by `make test-install`, not by hand. The real bundle on bare Debian chroots (the base system
and `openssl`) in a network namespace of their own, the stick mounted read-only and noexec, on a
shared machine with {os.cpu_count()} cores. Steps of the admin, from the mount to the answer: 4.

## The life of a host
{_life(outcomes)}

Install is from `sh install.sh` to the committed release: every byte copied, hashed, read back,
unpacked, compiled, compared with the signed listing; data directory made; self-test done. An answer
is a chat request over HTTP to the installed server. Backup, drill, restore, removal, coming again
and a site with its trust metadata on the stick are part of the life and not timed.

{_figures(outcomes)}

## Faults
Survived: **{good} of {len(FAULTS)}**. Each of these ended in “nothing changed” or “completed”.
`real` is the thing itself, `injected` a system call or a process made to fail at a chosen point,
`stated` the host's facts given to the code for want of such a host.

| | where | fault | how | tests | result |
|---|---|---|---|---|---|
{chr(10).join(rows)}
"""


def survived(fault: Fault, outcomes: Outcomes) -> bool:
    return all(_passed(cases(test, outcomes)) for test in fault.tests)


def verdict(fault: Fault, outcomes: Outcomes) -> str:
    found = [cases(test, outcomes) for test in fault.tests]
    if any("failed" in case for case in found):
        return "**FAILED**"
    if survived(fault, outcomes):
        count = sum(len(case) for case in found)
        return f"survived, {count} case{'s' if count > 1 else ''}"
    return "not run" if not any(found) else "not all run"


def cases(test: str, outcomes: Outcomes) -> list[str]:
    return [str(o["outcome"]) for node, o in outcomes.items() if _CASE.sub("", node) == test]


def _passed(found: list[str]) -> bool:
    return bool(found) and set(found) == {"passed"}


def _names(fault: Fault) -> str:
    return ", ".join(f"`{test.rpartition('/')[2].replace('.py::', '::')}`" for test in fault.tests)


def _life(outcomes: Outcomes) -> str:
    table: dict[str, dict[str, str]] = {}
    columns: list[str] = []
    for node, outcome in outcomes.items():
        host = _host(node)
        for name, value in outcome.get("figures", {}).items() if host else ():
            columns += [name] if name not in columns else []
            table.setdefault(host, {})[name] = f"{value:g}"
    columns.sort(key=_order)
    head = "| host | " + " | ".join(columns) + " |\n|---" * 1
    lines = [head + "|---" * len(columns) + "|"]
    for host, row in sorted(table.items()):
        lines.append(f"| {host} | " + " | ".join(row.get(c, "") for c in columns) + " |")
    return "\n".join(lines) if table else "Not run."


def _order(column: str) -> int:
    wanted = ("install", "bringing", "start", "upgrade", "sabotaged", "rollback")
    return next((n for n, word in enumerate(wanted) if column.startswith(word)), len(wanted))


def _figures(outcomes: Outcomes) -> str:
    """Figures that belong to no host, summed over cases."""
    totals: dict[str, float] = {}
    for node, outcome in sorted(outcomes.items()):
        for name, value in outcome.get("figures", {}).items() if not _host(node) else ():
            totals[name] = totals.get(name, 0) + value
    return "\n".join(f"- {name}: {value:g}" for name, value in totals.items())


def _host(node: str) -> str:
    """The host of a test of the life; "" for other tests."""
    case = _CASE.search(node)
    return case[1] if case and "/test_chroots.py::" in node else ""
