"""Keys and quotas under Pilot."""

from appliance.errors import Unavailable
from appliance.wire.admin.keys import KeyCreate
from tests.tui.scripted import Script, key, status, terminal


def script(**changes: object) -> Script:
    used = {"requests": 3, "prompt_tokens": 60, "completion_tokens": 40}
    return Script(
        status(**changes),
        keys_found=[key("one", usage=used, limits={"rpm": 10}), key("two", revoked=True)],
    )


async def test_quotas_are_shown_as_bars_of_the_last_minute() -> None:
    made = script()
    async with terminal(made) as opened:
        await opened.press("5")
        await opened.wait("0 of 10")
        more = {"requests": 8, "prompt_tokens": 60, "completion_tokens": 90}
        made.keys_found[0] = key("one", usage=more, limits={"rpm": 10})
        assert "5 of 10" in await opened.refresh()


async def test_a_secret_is_shown_once() -> None:
    made = script()
    async with terminal(made) as opened:
        await opened.press("5", "a", "n", *"kiosk", "enter")
        await opened.type("pump, motor")
        await opened.press("enter", "enter", *"60", *["enter"] * 5)
        assert "Shown once" in await opened.wait("sk-once")
        assert "sk-once" in await opened.press("enter", "q")
        assert "sk-once" not in await opened.press("escape")
        ((name, wanted),) = made.calls
        assert isinstance(wanted, KeyCreate) and name == "create"
        assert (wanted.name, wanted.models, wanted.rpm) == ("kiosk", ["pump", "motor"], 60)


async def test_what_is_no_number_is_refused_before_it_is_sent() -> None:
    made = script()
    async with terminal(made) as opened:
        await opened.press(
            "5", "a", "n", *"kiosk", "enter", "enter", "enter", *"many", *["enter"] * 5
        )
        await opened.wait("rpm must be a number")
        assert made.calls == []


async def test_rotate_limit_and_revoke() -> None:
    made = script()
    async with terminal(made) as opened:
        await opened.press("5")
        await opened.wait("> one")
        await opened.press("a", "o", "backspace", *"60", "enter")
        await opened.wait("sk-again")
        await opened.press("escape", "a", "l", *["enter"] * 5)
        await opened.wait("one has new limits")
        await opened.press("a", "x", *"wrong", "enter")
        assert "Type one to go on." in opened.text
        await opened.press(*["backspace"] * 5, *"one", "enter")
        await opened.wait("one is revoked")
    assert [call[:2] for call in made.calls] == [
        ("rotate", "id-one"), ("limit", "id-one"), ("revoke", "id-one"),
    ]  # fmt: skip


async def test_a_revoked_key_can_only_be_looked_at() -> None:
    made = script()
    async with terminal(made) as opened:
        await opened.press("5")
        await opened.wait("> one")
        assert "is revoked" in await opened.press("down", "a", "x", "o", "l")
        assert "records" not in opened.text


async def test_a_key_without_a_secret_cannot_be_rotated() -> None:
    made = script()
    made.keys_found = [key("bound", certificate="ab" * 32)]
    async with terminal(made) as opened:
        await opened.press("5")
        await opened.wait("> bound")
        assert "it has a certificate" in await opened.press("a", "o")
        assert "records" not in opened.text


async def test_a_server_that_does_not_answer_is_asked_once() -> None:
    made = script()
    made.refused["revoke"] = Unavailable("audit_unavailable", "The log cannot be written.")
    async with terminal(made) as opened:
        await opened.press("5")
        await opened.wait("> one")
        await opened.press("a", "x", *"one", "enter")
        await opened.wait("! audit_unavailable")
        await opened.refresh()
        assert len(made.calls) == 1
