"""Datasets under Pilot."""

from tests.tui.staging import Scene, _datasets, staged


async def test_the_datasets_of_the_store_and_their_looks() -> None:
    async with staged(Scene("datasets", "", _datasets), (120, 40)) as opened:
        shown = opened.text
        for words in ("2 datasets", "> orders", "5 470", "certify, test", "3 left", "Method Team"):
            assert words in shown, words
        assert "Suspend orders" in await opened.press("a", "s")
