"""Verification under Pilot, with and without a server."""

from appliance.errors import AuditRefused
from appliance.wire.admin.models import Verification
from tests.tui.scripted import DOWN, Script, Told, terminal

FOUND = {
    "ok": False, "entries": 9, "from": 0, "to": 8, "root": "ab" * 32, "open_intents": 0,
    "problems": [{"seq": 4, "code": "audit_corrupt", "message": "bad leaf"}], "problem_count": 1,
    "unwitnessed": 2,
}  # fmt: skip


async def test_a_break_is_found_at_its_entry() -> None:
    async with terminal(Script(verified=Verification.model_validate(FOUND))) as opened:
        await opened.press("4", "a", "v")
        assert "bad leaf" in await opened.wait("! entry 4  audit_corrupt")
        await opened.press("escape")
        assert "VERIFY" not in opened.text


async def test_without_a_server_the_command_does_it() -> None:
    good = {**FOUND, "ok": True, "problems": [], "problem_count": 0}
    commands = Told(audit_verify=good)
    async with terminal(Script(error=DOWN), commands=commands) as opened:
        await opened.press("4", "a", "v")
        await opened.wait("+ verified")
        looks = {("status",), ("audit", "tail")}  # what the screen itself shows without a server
        assert [ran for ran in commands.ran if ran not in looks] == [("audit", "verify")]
        assert opened.desk.verified == 8


async def test_a_log_that_cannot_be_read_is_an_error_and_no_crash() -> None:
    for told in (
        {"code": "audit_corrupt", "message": "no head"},
        AuditRefused("audit_corrupt", "no head"),
    ):
        async with terminal(Script(error=DOWN), commands=Told(audit_verify=told)) as opened:
            await opened.press("4", "a", "v")
            await opened.wait("audit_corrupt: no head")
            assert opened.desk.verified is None
