"""Charts: each estimate is there with its interval, and names do not cover each other."""

import itertools
import re
from xml.etree import ElementTree

import pytest

from appliance.reports import charts
from appliance.reports.axes import plain
from appliance.reports.charts import ChartEstimate, Placed, Series
from tests.reports.example import LABELS, estimates


def texts(drawing: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(drawing).iter("text")]


def whiskers(drawing: str) -> list[tuple[float, float, float, float]]:
    found = ElementTree.fromstring(drawing).iter("line")
    return [
        (float(e.attrib["x1"]), float(e.attrib["y1"]), float(e.attrib["x2"]), float(e.attrib["y2"]))
        for e in found
        if e.attrib.get("class", "").startswith("whisker")
    ]


def test_a_row_has_its_name_its_value_and_a_whisker_around_the_dot() -> None:
    drawing = charts.intervals(
        "t", estimates(), axis_name="accuracy", reference=0.8, reference_name="ceiling"
    )
    assert {"logistic regression", "81.5 %", "ceiling", "accuracy"} <= set(texts(drawing))
    dots = [float(e.attrib["cx"]) for e in ElementTree.fromstring(drawing).iter("circle")]
    spans = whiskers(drawing)
    assert len(dots) == len(spans) == 4
    assert all(low < dot < high for dot, (low, _, high, _) in zip(dots, spans, strict=True))
    assert "logistic regression: 81.5 % [76 %, 86 %]" in drawing


def test_a_wider_interval_has_a_longer_whisker() -> None:
    rows = [ChartEstimate("few", 0.5, 0.2, 0.8), ChartEstimate("many", 0.5, 0.45, 0.55)]
    (few, many) = whiskers(charts.intervals("t", rows, axis_name="x"))
    assert few[2] - few[0] == pytest.approx(6 * (many[2] - many[0]), rel=0.01)


def test_names_of_equal_candidates_do_not_cover_each_other() -> None:
    rows = [Placed(10, ChartEstimate(f"candidate {n}", 0.5, 0.4, 0.6)) for n in range(5)]
    drawing = charts.quality_by_speed("t", rows, quality_name="accuracy")
    heights = re.findall(r'y="([\d.]+)" text-anchor="start">candidate', drawing)
    assert len(set(heights)) == 5
    assert min(abs(float(a) - float(b)) for a in heights for b in heights if a != b) >= 14


def test_names_lie_within_the_chart_and_on_no_dot() -> None:
    """Many that are equally bad: no name stands among the numbers of the axis."""
    rows = [Placed(10 + n, ChartEstimate(f"candidate {n}", 0.02 * n, 0, 0.4)) for n in range(8)]
    drawing = charts.quality_by_speed("t", [*rows, Placed(9e5, rows[0].quality)], quality_name="q")
    found = re.findall(r'x="([\d.]+)" y="([\d.]+)" text-anchor="start">candidate', drawing)
    places = [(float(x), float(y)) for x, y in found]
    assert len(places) >= 8 and all(20 < y < 328 for _, y in places)
    for dot in ElementTree.fromstring(drawing).iter("circle"):
        cx, cy = float(dot.attrib["cx"]), float(dot.attrib["cy"]) + 4
        assert not any(x < cx < x + 70 and abs(y - cy) < 10 for x, y in places)


def test_faster_lies_to_the_right_and_better_above() -> None:
    rows = [
        Placed(1, ChartEstimate("slow", 0.9, 0.8, 0.95)),
        Placed(100, ChartEstimate("fast", 0.5, 0.4, 0.6)),
    ]
    drawing = charts.quality_by_speed("t", rows, quality_name="accuracy")
    slow, fast = ElementTree.fromstring(drawing).iter("circle")
    assert float(slow.attrib["cx"]) < float(fast.attrib["cx"])
    assert float(slow.attrib["cy"]) < float(fast.attrib["cy"])


def test_a_confusion_matrix_shows_every_count_and_no_zero() -> None:
    counts = [[n * 5 + m for m in range(5)] for n in range(5)]
    shown = texts(charts.confusion("t", LABELS, counts))
    assert {str(n) for n in range(1, 25)} <= set(shown)
    assert "0" not in shown


def test_lines_differ_by_more_than_colour() -> None:
    rows = [Series(f"s{n}", ((0, 0), (1, n + 1))) for n in range(3)]
    drawing = charts.lines("t", rows, x_name="x", y_name="y", limit=0.5)
    assert set(re.findall(r"dash\d", drawing)) == {"dash0", "dash1", "dash2"}
    assert "reference" in drawing


