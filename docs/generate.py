"""Writes docs/errors.md and docs/config.md, and tables of other documents: `DOCUMENTS`.

Rules: nothing is said here that the source does not say; `tests/test_docs.py` fails while a file
differs from what this makes. Run `.venv/bin/python docs/generate.py` after changing
`appliance/errors.py`, `appliance/api/errors.py`, `appliance/config.py`,
`appliance/wire/openai/fields.py`, `appliance/incidents/rules.py`, `appliance/tasks/metrics.py`,
`appliance/retrieval/formats/`, `appliance/upstream_kinds.py` or its `FEATURES`,
`appliance/audit/entry.py`, `appliance/audit/verification/findings.py`,
`appliance/tuning/settings.py`,
`installer/host/problems.py`, `installer/host/answers.py`, an endpoint, or the docstring of a
package or of a route.
"""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

import appliance.api.anthropic
import appliance.api.mcp
import appliance.api.openai
import appliance.wire.admin
from appliance import config
from appliance.api.errors import RETRY_AFTER, STATUS_BY_CODE
from appliance.audit.entry import KINDS as ENTRIES
from appliance.audit.entry import NOTES
from appliance.audit.verification.findings import MEANINGS
from appliance.errors import CODES
from appliance.incidents import prometheus
from appliance.incidents.rules import RULES
from appliance.retrieval.formats import formats
from appliance.routing.upstreams.kinds import FEATURES
from appliance.tasks.metrics import METRICS
from appliance.tuning.settings import TuneSettings
from appliance.types import Role
from appliance.upstream_kinds import KINDS
from appliance.wire.admin.endpoint import Endpoint
from appliance.wire.openai.fields import TABLE, FieldGroup
from installer.host import problems
from installer.host.answers import Answers
from tests.contract import seen

DOCS = Path(__file__).parent
_BEGIN = "<!-- fields: made by docs/generate.py from appliance/wire/openai/fields.py -->\n"
_END = "<!-- end of fields -->\n"
_ALARMS_BEGIN = "<!-- alarms: made by docs/generate.py from appliance/incidents/rules.py -->\n"
_ALARMS_END = "<!-- end of alarms -->\n"
_KINDS_BEGIN = "<!-- kinds: made by docs/generate.py from appliance/routing/upstreams -->\n"
_KINDS_END = "<!-- end of kinds -->\n"
_FORMATS_BEGIN = "<!-- formats: made by docs/generate.py from appliance/retrieval/formats/ -->\n"
_FORMATS_END = "<!-- end of formats -->\n"
_METRICS_BEGIN = "<!-- metrics: made by docs/generate.py from appliance/tasks/metrics.py -->\n"
_METRICS_END = "<!-- end of metrics -->\n"
_ROLES_BEGIN = "<!-- roles: made by docs/generate.py from appliance/wire/admin -->\n"
_ROLES_END = "<!-- end of roles -->\n"
_ANSWERS_BEGIN = "<!-- answers: made by docs/generate.py from installer/host/answers.py -->\n"
_ANSWERS_END = "<!-- end of answers -->\n"
_ROUTES_BEGIN = "<!-- routes: made by docs/generate.py from appliance/api -->\n"
_ROUTES_END = "<!-- end of routes -->\n"
_FINDINGS_BEGIN = (
    "<!-- findings: made by docs/generate.py from appliance/audit/verification/findings.py -->\n"
)
_FINDINGS_END = "<!-- end of findings -->\n"
_ENTRIES_BEGIN = "<!-- kinds: made by docs/generate.py from appliance/audit/entry.py -->\n"
_SETTINGS_BEGIN = "<!-- settings: made by docs/generate.py from appliance/tuning/settings.py -->\n"
_SETTINGS_END = "<!-- end of settings -->\n"
_MESSAGES_BEGIN = "<!-- messages: made by docs/generate.py from installer/host/problems.py -->\n"
_MESSAGES_END = "<!-- end of messages -->\n"
_PACKAGES_BEGIN = "<!-- packages: made by docs/generate.py from the docstrings -->\n"
_PACKAGES_END = "<!-- end of packages -->\n"
_KEY_HEAD = ("| key | default | range | |", "|---|---|---|---|")
_NOTE = "<!-- Made by docs/generate.py; change the source, not this file. -->"


