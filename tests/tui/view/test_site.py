"""What the screen of the site says of the other appliances."""

from appliance.wire.admin.site import SitePeer, SitePeerList
from tests.tui.staging import SITE_FOUND
from tui.text import cell
from tui.view import site as view


def shown(one: SitePeer) -> str:
    return " ".join(cell(part).plain for part in view.row(one))


def detail(one: SitePeer) -> str:
    return "\n".join(part.plain for part in view.detail(one, 100))


def documents(found: SitePeerList) -> str:
    return "\n".join(part.plain for part in view.documents(found, 100))


def test_one_row_for_each_appliance() -> None:
    live, silent, differs = SITE_FOUND.peers
    assert "+ live 1 s ago 3" in shown(live)
    assert "! down 23 min ago 314" in shown(silent) and "timed out" in shown(silent)
    assert "! differs" in shown(differs) and "9120 were seen" in shown(differs)
    told = view.summary(SITE_FOUND, 3).plain
    assert "this is north" in told and "3 peers" in told and "2 down" in told
    assert "stale" not in told
    alone = SITE_FOUND.model_copy(update={"stale": True, "member": "", "peers": []})
    told = view.summary(alone, 1).plain
    assert "not a member" in told and "stale" in told and "1 shown" in told


def test_the_details_of_an_appliance_and_what_does_not_hold_here() -> None:
    live, silent, _ = SITE_FOUND.peers
    told = detail(live)
    assert "south.example" in told and "entries of our log" in told
    assert "timed out" in detail(silent) and "mirror" not in detail(silent)
    told = documents(SITE_FOUND)
    assert "member_not_listed" in told and "unknown_model_id" in told
    many = SITE_FOUND.model_copy(update={"refused": SITE_FOUND.refused * 8})
    assert "and 2 more" in documents(many)
    never = live.model_copy(update={"heard_seconds": None, "seen_at": None})
    assert "never" in detail(never)
