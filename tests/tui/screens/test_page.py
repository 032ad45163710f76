"""What every screen has in common."""

import pytest

from tests.tui.scripted import Script, terminal
from tui.app import PAGES


@pytest.mark.parametrize("page", [page for page in PAGES if page.DIGIT])
async def test_its_digit_puts_it_in_front(page: type) -> None:
    async with terminal(Script()) as opened:
        assert f"[{page.DIGIT} {page.TITLE}]" in await opened.press(page.DIGIT)  # type: ignore[attr-defined]


def test_no_digit_and_no_title_is_used_twice() -> None:
    digits = [page.DIGIT for page in PAGES if page.DIGIT]
    assert len(set(digits)) == len(digits)
    assert len({page.TITLE for page in PAGES}) == len(PAGES)


READ = {"errors", "flips"}
"""They take a role and change nothing: texts of items are for operators."""


def test_every_change_takes_a_capital_and_a_role() -> None:
    for page in PAGES:
        for binding in page.BINDINGS:
            key, action = binding.key, binding.action  # type: ignore[union-attr]
            if len(key) == 1 and key.isupper() and action not in ("serve", "init"):
                assert action in page.NEEDS, (page, key)
            if action in page.NEEDS and action not in READ:
                assert key.isupper(), (page, key)
