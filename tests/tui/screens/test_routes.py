"""The routes under Pilot."""

import pytest

from tests.tui.scripted import Script, job, status, terminal
from tests.tui.staging import CURVE, ROUTES


def script() -> Script:
    made = Script(status(), routes_found=ROUTES)
    made.jobs_found = [job(31, kind="route", state="done", result=CURVE)]
    return made


@pytest.mark.parametrize("size", [(80, 24), (130, 50)])
async def test_who_answers_and_what_the_certificate_promises(size: tuple[int, int]) -> None:
    async with terminal(script(), size=size) as opened:
        await opened.press("o")
        shown = await opened.wait("licences-small")
        for words in ("2 routes, 1 certified", "> licences", "may answer", "87 %", "a person"):
            assert words in shown, (words, shown)
        assert "at most 5 % of its answers are wrong, with 95 % confidence" in shown
        await opened.press("down")
        shown = await opened.wait("unstable over time")
        assert "route_not_certified" in shown and "about 419 more groups" in shown


async def test_what_thresholds_do_is_asked_for_once() -> None:
    asked: list[int] = []

    class Counting(Script):
        def job(self, job_id: int):  # type: ignore[no-untyped-def]
            asked.append(job_id)
            return super().job(job_id)

    made = Counting(status(), routes_found=ROUTES)
    made.jobs_found = script().jobs_found
    async with terminal(made, size=(120, 50)) as opened:
        await opened.press("o")
        shown = await opened.wait("What if: on open items, which promise nothing")
        assert "0.900" in shown and "30 %" in shown
        for _ in range(3):
            await opened.refresh()
        assert asked == [31]


async def test_no_routes() -> None:
    async with terminal(Script(status())) as opened:
        await opened.press("o")
        await opened.wait("appliance route import")