def test_a_line_without_a_name_goes_with_the_one_before() -> None:
    rows = [Series(name, ((0, 0), (1, 1))) for name in ("risk", "limits", "")]
    drawing = charts.lines("t", rows, x_name="x", y_name="y")
    assert re.findall(r"<polyline[^>]*(dash\d)", drawing) == ["dash0", "dash1", "dash1"]
    assert len(re.findall(r"<line[^>]*(dash\d)", drawing)) == 2


def test_points_of_a_line_are_drawn_where_they_are_wanted_even_one_alone() -> None:
    rows = [Series("a", ((0, 1), (1, 2)), "muted"), Series("dev", ((1, 1.5),), dots=True)]
    drawing = charts.lines("t", rows, x_name="x", y_name="y", y_form=plain)
    (dot,) = ElementTree.fromstring(drawing).iter("circle")
    assert [element.text for element in dot.iter("title")] == ["dev 1: 1.5"]


def test_labels_of_rows_are_whole_even_if_they_take_several_lines() -> None:
    long = "J45 predominantly allergic asthma with a status asthmaticus " * 3
    rows = [ChartEstimate(long.strip(), 0.5, 0.4, 0.6), ChartEstimate("short", 0.5, 0.4, 0.6)]
    names = [long.strip(), "short"]
    for drawing in (
        charts.intervals("t", rows, axis_name="x"),
        charts.confusion("t", names, [[3, 1], [0, 2]]),
    ):
        shown = texts(drawing)
        assert long.strip() in " ".join(shown)
        (box,) = [ElementTree.fromstring(drawing).attrib["viewBox"]]
        tall = float(box.split()[3])
        found = ElementTree.fromstring(drawing).iter("text")
        assert all(0 < float(e.attrib["y"]) < tall for e in found)


def test_a_marked_point_is_on_the_line_and_named() -> None:
    rows = [Series("risk", ((0.2, 0.01), (0.69, 0.04), (1.0, 0.12)))]
    drawing = charts.lines("t", rows, x_name="x", y_name="y", mark=("certified", 0.69, 0.04))
    (dot,) = ElementTree.fromstring(drawing).iter("circle")
    line = re.search(r'<polyline points="([^"]+)"', drawing)
    assert line and f"{dot.attrib['cx']},{dot.attrib['cy']}" in line[1].split()
    assert "certified" in texts(drawing)


@pytest.mark.parametrize("at", range(0, 20, 3))
def test_the_name_of_a_marked_point_stands_on_no_line(at: int) -> None:
    """A stepped curve, such as that of risk, and its bound."""
    risk = tuple((n / 20, 0.04 * (n // 4) ** 0.5) for n in range(21))
    row, mark = Series("risk", risk), ("certified", *risk[at])
    drawing = charts.lines("t", [row], x_name="x", y_name="y", limit=0.05, mark=mark)
    found = re.search(r'x="([\d.]+)" y="([\d.]+)" text-anchor="start">certified', drawing)
    assert found
    left, base = map(float, found.groups())
    for points in re.findall(r'<polyline points="([^"]+)"', drawing):
        placed = [tuple(map(float, pair.split(","))) for pair in points.split()]
        for (ax, ay), (bx, by) in itertools.pairwise(placed):
            for part in (n / 50 for n in range(51)):
                x, y = ax + (bx - ax) * part, ay + (by - ay) * part
                assert not (left < x < left + 60 and base - 10 < y < base + 3), (left, base, x, y)


def test_names_of_candidates_are_whole() -> None:
    long = "smollm2-135m, ten solved examples, without the form"
    rows = [Placed(10**n, ChartEstimate(long, 0.5, 0.4, 0.6)) for n in range(4)]
    drawing = charts.quality_by_speed("t", rows, quality_name="accuracy")
    assert texts(drawing).count(long) == 4
    for x in re.findall(rf'x="([-\d.]+)"[^>]*>{long}', drawing):
        assert 0 < float(x) < 920 - 6 * len(long)


def test_the_slanted_names_of_a_matrix_lie_within_it_and_on_nothing() -> None:
    """Many columns: the last names run on to the right, the first stand beside the head."""
    labels = [f"label-{n:02}" for n in range(21)] + ["public-domain"]
    drawing = charts.confusion("t", labels, [[1] * 22] * 22)
    width = float(ElementTree.fromstring(drawing).attrib["viewBox"].split()[2])
    starts = re.findall(r"translate\(([\d.]+),([\d.]+)\) rotate\(-60\)", drawing)
    assert all(
        float(x) + 7.2 * len(n) / 2 <= width for (x, _), n in zip(starts, labels, strict=True)
    )
    head = re.search(r'y="([\d.]+)"[^>]*>expected', drawing)
    highest = min(float(y) - 0.87 * 7.2 * len(n) for (_, y), n in zip(starts, labels, strict=True))
    assert head and float(head[1]) < highest
