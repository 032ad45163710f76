"""Tunings under Pilot."""

from pathlib import Path

import pytest

from appliance.errors import Unavailable
from tests.tui.scripted import Script, job, losses, terminal, tuning

RUNNING = tuning(
    8, state="running", ended=None, result=None, actions=["pause", "cancel"],
    progress={"phase": "training, seed 0", "done": 40, "total": 62, "unit": "steps", "rate": 0.1,
              "seconds_left": 220},
)  # fmt: skip


def script() -> Script:
    found = [job(9), RUNNING, tuning(7), tuning(6)]
    return Script(jobs_found=found, losses_found={8: [losses()]})


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_one_that_trains_has_its_curve_and_a_done_one_its_table(
    size: tuple[int, int],
) -> None:
    async with terminal(script(), size=size) as opened:
        await opened.press("m")
        await opened.refresh()
        shown = await opened.wait("seed-0")
        for words in ("3 tunings", "1 running", "+ running", "64 %", "3 min", "step 40"):
            assert words in shown, (words, shown)
        assert "/media/stick" not in shown  # an import is no tuning
        assert any("\u2800" < c < "\u2900" for c in shown)
        await opened.press("down")
        shown = await opened.wait("The blend reaches 86 %")
        for words in ("blend, weight 0.62", "0.860", "+10.2"):
            assert words in shown, (words, shown)


async def test_the_curve_comes_with_each_poll_until_it_is_at_rest() -> None:
    made = script()
    async with terminal(made, size=(120, 40)) as opened:
        await opened.press("m")
        await opened.refresh()
        await opened.wait("step 40")
        further = losses().model_copy(update={"points": [*losses().points, (41, 0.15, None)]})
        made.losses_found = {8: [further]}
        await opened.refresh()
        assert "step 41  loss 0.1500" in opened.text
        made.jobs_found = [tuning(8), tuning(7)]
        for _ in range(3):
            await opened.refresh()
        assert "The blend reaches 86 %" in opened.text
        polled = made.calls.count(("losses", 8))
        await opened.refresh()
        assert made.calls.count(("losses", 8)) == polled  # it changes no more


async def test_marked_ones_stand_side_by_side() -> None:
    made = script()
    async with terminal(made, size=(120, 40)) as opened:
        await opened.press("m")
        await opened.refresh()
        assert "marked" not in await opened.press("space", "up", "space")  # no adapter yet
        await opened.press("space")
        await opened.wait("1 marked")
        assert "SIDE BY SIDE" not in await opened.press("a", "c", "escape")
        await opened.press("space")
        shown = await opened.wait("2 marked")
        assert shown.count("*") >= 2
        while ("compare", 7, 6) not in made.calls:
            await opened.refresh()
        await opened.refresh()
        asked = made.calls.count(("compare", 7, 6))
        shown = await opened.press("a", "c")
        for words in ("SIDE BY SIDE", "DIFFERS", "rank", "0.793 to 0.885", "2 280 s"):
            assert words in shown, (words, shown)
        assert "SIDE BY SIDE" not in await opened.press("escape")
        await opened.refresh()
        assert made.calls.count(("compare", 7, 6)) == asked  # it changes no more
        await opened.press("space")
        assert "1 marked" in await opened.refresh()


async def test_opening_one_shows_everything_and_its_page_is_written_to_a_new_file(
    tmp_path: Path,
) -> None:
    made, target = script(), tmp_path / "page.html"
    async with terminal(made, size=(120, 60)) as opened:
        await opened.press("m")
        await opened.refresh()
        assert "Write the report" not in await opened.press("w")
        await opened.press("down")
        await opened.wait("The blend reaches 86 %")
        shown = await opened.press("enter")
        for words in ("TUNING", "25 %, 246 rows", "rank 16", "cd" * 32):
            assert words in shown, (words, shown)
        shown = await opened.press("w")
        assert "GET /admin/tunings/7/report" in shown and "tuning-7.html" in shown
        await opened.press("ctrl+u")
        await opened.type(str(target))
        await opened.press("enter", "escape")
        await opened.wait("report of tuning 7")
        assert target.read_text() == "<p>7</p>"


async def test_a_refusal_and_an_empty_list() -> None:
    made = Script(jobs_found=[])
    async with terminal(made) as opened:
        await opened.press("m")
        assert "No tunings." in await opened.refresh()
        made.jobs_found = [RUNNING]
        made.refused = {"losses": Unavailable("insufficient_memory", "Not now.")}
        shown = await opened.refresh()
        assert "1 running" in shown  # without its curve

        def refuse(count: int = 100) -> None:
            raise Unavailable("insufficient_memory", "Not now.")

        made.jobs = refuse  # type: ignore[assignment, method-assign]
        assert "insufficient_memory" in await opened.refresh()
