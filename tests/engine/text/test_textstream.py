"""Bytes of tokens to text: any split gives the same text, and no part of a stop string leaves."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.text.textstream import TextStream

letters = st.text(st.sampled_from("abcé€😀\n\ufffd"), max_size=30)
raw = letters.map(str.encode) | st.binary(max_size=30)
stops = st.lists(st.text(st.sampled_from("abcé😀\ufffd"), min_size=1, max_size=4), max_size=3).map(
    tuple
)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def feed(stream: TextStream, pieces: list[bytes]) -> list[str]:
    out = []
    for piece in pieces:
        out.append(stream.push(piece))
        if stream.stopped:
            break
    out.append(stream.finish())
    return out


def reference(text: str, stop: tuple[str, ...]) -> str:
    """Read letter by letter; the first stop string that is complete ends the text."""
    for end in range(len(text) + 1):
        found = [s for s in stop if text[:end].endswith(s)]
        if found:
            return text[: end - max(map(len, found))]
    return text


@settings(deadline=None, max_examples=500)
@given(raw, stops, st.lists(st.integers(0, 100), max_size=8))
def test_any_split_gives_the_text_of_a_reader_that_goes_letter_by_letter(
    data: bytes, stop: tuple[str, ...], cuts: list[int]
) -> None:
    whole = reference(data.decode("utf-8", "replace"), stop)
    assert "".join(feed(TextStream(stop), split(data, cuts))) == whole


@settings(deadline=None, max_examples=300)
@given(raw, stops)
def test_what_left_is_never_taken_back(data: bytes, stop: tuple[str, ...]) -> None:
    whole = reference(data.decode("utf-8", "replace"), stop)
    sent = ""
    for part in feed(TextStream(stop), [bytes([b]) for b in data]):
        sent += part
        assert whole.startswith(sent)


def test_a_stream_that_does_not_hold_back_is_caught() -> None:
    class Eager(TextStream):
        def push(self, piece: bytes, *, may_stop: bool = True) -> str:
            return self._decoder.decode(piece)

    assert "".join(feed(Eager(("END",)), [b"the E", b"ND"])) != reference("the END", ("END",))


def test_a_beginning_of_a_stop_string_waits_until_it_is_decided() -> None:
    stream = TextStream(("</answer>",))
    assert stream.push(b"yes</ans") == "yes"
    assert stream.push(b"ume") == "</ansume"
    assert stream.push(b"</answer> more") == ""
    assert stream.stopped
    assert stream.finish() == ""


def test_half_a_character_waits_for_its_other_half() -> None:
    stream = TextStream()
    euro = "€".encode()
    assert [stream.push(euro[:1]), stream.push(euro[1:2]), stream.push(euro[2:])] == ["", "", "€"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"a\xc3", "a\ufffd"),
        (b"\xe2\x82a", "\ufffda"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),  # an encoded surrogate is not a character
        (b"\xc0\xaf", "\ufffd\ufffd"),  # an overlong slash is not a slash
    ],
)
def test_bytes_that_are_not_utf8_become_replacement_characters(data: bytes, text: str) -> None:
    assert "".join(feed(TextStream(), [data])) == text


def test_the_stop_string_that_is_complete_first_wins() -> None:
    assert "".join(feed(TextStream(("bcd", "c")), [b"abcd"])) == "ab"
    assert "".join(feed(TextStream(("bc", "c")), [b"abcd"])) == "a"


def test_a_stop_string_before_the_minimum_is_plain_text() -> None:
    stream = TextStream(("b",))
    assert stream.push(b"ab", may_stop=False) == "ab"
    assert not stream.stopped
    assert stream.push(b"cb") == "c"
    assert stream.stopped


def test_a_stop_string_of_the_last_replacement_character_still_stops() -> None:
    stream = TextStream(("\ufffd",))
    assert stream.push(b"a\xe2\x82") == "a"
    assert stream.finish() == ""
