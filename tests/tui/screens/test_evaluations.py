"""Evaluations under Pilot."""

from pathlib import Path

import pytest

from appliance.errors import Unavailable
from appliance.wire.admin.gates import Ledger
from tests.tui.scripted import Script, evaluation, job, status, terminal
from tests.tui.view.test_evaluations import GATE

RUNNING = evaluation(
    8, state="running", ended=None, result=None, actions=["pause", "cancel"],
    progress={"phase": "smollm2-135m", "done": 30, "total": 120, "unit": "items", "rate": 2.0,
              "seconds_left": 45},
)  # fmt: skip


@pytest.mark.parametrize("size", [(80, 24), (130, 50)])
async def test_a_running_one_has_a_bar_and_a_done_one_its_table(size: tuple[int, int]) -> None:
    script = Script(jobs_found=[job(9), RUNNING, evaluation(7)])
    async with terminal(script, size=size) as opened:
        await opened.press("8")
        shown = await opened.refresh()
        for words in ("2 evaluations", "1 running", "+ running", "25 %", "45 s", "███░"):
            assert words in shown, (words, shown)
        assert "/media/stick" not in shown  # an import is no evaluation
        await opened.press("down")
        shown = await opened.wait("n = 317 groups")
        for words in ("logistic regression is enough", "0.691", "548 items", "554"):
            assert words in shown, (words, shown)
        assert "0.641 to 0.737" in shown or size[0] < 100
        assert "⠒" in shown
        assert shown.index("0.691") < shown.index("0.523") < shown.index("0.169")


async def test_opening_one_shows_everything_and_ends_with_escape() -> None:
    script = Script(jobs_found=[evaluation(7)])
    async with terminal(script, size=(120, 45)) as opened:
        await opened.press("8")
        await opened.refresh()
        await opened.refresh()
        shown = await opened.press("enter")
        for words in ("EVALUATION", "AGAINST THE BASELINE", "-56.9", "-62.0 to -51.0", "dataset",
                      "cd" * 32, "labels agree 80.7 %", "failed".upper()):  # fmt: skip
            assert words in shown, (words, shown)
        assert "EVALUATION\n" not in await opened.press("escape")


async def test_the_report_is_written_to_a_new_file_after_a_question(tmp_path: Path) -> None:
    script = Script(jobs_found=[evaluation(7)])
    target = tmp_path / "page.html"
    async with terminal(script) as opened:
        await opened.press("8")
        await opened.refresh()
        await opened.refresh()
        for again in (False, True):
            shown = await opened.press("w")
            assert "GET /admin/evaluations/7/report" in shown and "evaluation-7.html" in shown
            await opened.press("ctrl+u")
            await opened.type(str(target))
            await opened.press("enter")
            await opened.wait("File exists" if again else "report of evaluation 7")
        assert target.read_text() == "<p>7</p>"
        await opened.press("enter", "w")
        assert "Write the report of evaluation 7" in opened.text


async def test_one_that_runs_has_no_report_and_a_result_is_asked_for_once() -> None:
    script = Script(jobs_found=[RUNNING, evaluation(7)])
    asked: list[int] = []
    whole = script.job

    def count(job_id: int) -> object:
        asked.append(job_id)
        return whole(job_id)

    script.job = count  # type: ignore[assignment, method-assign]
    async with terminal(script) as opened:
        await opened.press("8")
        await opened.refresh()
        assert "Write the report" not in await opened.press("w")
        await opened.press("down")
        for _ in range(3):
            await opened.refresh()
    assert asked == [7]


async def test_a_refusal_an_empty_list_and_what_failed() -> None:
    failed = evaluation(
        3, state="failed", result=None, code="item_unfit", message="No label.", hint="Correct it."
    )
    script = Script(jobs_found=[failed])
    async with terminal(script) as opened:
        await opened.press("8")
        await opened.refresh()
        shown = await opened.refresh()
        assert "item_unfit: No label." in shown and "Correct it." in shown
        script.jobs_found = []
        assert "No evaluations." in await opened.refresh()

        def refuse(count: int = 100) -> None:
            raise Unavailable("insufficient_memory", "Not now.")

        script.jobs = refuse  # type: ignore[assignment, method-assign]
        assert "insufficient_memory" in await opened.refresh()


async def test_a_gate_stands_beside_them_and_the_ledger_has_a_screen() -> None:
    split = {"split": "test", "groups": 455, "left": 3, "looks": [{"task": "orders-1"}]}
    ledger = Ledger.model_validate({"dataset": "orders", "splits": [split]})
    gate = evaluation(8, kind="gate", result={**GATE, "verdict": "pass"})
    script = Script(jobs_found=[gate, evaluation(7)], ledgers_found=[ledger])
    asked = 0
    whole = script.ledgers

    def count() -> object:
        nonlocal asked
        asked += 1
        return whole()

    script.ledgers = count  # type: ignore[assignment, method-assign]
    async with terminal(script, size=(120, 45)) as opened:
        await opened.press("8")
        await opened.refresh()
        shown = await opened.wait("1 taken, 3 left")
        assert "gate" in shown and "-3.0 to +4.0" in shown
        shown = await opened.press("a", "l")
        for words in ("LEDGER", "orders, test", "1 look spent", "3 left", "orders-1"):
            assert words in shown, (words, shown)
        assert "LEDGER" not in await opened.press("escape")
        await opened.refresh()
    assert asked == 1  # until a gate begins or ends


async def test_what_is_wrong_is_one_key_away_and_a_cell_one_more() -> None:
    script = Script(jobs_found=[evaluation(7)])
    async with terminal(script, size=(120, 45)) as opened:
        await opened.press("8")
        await opened.refresh()
        await opened.press("a", "e")
        shown = await opened.wait("WRONG ITEMS")
        for words in ("3 of 548 items of dev wrong", "replace pump of the oil cooler", "0.993",
                      "turbo hose leaks", "seat belt torn", "(timeout)"):  # fmt: skip
            assert words in shown, (words, shown)
        shown = await opened.press("2")
        assert "seat belt torn" in shown and "turbo hose leaks" not in shown
        shown = await opened.press("0")
        assert "turbo hose leaks" in shown
        await opened.press("escape", "a", "f")
        shown = await opened.wait("FLIPS")
        for words in ("+2.0 points, -1.0 to +5.0", "idler worn out", "the first is right"):
            assert words in shown, (words, shown)
    assert ("errors", 7) in script.calls and (
        "compare",
        7,
        "logistic regression",
    ) in script.calls


async def test_a_viewer_is_offered_no_item_and_a_gate_has_none() -> None:
    for script in (
        Script(status(role="viewer"), jobs_found=[evaluation(7)]),
        Script(jobs_found=[job(9, kind="gate", state="done", result=GATE)]),
    ):
        async with terminal(script) as opened:
            await opened.press("8")
            await opened.refresh()
            shown = await opened.press("a", "e", "escape", "a", "f")
            assert "WRONG ITEMS" not in shown and "FLIPS" not in shown
            assert not [each for each in script.calls if each[0] in ("errors", "compare")]
