"""A report with one of everything, on made-up figures."""

from appliance.reports import charts
from appliance.reports.charts import ChartEstimate, Placed, Series
from appliance.reports.page import Fact, Figure, ReportPage, ReportTable, Section

LABELS = ("hydraulics", "engine", "electrical", "a label of quite some length", "cab")
HOSTILE = '<script>alert(1)</script>\u202eevil\x1b[31m & "quoted"'


def estimates() -> list[ChartEstimate]:
    return [
        ChartEstimate("tuned SmolLM2-135M", 0.9, 0.85, 0.93, "good"),
        ChartEstimate("logistic regression", 0.815, 0.76, 0.86),
        ChartEstimate("Qwen2.5-Coder 1.5B, 20 shots", 0.55, 0.48, 0.62),
        ChartEstimate("majority", 0.169, 0.14, 0.2, "muted"),
    ]


def page() -> ReportPage:
    placed = [
        Placed(speed, row) for speed, row in zip((14, 900, 2.03, 5000), estimates(), strict=True)
    ]
    matrix = [[9, 0, 1, 0, 0], [1, 7, 0, 0, 2], [0, 0, 5, 0, 0], [0, 0, 0, 12, 0], [3, 0, 0, 1, 4]]
    risk = Series("risk", tuple((n / 20, 0.19 * (n / 20) ** 3.9) for n in range(1, 21)), "accent")
    upper = Series("upper limit", tuple((x, y + 0.03) for x, y in risk.points), "muted")
    return ReportPage(
        title="Excavator work orders: which candidate should serve?",
        answer="A classifier is enough. The tuned model is better by 8.5 points and costs 64 times "
        "the time; the interval excludes no difference.",
        tone="good",
        facts=(
            Fact("accuracy", "90 %", "85 to 93 %, 95 % interval"),
            Fact("groups", "481", "independent layouts"),
            Fact("documents per second", "14.2", "on this host"),
        ),
        figure=Figure(
            charts.quality_by_speed("Quality and speed", placed, quality_name="accuracy"),
            "Right is faster, up is better. A whisker is a 95 % interval over groups.",
        ),
        sections=(
            Section(
                "Candidates",
                ("Each candidate answered the same items.", HOSTILE),
                (
                    Figure(
                        charts.intervals(
                            "Accuracy", estimates(), axis_name="accuracy", reference=0.807,
                            reference_name="label agreement",
                        ),
                        "Accuracy of each candidate.",
                    ),
                    ReportTable(
                        ("candidate", ">accuracy", ">documents/s"),
                        tuple((e.name, f"{e.value:.3f}", "14.2") for e in estimates()),
                        "The same figures as text",
                    ),
                ),
            ),
            Section(
                "Mistakes", (), (Figure(charts.confusion("Confusion", LABELS, matrix), "Counts."),)
            ),
            Section(
                "Risk",
                (),
                (
                    Figure(
                        charts.lines(
                            "Risk and coverage", [risk, upper], x_name="coverage", y_name="risk",
                            limit=0.05,
                        ),
                        "Risk of what is answered, by coverage.",
                    ),
                ),
            ),
        ),
        made_of=(("dataset", "c75e1da8" * 8), ("engine", HOSTILE)),
        when="2026-11-27T10:00:00Z",
    )  # fmt: skip
