"""The page of a route's calibration: the verdict first, then risk against coverage. Pure.

Rules: the curve is that of open items; shares of the sealed split are told to the point, and no
item of it is shown.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.reports import charts
from appliance.reports.charts import Series
from appliance.reports.page import Fact, Figure, ReportPage, ReportTable, Section
from appliance.routing.certifying import Origin, SealedVerdict
from appliance.routing.confidence import COMPANY, TOKENS
from appliance.text import between, many, percent
from appliance.trust.statements.route import RouteSpecification
from appliance.wire.admin.results import CalibrationResult

_HELP: Mapping[str, str] = {
    "underpowered": "Collect more independent groups, of even sizes where answers count alike, or "
    "allow a larger error.",
    "labels disagree": "Let two people label the same items and settle what they mean; no stage "
    "can be more often right than the labels are.",
    "too many errors": "Improve the first stage, by more training items or a better model, or "
    "allow a larger error.",
    "unstable over time": "Fit the first stage again on newer items, calibrate on a whole cycle of "
    "the year or longer, or allow a larger error; a shorter life of the certificate does not help.",
    "worse than the larger stage": "Improve the first stage, or allow a larger margin.",
}


@dataclass(frozen=True)
class RoutePageFacts:
    """Data of a page.

    Attributes:
        deltas: of this appliance's certificates of routes of the last year, in millionths.
    """

    wanted: RouteSpecification
    result: CalibrationResult
    when: str
    made_of: Mapping[str, str]
    deltas: tuple[int, ...] = ()
    origins: tuple[Origin, ...] = ()


def figures(verdict: SealedVerdict, weight: str = "groups") -> str:
    """A verdict's figures, as a clause."""
    if verdict.certified:
        return (
            f"{percent(verdict.coverage)} of the {weight} are accepted at confidence "
            f"{(verdict.threshold or 0) / 1e6:.3f}"
        )
    if verdict.reason == "unstable over time":
        return "; ".join(_origin(origin) for origin in verdict.origins)
    if verdict.difference is not None and verdict.reason == "worse than the larger stage":
        value, low, _ = verdict.difference
        return f"the route is {100 * value:+.0f} points, at the least {100 * low:+.0f}"
    return f"the upper limit of the accepted error is {percent(verdict.limit)} at its most cautious"


def sentence(reason: str, figures: str, groups: int, more: str, error: float = 0.0) -> str:
    """The verdict in words.

    Args:
        more: how many groups are missing; "" where no number is known to help.
        error: certified largest share of wrong answers among the accepted ones.
    """
    if not reason:
        bound = f"at most {percent(error)} of accepted answers are wrong"
        return f"Certified: {bound}; {figures}; {many(groups, 'group')}."
    return f"Not certifiable, {reason}: {figures}; {many(groups, 'group')}. {more}".rstrip()


def page(told: RoutePageFacts) -> ReportPage:
    """The page."""
    wanted, result = told.wanted, told.result
    certified = result.verdict == "certified"
    avoided = result.avoided
    return ReportPage(
        title=f"Route {wanted.route} on {wanted.dataset}, {wanted.split}",
        answer=result.answer,
        tone="good" if certified else "no",
        facts=(
            Fact("verdict", "certified" if certified else "not certifiable", result.reason),
            Fact(
                "accepted",
                percent(result.coverage),
                f"of the {result.weight}, by the first stage",
            ),
            Fact(
                "certified error" if certified else "allowed error",
                f"at most {percent(result.alpha)}",
                f"with {percent(1 - result.delta)} confidence",
            ),
            Fact("groups", str(result.groups), "one item of each was drawn and counts"),
            Fact(
                "seconds avoided",
                percent(avoided[0]) if avoided else "-",
                between(avoided[1], avoided[2]) if avoided else "no larger stage is asked",
            ),
            Fact("certificate", (result.certificate or "none")[:16]),
        ),
        figure=_curve(result),
        sections=tuple(
            filter(
                None,
                (
                    _help(result),
                    _promise(result),
                    _time(told.origins),
                    _ablation(result),
                    _terms(told),
                ),
            )
        ),
        made_of=tuple(told.made_of.items()),
        when=told.when,
    )


def _curve(result: CalibrationResult) -> Figure | None:
    if len(result.curve) < 2:
        return None
    names = (("accepted error", 2, "accent"), ("95 % limits", 3, "muted"), ("", 4, "muted"))
    rows = [
        Series(name, tuple((point[1], point[at]) for point in result.curve), kind)
        for name, at, kind in names
    ]
    drawing = charts.lines(
        "accepted error against coverage",
        rows,
        x_name="share that the first stage answers",
        y_name="errors among them",
        x_form=percent,
        limit=result.alpha,
        mark=_certified(result),
    )
    caption = (
        f"Open items, each threshold a point; {result.weight} count alike. The dashed line is "
        "the allowed error. The certificate was decided on sealed groups, once."
    )
    return Figure(drawing, caption)


def _certified(result: CalibrationResult) -> tuple[str, float, float] | None:
    threshold = result.threshold
    if threshold is None or result.verdict != "certified":
        return None
    at = min(result.curve, key=lambda point: abs(point[0] / 1e6 - threshold))
    return f"certified: confidence {threshold:.3f}", at[1], at[2]