def errors_document() -> str:
    """docs/errors.md: every stable code, those of the LAN API with their HTTP status first."""
    lines = [
        "# Error codes",
        "",
        _NOTE,
        "",
        "A code never changes its meaning. Over HTTP every error is",
        '`{"error": {"message", "type", "param", "code"}}`; commands with `--json` print `code`,',
        "`message` and `hint`. *Malformed*: damaged, or written by another program. An *invalid*",
        "signature: the content was changed, or another key signed it.",
        "",
        "## Answers of the LAN API",
        "",
        "By status: code, meaning, what to do, and the seconds of Retry-After.",
    ]
    for status in sorted({*STATUS_BY_CODE.values()}):
        lines += ["", f"### {status}", "", "| | | | |", "|---|---|---|---|"]
        for code in sorted(c for c, its in STATUS_BY_CODE.items() if its == status):
            lines.append(_row([f"`{code}`", *CODES[code], str(RETRY_AFTER.get(code, ""))]))
    lines += ["", "## Commands and the admin socket", ""]
    lines += ["| code | meaning | what to do |", "|---|---|---|"]
    for code, (meaning, hint) in sorted(CODES.items()):
        if code not in STATUS_BY_CODE:
            lines.append(_row([f"`{code}`", meaning, hint]))
    return "\n".join(lines) + "\n"


def config_document() -> str:
    """docs/config.md: every key of appliance.toml with its default, range and meaning."""
    lines = [
        "# appliance.toml",
        "",
        _NOTE,
        "",
        "One file in the data directory, from which relative paths are taken. An unknown key is",
        "refused and the nearest known one is named. From the environment only `APPLIANCE_DATA` is",
        "read: the data directory, when `--data` does not name it.",
        "",
        "## Keys of several tables",
        "",
        *_KEY_HEAD,
    ]
    count = Counter(_key_row(item) for table in _sections() for item in dataclasses.fields(table))
    shared = {row for row, times in count.items() if times > 3}
    lines += sorted(shared)
    for section in _sections():
        title, _, rest = (inspect.getdoc(section) or "").partition("\n")
        lines += ["", f"## {title.rstrip('.')}", ""]
        if rest.strip():
            lines += [rest.strip(), ""]
        rows = {item.name: _key_row(item) for item in dataclasses.fields(section)}
        if common := [f"`{name}`" for name, row in rows.items() if row in shared]:
            lines += [f"And {', '.join(common)}: [above](#keys-of-several-tables).", ""]
        lines += [*_KEY_HEAD, *(row for row in rows.values() if row not in shared)]
    return "\n".join(lines) + "\n"


def _key_row(item: dataclasses.Field[Any]) -> str:
    cells = [f"`{item.name}`", f"`{_toml(item.default)}`", _range(item.metadata)]
    return _row([*cells, item.metadata["doc"]])


def api_document() -> str:
    """docs/api.md, with the tables of routes and of fields that are not honoured made new."""
    made = ["", "| route | method | |", "|---|---|---|", *_routes(), ""]
    page = _between((DOCS / "api.md").read_text(encoding="utf-8"), _ROUTES_BEGIN, made, _ROUTES_END)
    lines = ["", "| refused | on | because |", "|---|---|---|"]
    lines += [_field_row(row) for row in TABLE if row.defaults is not None]
    lines += ["", "These change no answer, and are taken:", ""]
    lines += ["| harmless | on | because |", "|---|---|---|"]
    lines += [_field_row(row) for row in TABLE if row.defaults is None]
    return _between(page, _BEGIN, lines, _END)


def _routes() -> Iterator[str]:
    """A row for each route and method, with the first line of its docstring."""
    for package in (appliance.api.openai, appliance.api.anthropic, appliance.api.mcp):
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            router = vars(module).get("router")
            for route in router.routes if isinstance(router, APIRouter) else ():
                if isinstance(route, APIRoute):
                    path = re.sub(r"\{request_id\}", "{request-id}", route.path)
                    path = re.sub(r"\{\w*_id(:path)?\}|resp_\{name\}", "{id}", path)
                    said = (route.endpoint.__doc__ or "").partition("\n")[0].rstrip(".")
                    yield _row([f"`{path}`", ", ".join(sorted(route.methods or ())), said])


