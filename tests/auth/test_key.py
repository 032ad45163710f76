"""A key: live until its end, and sane limits."""

import pytest

from appliance.auth.key import ApiKey, check_limits, check_name
from appliance.errors import StateRefused
from appliance.types import KeyUsage, Limits


def test_a_key_is_live_until_it_is_revoked_or_expires() -> None:
    key = ApiKey("1", "n", "app", (), created_us=0, expires_us=10)
    assert key.live(9) and not key.live(10)
    assert not ApiKey("1", "n", "app", (), created_us=0, revoked_us=1).live(0)


def test_usage_adds_up() -> None:
    assert KeyUsage(1, 2, 3).plus(KeyUsage(10, 20, 30)) == KeyUsage(11, 22, 33)


@pytest.mark.parametrize("limits", [{"rpm": 0}, {"tpm": -1}, {"concurrency": 0}, {"weight": 0},
                                    {"weight": 1001}, {"rpm": 10**10}])  # fmt: skip
def test_limits_that_nothing_passes_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(StateRefused) as caught:
        check_limits(Limits(**limits))  # type: ignore[arg-type]
    assert caught.value.param in limits
    check_limits(Limits())


def test_a_name_can_be_shown() -> None:
    check_name("press shop")
    with pytest.raises(StateRefused):
        check_name("a\x1b[2J")
