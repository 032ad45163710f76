"""Usage under Pilot."""

from appliance.types import UsedBy, UsedPer
from appliance.wire.admin.metering import UsageReport
from tests.tui.scripted import Script, terminal
from tests.tui.staging import USED


class Asked(Script):
    def usage_report(self, *, by: UsedBy, per: UsedPer, since: str) -> UsageReport:
        self.calls.append((by, per, since))
        return super().usage_report(by=by, per=per, since=since)


async def test_the_time_and_what_is_summed_by_are_changed_and_a_row_leads_to_the_log() -> None:
    made = Asked(used=USED)
    async with terminal(made, size=(120, 40)) as opened:
        await opened.press("u")
        await opened.wait("by app, per hour")
        await opened.press("right_square_bracket")
        await opened.wait("by app, per day")
        await opened.refresh()  # nothing is asked again so soon
        assert made.calls[-1] == ("app", "day", "2026-10-18T12:26:40Z")
        assert sum(call[1] == "day" for call in made.calls) == 1
        await opened.press("a", "m")
        await opened.wait("by model, per day")
        await opened.press("a", "a")
        await opened.wait("by app")
        assert "[4 Audit]" in await opened.press("enter")
        await opened.wait("search 'app=planner'")
