"""One process holds a directory; it closes its parts in reverse order."""

from pathlib import Path

import pytest

from appliance.errors import PolicyRefused, StateRefused
from appliance.wiring.directory import HeldDirectory, check_profile, hold, initialise


def test_what_was_opened_is_closed_backwards_and_then_the_lock_is_free(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    told: list[str] = []
    with hold(tmp_path / "data", None, None, 0.0) as held:
        for name in ("log", "database"):
            held.closing.callback(told.append, name)
        with pytest.raises(StateRefused) as caught, hold(tmp_path / "data", None, None, 0.0):
            pass
        assert caught.value.code == "data_locked" and told == []
    assert told == ["database", "log"]
    with hold(tmp_path / "data", None, None, 0.0) as again:
        assert again.profile == "lab"


def test_a_lab_is_no_site(held: HeldDirectory) -> None:
    check_profile("lab", "appliance.lab/1")
    with pytest.raises(PolicyRefused) as caught:
        check_profile(held.profile, "appliance.site/1")
    assert caught.value.code == "trust_profile"
