"""One audit entry under Pilot."""

from pathlib import Path

import pytest

from tests.tui.scripted import Script, entry, status, terminal


def script(role: str = "admin") -> Script:
    made = Script(status(role=role, audit={"entries": 3, "root": "00", "latched": None}))
    kept = {"mode": "encrypted", "parts": {"prompt": {}}}
    made.entries = [entry(n, "intent", event=f"e{n}", content=kept) for n in range(3)]
    return made


async def test_it_is_whole_and_one_goes_along_the_log() -> None:
    async with terminal(script()) as opened:
        await opened.press("4")
        await opened.wait("page 1")
        shown = await opened.press("enter")
        assert "ab" * 32 in shown and "cd" * 32 in shown and "e2" in shown
        await opened.press("right_square_bracket")
        await opened.wait("e1")
        await opened.press("left_square_bracket", "left_square_bracket")
        await opened.wait("! not_found")


async def test_texts_are_decrypted_after_yes_and_recorded() -> None:
    made = script()
    async with terminal(made) as opened:
        await opened.press("4")
        await opened.wait("page 1")
        await opened.press("enter")
        assert "content_read of entry 2" in await opened.press("a", "d")
        await opened.press("y")
        assert "recorded" in await opened.wait("secret words")
        assert made.calls == [("decrypt", 2)]


@pytest.mark.parametrize("role", ["viewer", "approver"])
async def test_who_is_no_admin_is_not_offered_the_texts(role: str) -> None:
    made = script(role)
    async with terminal(made) as opened:
        await opened.press("4")
        await opened.wait("page 1")
        await opened.press("enter")
        assert "Decrypt" not in opened.text
        await opened.press("a", "d", "y")
        assert made.calls == []


async def test_a_proof_is_written_and_never_over_another_file(tmp_path: Path) -> None:
    target = tmp_path / "p"
    async with terminal(script(), size=(200, 40)) as opened:
        for outcome in ("proof of entry 2", "! "):
            await opened.press("4")
            await opened.wait("page 1")
            await opened.press("enter", "a", "p", "ctrl+u")
            await opened.type(str(target))
            await opened.press("enter", "escape")
            await opened.wait(outcome)
    assert target.read_bytes() == b"proof of 2"
