"""The policy in words."""

from tests.tui.scripted import WALL
from tests.tui.staging import POLICY
from tui.view import trust
from tui.view.expiry import endings


def test_the_policy_names_its_people_and_what_is_revoked() -> None:
    shown = "\n".join(row.plain for row in trust.policy(POLICY, 90))
    for words in ("version 7 of plant-7.example", "2 of 3 sign", "J. Lind", "! revoked", "1 key",
                  "5d5d5d", "  A. Weber  2a2a", "  J. Lind   4c4c"):  # fmt: skip
        assert words in shown, words
    assert trust.summary(endings(POLICY, [], [], []), WALL).plain.startswith("! 1 of 1 ends within")
    assert trust.summary([], WALL).plain == "0 of 0 end within 30 days"
