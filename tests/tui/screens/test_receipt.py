"""The receipt of an answer under Pilot, on the way from its model to its replay."""

from tests.tui.scripted import DATA, Script, Told, entry, model, status, terminal


def script() -> Script:
    head = {"entries": 3, "root": "00", "latched": None}
    made = Script(status(models=[model("pump", "serving", loaded=True)], audit=head))
    about = {"request_id": "req-1", "model": "pump", "app": "line-3"}
    made.entries = [
        entry(0, "intent", replayable="yes", **about),
        entry(1, "outcome", intent=0, status="ok", duration_us=1_200_000, **about),
        entry(2, "admin", action="key_create"),
    ]
    return made


async def test_model_requests_entry_receipt_and_replay_follow_from_each_other() -> None:
    commands = Told(audit_replay={"same": 1})
    async with terminal(script(), commands=commands, size=(120, 34)) as opened:
        await opened.press("2", "enter")
        await opened.wait("pump answers nobody now")
        await opened.press("enter")
        await opened.wait("search 'kind=outcome model=pump'")
        await opened.wait("outcome")
        assert "AUDIT ENTRY" in await opened.press("enter")
        assert "RECEIPT" in await opened.press("enter")
        shown = await opened.wait("under a signed head")
        for words in ("+ ok  to line-3  by pump", "entry 0", "entry 1", "in all 1.2 s"):
            assert words in shown, words
        await opened.press("a", "r", "y")
        assert "RECEIPT" in await opened.wait("+ entry 1: 1 same")
    assert commands.ran == [("audit", "replay", "1")]


async def test_the_proof_is_checked_by_the_command() -> None:
    commands = Told(audit_check_proof={"seq": 1, "size": 3})
    commands.answers["audit_check-proof"] = commands.answers.pop("audit_check_proof")
    async with terminal(script(), commands=commands) as opened:
        await opened.press("4")
        await opened.wait("page 1")
        await opened.press("down", "enter", "enter")
        await opened.wait("under a signed head")
        await opened.press("a", "c", "y")
        await opened.wait("one of 3 entries")
    ((*words, file, option, key),) = commands.ran
    assert (words, option, key) == (
        ["audit", "check-proof"], "--key", str(DATA / "audit" / "genesis.pub"),
    )  # fmt: skip
    assert file


async def test_what_is_no_answer_has_none() -> None:
    async with terminal(script()) as opened:
        await opened.press("4")
        await opened.wait("page 1")
        assert "AUDIT ENTRY" in await opened.press("enter")
        assert "RECEIPT" not in await opened.press("enter")  # it leads back