def scaling_document() -> str:
    """docs/scaling-guide.md, with the table of what each kind of engine does made new."""
    lines = ["", _row(["", *KINDS]), "|---" * (len(KINDS) + 1) + "|"]
    for feature in FEATURES:
        cells = ["yes" if feature.done(kind) else "" for kind in KINDS.values()]
        lines.append(_row([feature.about, *cells]))
    return _between("scaling-guide.md", _KINDS_BEGIN, [*lines, ""], _KINDS_END)


def tasks_document() -> str:
    """docs/tasks.md, with the table of metrics made new."""
    lines = ["", "| metric | of | an answer scores | share of |", "|---|---|---|---|"]
    for each in METRICS.values():
        lines.append(_row([f"`{each.name}`", ", ".join(each.forms), each.about, each.unit]))
    return _between("tasks.md", _METRICS_BEGIN, [*lines, ""], _METRICS_END)


def collections_document() -> str:
    """docs/collections.md, with the table of formats made new."""
    lines = ["", "| format | endings |", "|---|---|"]
    for each in formats().values():
        lines.append(_row([each.title, ", ".join(f"`{ending}`" for ending in each.endings)]))
    return _between("collections.md", _FORMATS_BEGIN, [*lines, ""], _FORMATS_END)


def _between(page: str, begin: str, lines: list[str], end: str) -> str:
    """A document, by its name or as its text, with other lines between two marks."""
    text = page if "\n" in page else (DOCS / page).read_text(encoding="utf-8")
    before, rest = text.split(begin)
    return before + begin + "\n".join(lines) + "\n" + end + rest.split(end)[1]


def operator_document() -> str:
    """docs/operator-guide.md, with the table of alarms made new."""
    lines = ["", "| code | what is wrong | alarm after | next step |", "|---|---|---|---|"]
    for level in ("critical", "warning"):
        for rule in RULES:
            if rule.level == level:
                code = f"**`{rule.code}`**" if level == "critical" else f"`{rule.code}`"
                lines.append(
                    _row([code, rule.means, rule.after, rule.next.replace("{subject}", "ID")])
                )
    return _between("operator-guide.md", _ALARMS_BEGIN, [*lines, ""], _ALARMS_END)


def admin_document() -> str:
    """docs/admin-guide.md, with the table of what each role may do made new."""
    does: dict[Role, list[str]] = {role: [] for role in Role if role is not Role.VIEWER}
    for info in pkgutil.iter_modules(appliance.wire.admin.__path__):
        for name, at in vars(importlib.import_module(f"appliance.wire.admin.{info.name}")).items():
            if isinstance(at, Endpoint) and at.role in does:
                does[at.role].append(name.lower().replace("_", " "))
    rows = [_row([f"`{role}`", ", ".join(sorted(names))]) for role, names in does.items()]
    lines = ["", "| role | may, in addition to those above |", "|---|---|"]
    lines += [_row([f"`{Role.VIEWER}`", "look"]), *rows, ""]
    return _between("admin-guide.md", _ROLES_BEGIN, lines, _ROLES_END)


def install_document() -> str:
    """docs/install-guide.md, with the tables of answers and of messages made new."""
    made = ["", "| key | default | means |", "|---|---|---|"]
    for key in dataclasses.fields(Answers):
        default = key.metadata["place"] or key.default
        shown = f"`{_toml(default)}`" if default != "" else ""
        made.append(_row([f"`{key.name}`", shown, key.metadata["doc"]]))
    page = _between("install-guide.md", _ANSWERS_BEGIN, [*made, ""], _ANSWERS_END)
    lines = ["", "| code | do |", "|---|---|"]
    lines += [_row([f"`{code}`", hint]) for code, hint in problems.CODES.items()]
    return _between(page, _MESSAGES_BEGIN, [*lines, ""], _MESSAGES_END)


