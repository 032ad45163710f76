"""The page of a task's weeks: whether and what changed, and what cannot be seen."""

from collections.abc import Mapping, Sequence
from typing import Final

from appliance.advisor.blocks import WeekBlock, named, table
from appliance.advisor.drift import BLIND, PROMISE, Doubled, Watch, WindowFinding, doubled
from appliance.reports import charts
from appliance.reports.axes import plain
from appliance.reports.charts import Series
from appliance.reports.page import Fact, Figure, ReportPage, ReportTable, Section, Tone
from appliance.text import percent

_LOOKS: Final = 8
"""Weeks whose looks are listed."""
_TONES: Final[Mapping[str, Tone]] = {"alarm": "bad", "quiet": "good", "learning": "muted"}


def page(watch: Watch, advice: Sequence[str], when: str) -> ReportPage:
    """The page of a watch."""
    sections = [Section("Next steps", tuple(advice))] if advice else []
    if watch.findings:
        sections.append(_looks(watch.findings[-2 * _LOOKS :]))
    if watch.blocks:
        sections.append(_weeks(watch.blocks))
    if power := doubled(watch.blocks):
        sections.append(_power(power, watch.blocks))
    sections += [Section("Promise", (PROMISE,)), Section("Not found", BLIND)]
    return ReportPage(
        title=f"Drift of {watch.task}",
        answer=watch.sentence(),
        tone=_TONES[watch.state],
        facts=_facts(watch),
        figure=_figure(watch),
        sections=tuple(sections),
        made_of=tuple((f"week {b.week}", f"{b.requests} requests") for b in watch.blocks[-_LOOKS:]),
        when=when,
    )


def _facts(watch: Watch) -> tuple[Fact, ...]:
    found = [Fact("weeks", str(len(watch.blocks)), "with at least 20 requests each")]
    if watch.blocks:
        found.append(Fact("requests", f"{watch.blocks[-1].requests:,}", "in the last week"))
        found.append(Fact("statistics", str(len(table(watch.blocks)[0])), "in every week"))
    if watch.alarm is not None:
        note = f"of at most {percent(watch.alarm.level)}"
        found.append(Fact("rank", f"{100 * watch.alarm.rank:.3g} %", note))
    return tuple(found)


def _figure(watch: Watch) -> Figure | None:
    found = watch.alarm or max(watch.findings, key=lambda each: each.size, default=None)
    if found is None or len(watch.blocks) < 2:
        return None
    points = tuple(
        (float(number), block.values[found.statistic])
        for number, block in enumerate(watch.blocks, 1)
        if found.statistic in block.values
    )
    name = named(found.statistic)
    drawn = charts.lines(
        name, [Series(name, points)], x_name="week", y_name="", x_form=plain, y_form=plain
    )
    return Figure(drawn, "The statistic that differs most, week by week.")


def _looks(findings: Sequence[WindowFinding]) -> Section:
    rows = tuple(
        (
            str(each.week),
            f"last {each.window}",
            named(each.statistic),
            f"{each.size:.2f}",
            f"{100 * each.rank:.3g} %",
            f"{100 * each.level:.3g} %",
            "alarm" if each.alarm else "quiet",
        )
        for each in reversed(findings)
    )
    columns = ("week", "weeks", "differs most", ">by", ">rank", ">alarm at", "")
    return Section(
        "Looks",
        (
            "Rank: the share of all sets of so many weeks that differ at least as much. Nothing "
            "but whole weeks is compared, because the days of a week go together.",
        ),
        (ReportTable(columns, rows),),
    )


def _power(found: Sequence[Doubled], blocks: Sequence[WeekBlock]) -> Section:
    requests = sum(block.requests for block in blocks) / len(blocks)
    rows = tuple(
        (
            named(each.answer),
            percent(each.share),
            "no number" if each.needed is None else f"{each.needed:,}",
        )
        for each in found
    )
    enough = sum(each.needed is not None and each.needed <= requests for each in found)
    return Section(
        "Changes that so many requests can find",
        (
            f"This task has {plain(requests)} requests a week: a doubled share is found within "
            f"three weeks for {enough} of {len(found)} common answers. Fewer requests find "
            "only a collapse.",
        ),
        (ReportTable(("answer", ">share now", ">requests a week that find twice of it"), rows),),
    )


def _weeks(blocks: Sequence[WeekBlock]) -> Section:
    last, before = blocks[-1], blocks[:-1]
    rows = []
    for name, value in last.values.items():
        others = [block.values[name] for block in before if name in block.values]
        span = f"{plain(min(others))} to {plain(max(others))}" if others else "-"
        rows.append((named(name), plain(value), span))
    table_ = ReportTable(("statistic", ">last week", ">weeks before"), tuple(rows))
    return Section("The last week", (), (table_,))