def _help(result: CalibrationResult) -> Section | None:
    text = _HELP.get(result.reason)
    return None if text is None else Section("Remedy", (text,))


def _promise(result: CalibrationResult) -> Section | None:
    if result.verdict != "certified":
        return None
    whom = "groups like the sealed ones, each counting once,"
    if result.weight == "answers":
        whom = "groups like the sealed ones, of sizes like theirs,"
    said = [
        f"By the labels of this dataset, and for {whom} as far as they reach the first stage, at "
        f"most {percent(result.alpha)} of the answers that it gives are wrong: with "
        f"{percent(1 - result.delta)} confidence.",
        _weights(result),
        "The past was tested and nothing forecasts: the monitor and drift watch what comes. Not "
        "replayed: requests that the stage's time limit or its share of requests at once sends "
        "further, and repeats that the dataset left out when it was sealed.",
    ]
    if result.company:
        said.append(
            "Other requests in the engine's batch move how sure its model is. Room is left for "
            f"that: each item counts as it does worst where log-odds move by up to {COMPANY:g}, "
            f"and the margin between two tokens by up to {TOKENS:g}."
        )
    if result.unclaimed:
        names = ", ".join(result.unclaimed)
        said.append(
            f"Nothing is promised to the keys {names}: a rule looks at them and at something else, "
            "and the first stage does not answer them."
        )
    return Section("Promise", tuple(said))


def _weights(result: CalibrationResult) -> str:
    said = "Groups count alike, however many requests each sends."
    if result.weight == "answers":
        said = (
            "Answers count alike, so that a group weighs what its items in the dataset do: as "
            f"{result.effective} groups of one size."
        )
    if not result.group_from:
        return f"{said} The route does not say whose a request is: nobody compares these weights."
    return f"{said} The monitor tells how far those of the requests are from them."


def _time(origins: Sequence[Origin]) -> Section | None:
    if not origins:
        return None
    rows = tuple(
        (
            str(o.until),
            str(o.groups),
            "none" if o.threshold is None else f"{o.threshold / 1e6:.3f}",
            "-" if o.share is None else percent(o.share),
            percent(o.limit),
            f"{o.wrong} of {o.accepted}" if o.accepted else "-",
        )
        for o in origins
    )
    columns = ("until", ">groups", ">threshold", ">error", ">limit", ">wrong in the time after")
    said = (
        "The bounds that the same calibration would have certified at earlier times, and how they "
        "held in the time after. A bound that could not be certified before, or did not hold, is "
        "not promised."
    )
    return Section("Over time", (said,), (ReportTable(columns, rows),))


def _ablation(result: CalibrationResult) -> Section | None:
    if not result.ablation:
        return None
    ordered = sorted(result.ablation.items(), key=lambda pair: pair[1])
    rows = tuple((name, f"{area:.4f}") for name, area in ordered)
    said = (
        "The mean error along the curve, on open items that the function was not fitted to: "
        "smaller is better, and the smallest is used."
    )
    return Section("Parts of the confidence", (said,), (ReportTable(("features", ">area"), rows),))


def _terms(told: RoutePageFacts) -> Section:
    wanted, result = told.wanted, told.result
    difference = result.difference
    rows = [
        ("signed by", f"{wanted.name}, {wanted.time}"),
        ("allowed error", f"{wanted.error_micros / 1e6:g}"),
        ("delta over all looks", f"{wanted.delta_micros / 1e6:g}, {_shares(wanted)}"),
        ("margin to the second stage", f"{wanted.margin_micros / 1e6:g}"),
        ("what counts alike", result.weight),
        ("items", f"at most one of each group, seed {wanted.seed}"),
        ("contradicting labels of repeated texts", percent(result.noise)),
        ("doubtful items go to", str(result.doubtful or "-")),
    ]
    if result.reach is not None:
        rows.append(("groups that the rules leave to the first stage", percent(result.reach)))
    if difference:
        low, high = (f"{100 * value:+.0f}" for value in difference[1:])
        rows.append(("route minus second stage, points", f"{low} to {high}, by Tango's interval"))
    said = ["A person signed these terms before the items were opened."]
    if told.deltas:
        each = sorted(Counter(told.deltas).items())
        at = ", ".join(f"{many} at delta {delta / 1e6:g}" for delta, many in each)
        said.append(
            f"Certificates of routes that are kept here of the last 365 days: {len(told.deltas)} "
            f"({at}). By the delta of each, {sum(told.deltas) / 1e6:g} of them may be false."
        )
    return Section("Terms", tuple(said), (ReportTable(("term", "value"), tuple(rows)),))


def _shares(wanted: RouteSpecification) -> str:
    if not wanted.schedule:
        return f"each look 1 / {wanted.looks}"
    return "the looks " + ", ".join(f"{share / 1e6:g}" for share in wanted.schedule)


def _origin(origin: Origin) -> str:
    if origin.threshold is None:
        share = "too few answers" if origin.share is None else f"{percent(origin.share)} errors"
        return (
            f"until {origin.until} nothing could be certified ({share} at the most cautious, "
            f"upper limit {percent(origin.limit)})"
        )
    return (
        f"certified until {origin.until}, then {origin.wrong} of {origin.accepted} "
        "accepted answers were wrong"
    )
