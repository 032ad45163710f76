"""The columns of usage."""

from appliance.wire.admin.metering import USAGE_TABLE, UsageRow


def test_a_row_without_a_name_has_none() -> None:
    row = UsageRow(
        period="2026-11", name="", requests=3, answers=4, failed=1, prompt_tokens=5,
        completion_tokens=6, seconds=1.26,
    )  # fmt: skip
    cells = [column.of(row) for column in USAGE_TABLE.columns]
    assert cells == ["2026-11", None, 3, 4, 1, 5, 6, "1.3"]
