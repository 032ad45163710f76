"""Registered looks over three appliances: each counts once, also after a restore."""

import shutil
from pathlib import Path

import pytest

from appliance.datasets.ledger import LOOKS, LedgerLook
from appliance.errors import StateRefused
from tests.datasets.test_ledger import MARKS, Log, look
from tests.peers.site_members import OneOf, made_site, opened
from tests.site import Site


def looks(one: OneOf, wanted: LedgerLook) -> int:
    """Take a look as a gate does; its number."""
    ledger = one.services.ledger
    elsewhere = one.exchange.agree(wanted, MARKS)
    return ledger.take(wanted, MARKS, Log(), elsewhere=elsewhere)[1]


def code(one: OneOf, wanted: LedgerLook) -> str:
    with pytest.raises(StateRefused) as caught:
        looks(one, wanted)
    return caught.value.code


def meet(found: dict[str, OneOf]) -> None:
    for _ in range(2):
        for one in found.values():
            one.listens()


def test_four_looks_over_three_appliances(tmp_path: Path) -> None:
    with opened(made_site(tmp_path)[1]) as found:
        a, b, c = found.values()
        a.services.ledger.take(look(1), MARKS, Log())  # of before the site
        assert code(b, look(2)) == "looks_unagreed"  # nobody was heard yet
        meet(found)
        assert looks(b, look(2)) == 2
        assert looks(c, look(2)) == 3  # one specification on two appliances is two looks
        a.others.pop("c")
        assert looks(a, look(3)) == LOOKS  # two of three agree
        assert [code(one, look(4)) for one in (b, c)] == ["looks_spent"] * 2
        a.others.clear()
        assert code(a, look(5)) == "looks_unagreed"


def put_back(site: Site, copy: Path) -> None:
    shutil.rmtree(site.data)
    copy.rename(site.data)


def test_one_that_was_put_back_counts_what_it_forgot(tmp_path: Path) -> None:
    _, sites = made_site(tmp_path)
    copy = shutil.copytree(sites["a"].data, tmp_path / "copy")
    with opened(sites) as found:
        meet(found)
        found["a"].others.pop("c")
        assert [looks(found["a"], look(n)) for n in (1, 2)] == [1, 2]  # c does not know of them
    put_back(sites["a"], copy)
    with opened(sites) as found:
        for name in "bc":
            found[name].listens()
        found["c"].others.pop("b")
        assert code(found["c"], look(3)) == "looks_unagreed"  # a knows nothing, and says nothing
        meet(found)
        assert looks(found["c"], look(3)) == 3
        assert looks(found["a"], look(4)) == 4
        assert code(found["a"], look(5)) == "looks_spent"
