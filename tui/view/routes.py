"""The routes screen: each stage's share, the certificate, the effect of thresholds.

Rules: a bound comes with its confidence and its groups; a drawing of open items is called so, since
it promises nothing.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.text import percent
from appliance.wire.admin.results import CalibrationResult
from appliance.wire.admin.routes import ROUTE_TABLE, CalibrationCertificate, Route
from tui.chart import bar
from tui.columns import Column, cells, listed, table
from tui.text import Cell, alarm, cell, labelled, line, quiet, state
from tui.view.units import count, many

COLUMNS: Final = (
    listed(ROUTE_TABLE, "ID", 0, name="ROUTE", least=14, most=40),
    listed(ROUTE_TABLE, "STATE", 11),
    Column("FIRST STAGE", 16),
    Column("MAY BE WRONG", 12, right=True, drop=2),
    Column("ANSWERS", 9, right=True, drop=3),
    Column("BY IT", 6, right=True),
    Column("DEFERRED", 9, right=True, drop=1),
)
_DRAWN: Final = 20
_STAGES: Final = (
    Column("STAGE", 14),
    Column("KIND", 9, drop=1),
    Column("ANSWERED BY", 0, least=14, most=40),
    Column("ANSWERS", 9, right=True),
    Column("SHARE", 6, right=True),
    Column("", _DRAWN, drop=2),
)
_CURVE: Final = (
    Column("THRESHOLD", 9, right=True),
    Column("ANSWERED", 8, right=True),
    Column("0" + " " * (_DRAWN - 2) + "1", _DRAWN, drop=1),
    Column("ERROR", 7, right=True),
    Column("95 %", 16, drop=2),
)
_POINTS: Final = 10
"""Thresholds that are shown of a curve."""


def row(route: Route) -> Sequence[Cell]:
    """One route."""
    newest = route.certificates[0] if route.certificates else None
    answers = sum(stage.answers for stage in route.stages)
    asked = answers + route.deferred
    own: dict[str, Cell] = {
        "FIRST STAGE": "may answer" if route.certified else alarm(route.why or "defers"),
        "MAY BE WRONG": f"{100 * newest.alpha:.1f} %" if newest and route.certified else "-",
        "ANSWERS": count(answers),
        "BY IT": _share(route.stages[0].answers, asked) if route.stages else "-",
        "DEFERRED": count(route.deferred),
    }
    return cells(COLUMNS, route, own)


def summary(found: Sequence[Route], shown: int) -> Content:
    """Write the counts."""
    certified = sum(route.certified for route in found)
    told = f"{many(len(found), 'route')}, {count(certified)} certified"
    return line(told, quiet(f"{count(shown)} shown" if shown != len(found) else ""))


def detail(
    route: Route, result: CalibrationResult | None, width: int, *, ascii_only: bool
) -> list[Content]:
    """The route under the cursor, and the result of its newest calibration, if any."""
    said: list[Content] = []
    if not route.certified:
        why = f"{route.why}: everything goes past the first stage"
        said += labelled("certificate", alarm(why), width, 12)
    for certificate in route.certificates[:1]:
        said += _certificate(certificate, width)
    asked = sum(stage.answers for stage in route.stages) + route.deferred
    rows = [
        (
            stage.name,
            stage.kind,
            stage.task or "a person",
            count(stage.answers),
            _share(stage.answers, asked),
            bar(stage.answers, asked, _DRAWN, ascii_only=ascii_only),
        )
        for stage in route.stages
    ]
    said += [Content(""), *table(_STAGES, rows, width)]
    return said + _curve(result, width, ascii_only=ascii_only)


def _certificate(found: CalibrationCertificate, width: int) -> list[Content]:
    if found.verdict != "certified":
        missing = (found.groups_needed or 0) - found.groups
        needed = f", about {many(missing, 'more group')}" if missing > 0 else ""
        told = line(state("not certifiable"), f"{found.reason}{needed}")
        return labelled("calibration", told, width, 12)
    promise = (
        f"at most {percent(found.alpha)} of its answers are wrong, "
        f"with {percent(1 - found.delta)} confidence"
    )
    said = labelled("certificate", promise, width, 12)
    if found.suspended:
        said += labelled("suspended", alarm(found.suspended), width, 12)
    facts = line(
        f"{percent(found.coverage)} of {found.weight}",
        quiet(f"n = {many(found.groups, 'group')}"),
        quiet(f"until {found.valid_until[:10]}"),
        quiet(f"by {found.person}"),
        quiet(found.identity),
    )
    return said + labelled("", facts, width, 12)


def _curve(result: CalibrationResult | None, width: int, *, ascii_only: bool) -> list[Content]:
    """Error and coverage of the first stage at some thresholds, on open items."""
    points = [] if result is None else result.curve
    if not points:
        return []
    step = max(1, -(-len(points) // _POINTS))
    rows = [
        (
            f"{threshold / 1_000_000:.3f}",
            f"{100 * coverage:.0f} %",
            bar(coverage, 1.0, _DRAWN, ascii_only=ascii_only),
            f"{100 * error:.1f} %",
            f"{100 * low:.1f} to {100 * high:.1f} %",
        )
        for threshold, coverage, error, low, high in points[::step]
    ]
    head = quiet("What if: on open items, which promise nothing")
    return [Content(""), cell(head), *table(_CURVE, rows, width)]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"