def audit_document() -> str:
    """docs/audit-format.md, with the tables of entries and of findings made new."""
    kinds = ["", "| kind | fields that it must have | notes |", "|---|---|---|"]
    for kind, fields in ENTRIES.items():
        kinds.append(_row([f"`{kind}`", ", ".join(f"`{name}`" for name in fields), NOTES[kind]]))
    page = _between("audit-format.md", _ENTRIES_BEGIN, [*kinds, ""], _KINDS_END)
    lines = ["", "| code | meaning |", "|---|---|"]
    lines += [_row([f"`{code}`", meaning]) for code, meaning in MEANINGS.items()]
    return _between(page, _FINDINGS_BEGIN, [*lines, ""], _FINDINGS_END)


def tuning_document() -> str:
    """docs/tuning-guide.md, with the table of settings made new, from their docstring."""
    said = " ".join((TuneSettings.__doc__ or "").split()).partition("Attributes:")[2]
    names = "|".join(TuneSettings.__struct_fields__)
    found = dict(re.findall(rf"\b({names}): (.*?)\.(?= (?:{names}): |$)", said.strip()))
    default = TuneSettings()
    lines = ["", "| setting | default | |", "|---|---|---|"]
    for name in TuneSettings.__struct_fields__:
        lines.append(_row([f"`{name}`", f"`{_toml(getattr(default, name))}`", found[name]]))
    return _between("tuning-guide.md", _SETTINGS_BEGIN, [*lines, ""], _SETTINGS_END)


def structures_document() -> str:
    """docs/structures.md, with the line of each package and top module made new."""
    root = DOCS.parent
    modules = [p for p in sorted((root / "appliance").glob("*.py")) if p.stem != "__init__"]
    lines = [_bullet(root / "appliance/__init__.py"), *("  " + _bullet(path) for path in modules)]
    for top in ("appliance", "auditor", "installer", "tui"):
        packages = sorted((root / top).rglob("__init__.py"))
        lines += map(_bullet, packages[1:] if top == "appliance" else packages)
    return _between("structures.md", _PACKAGES_BEGIN, lines, _PACKAGES_END)


def _bullet(path: Path) -> str:
    """A package or module with the first sentence of its docstring."""
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not said:
        raise ValueError(f"{path} says nothing of itself")
    name = path.relative_to(DOCS.parent).as_posix().removesuffix("__init__.py")
    return f"- `{name}`: " + " ".join(said.partition("\n\n")[0].split())


def _field_row(row: FieldGroup) -> str:
    names = ", ".join(f"`{name}`" for name in row.names)
    return _row([names, ", ".join(row.routes), row.reason])


def _sections() -> Iterator[type[Any]]:
    """The dataclasses of tables, in the order of the source; each names its table first."""
    classes = (c for c in vars(config).values() if isinstance(c, type))
    tables = filter(dataclasses.is_dataclass, classes)
    for section in sorted(tables, key=lambda c: inspect.getsourcelines(c)[1]):
        if (inspect.getdoc(section) or "").startswith("`["):
            yield section


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _range(rule: Any) -> str:
    if rule["choices"]:
        return ", ".join(f"`{choice}`" for choice in rule["choices"])
    return "" if rule["low"] is None else f"{rule['low']}…{rule['high']}"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def interop_document() -> str:
    """docs/interop.md: the clients that the contract tests saw."""
    lines = [
        "# Clients",
        "",
        _NOTE,
        "",
        "Unmodified clients, as the contract tests saw them with SmolLM2, and †",
        f"with {' and '.join(seen.models())}. Each item is a test that passed.",
        "`make test-contract RECORD=1` runs them again.",
        "",
        "| clients | works | is refused, in the client's own way |",
        "|---|---|---|",
        *(_row(list(cells)) for cells in seen.table()),
    ]
    return "\n".join(lines) + "\n"


DOCUMENTS = {
    "interop.md": interop_document,
    "errors.md": errors_document,
    "config.md": config_document,
    "api.md": api_document,
    "operator-guide.md": operator_document,
    "scaling-guide.md": scaling_document,
    "collections.md": collections_document,
    "tasks.md": tasks_document,
    "admin-guide.md": admin_document,
    "install-guide.md": install_document,
    "audit-format.md": audit_document,
    "tuning-guide.md": tuning_document,
    "structures.md": structures_document,
    "../appliance/incidents/monitoring/appliance.rules.yml": prometheus.rules_file,
    "../appliance/incidents/monitoring/appliance.dashboard.json": prometheus.dashboard,
}

if __name__ == "__main__":
    for name, make in DOCUMENTS.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
