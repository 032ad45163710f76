"""Jobs under Pilot."""

from appliance.errors import StateRefused
from tests.tui.scripted import Script, job, status, terminal


async def test_a_job_is_paused_resumed_and_cancelled_after_a_question() -> None:
    script = Script(
        jobs_found=[
            job(3),
            job(2, state="paused", actions=["resume", "cancel"]),
            job(1, state="done", actions=[]),
        ]
    )
    async with terminal(script) as opened:
        await opened.press("6")
        shown = await opened.refresh()
        for words in ("+ running", "~ paused", "- done", "25 %", "model-3", "1 running"):
            assert words in shown, words
        shown = await opened.press("a", "p")
        assert "Pause job 3" in shown and "job_pause 3" in shown
        await opened.press("y")
        await opened.wait("job 3 is paused")
        assert "Resume job 3" in await opened.press("a")  # the undo
        await opened.press("escape")
        await opened.press("down", "a", "r", "y")
        await opened.wait("job 2 is resumed")
        await opened.press("a", "c", "y")
        await opened.wait("job 2 is canceld")
        assert script.calls == [
            ("steer", 3, "pause"),
            ("steer", 2, "resume"),
            ("steer", 2, "cancel"),
        ]


async def test_only_what_the_job_allows_is_offered() -> None:
    script = Script(jobs_found=[job(2, actions=["cancel"]), job(1, state="done", actions=[])])
    async with terminal(script, size=(120, 24)) as opened:
        await opened.press("6")
        await opened.refresh()
        await opened.press("a", "p", "r", "escape", "down", "a", "c", "escape")
        assert script.calls == []
        await opened.press("up", "a", "c", "y")  # the positive control
        await opened.wait("job 2 is")
        assert script.calls == [("steer", 2, "cancel")]


async def test_a_viewer_steers_none() -> None:
    script = Script(status(role="viewer"), jobs_found=[job(1)])
    async with terminal(script) as opened:
        await opened.press("6")
        await opened.refresh()
        assert "Pause job" not in await opened.press("a", "p", "y")
        assert script.calls == []


async def test_a_refusal_is_told() -> None:
    refused = StateRefused("job_wrong_state", "Job 1 is done; it allows nothing.")
    script = Script(jobs_found=[job(1)], refused={"steer": refused})
    async with terminal(script) as opened:
        await opened.press("6")
        await opened.refresh()
        await opened.press("a", "c", "y")
        await opened.wait("Job 1 is done")


async def test_the_filter_and_an_empty_list() -> None:
    script = Script(jobs_found=[job(1), job(2, kind="export", title="csv to /out")])
    async with terminal(script) as opened:
        await opened.press("6")
        await opened.refresh()
        await opened.press("slash")
        shown = await opened.type("export")
        assert "csv to /out" in shown and "model-1" not in shown and "1 shown" in shown
        await opened.press("escape")
        script.jobs_found = []
        assert "No jobs" in await opened.refresh()
