"""One expression for many texts: the longest, everywhere, with bounded work at each place."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.text.text_set import longest_of

words = st.text("ab|(", min_size=1, max_size=5)


@settings(deadline=None)
@given(st.sets(words, min_size=1, max_size=12), st.text("ab|(c", max_size=30))
def test_the_longest_is_found_everywhere(texts: set[str], searched: str) -> None:
    expression = re.compile(longest_of(texts))
    for at in range(len(searched) + 1):
        here = [text for text in texts if searched.startswith(text, at)]
        found = expression.match(searched, at)
        assert (found.group() if found else None) == max(here, key=len, default=None)


def test_thousands_that_begin_alike_share_their_beginning() -> None:
    texts = [f"<unused{n}>" for n in range(6000)]
    source = longest_of(texts)
    assert source.count("unused") == 1 and len(source) < 40_000


@pytest.mark.parametrize("count", [90, 110, 300, 1500])
def test_many_texts_inside_each_other_are_still_found(count: int) -> None:
    texts = ["a" * n for n in range(1, count + 1)]
    found = re.compile(longest_of(texts)).match("a" * (count - 1) + "b")
    assert found and found.end() == count - 1
