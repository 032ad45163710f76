"""Conversations in their store: room, changes one after another, requests that belong to them."""

import asyncio
from dataclasses import replace

import pytest

from appliance.api.openai import kept_conversations
from appliance.api.openai.kept_conversations import KeptConversation, KeptConversations, spelled
from appliance.errors import ApplianceError, BadRequest, NotFound, StateRefused
from appliance.types import EndUser
from appliance.wire.openai.responses_request import Item
from tests.api.conftest import Lan

SAID = Item(role="user", content="Hi")


def of(lan: Lan) -> KeptConversations:
    return KeptConversations(lan.services, lan.services.keys.authenticate(lan.secret))


async def test_changes_at_once_are_all_there(lan: Lan) -> None:
    kept = of(lan)
    made = await kept.create([SAID], {})

    def add(found: KeptConversation) -> None:
        found.items += spelled([SAID])

    await asyncio.gather(*(kept.change(made.id, add, [f"req-{n}"]) for n in range(20)))
    found, requests = await kept.find(made.id)
    assert len(found.items) == 21 and len({item.id for item in found.parsed()}) == 21
    assert set(requests) == {f"req-{n}" for n in range(20)}


async def test_erasing_one_of_its_requests_erases_it(lan: Lan) -> None:
    kept = of(lan)
    one, other = await kept.create([SAID], {}), await kept.create([SAID], {})
    await kept.change(one.id, lambda found: None, ["req-gone"])
    lan.services.kept.erase(["req-gone"])
    for act in (kept.find(one.id), kept.change(one.id, lambda found: None)):
        with pytest.raises(StateRefused, match="erased"):
            await act
    assert (await kept.find(other.id))[0].items  # the control


async def test_people_of_one_key_find_their_own_alone(lan: Lan) -> None:
    key = lan.services.keys.authenticate(lan.secret)
    anna, ben = (
        KeptConversations(lan.services, replace(key, person=EndUser(name, "oidc:house", name)))
        for name in ("anna", "ben")
    )
    made = await anna.create([SAID], {})
    assert (await anna.find(made.id))[0].items
    for other in (ben, of(lan)):
        with pytest.raises(NotFound):
            await other.find(made.id)


async def test_it_has_an_end(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = of(lan)
    made = await kept.create([SAID], {})
    monkeypatch.setattr(kept_conversations, "MOST_ITEMS", 1)

    def add(found: KeptConversation) -> None:
        found.items += spelled([SAID])
        found.check_room()

    with pytest.raises(BadRequest):
        await kept.change(made.id, add)
    assert len((await kept.find(made.id))[0].items) == 1
    monkeypatch.setattr(kept_conversations, "MOST_BYTES", 10)
    with pytest.raises(BadRequest):
        await kept.create([SAID], {})


async def test_what_is_not_there_is_not_found(lan: Lan) -> None:
    kept = of(lan)
    for act in (kept.find("conv_x"), kept.change("conv_x", lambda f: None), kept.remove("conv_x")):
        with pytest.raises(NotFound) as caught:
            await act
        error: ApplianceError = caught.value
        assert error.code == "conversation_not_found"
