"""Citations: only words of a passage, letter by letter, get through."""

import hashlib
import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.retrieval import citations
from appliance.retrieval.citations import MOST, neutral, verified
from appliance.types import Passage
from tests.retrieval.work import Steps, instructions

TEXTS = (
    "Intro. The relief valve opens\nat 12 bar, and closes at 10 bar.",
    "\u00c4ltere Schl\u00e4uche platzen bei gro\u00dfer Hitze. They burst when they are hot.",
    "The secret recipe of the other department is two parts of oil.",
)


def passage(number: int, text: str, start: int = 100) -> Passage:
    content = text.encode()
    return Passage(
        id=f"p{number}",
        document=f"d{number}.pdf",
        version=1,
        title="Manual",
        page=number,
        heading="",
        start=start,
        end=start + len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        text_sha256="f" * 64,
        score=1.0,
        text=text,
    )


GIVEN = [passage(n, text) for n, text in enumerate(TEXTS[:2], 1)]
FOREIGN = TEXTS[2]


def test_a_true_quotation_is_kept_with_its_exact_place() -> None:
    answer = 'It says: "The relief valve opens at 12 bar" [1]. So wait.'
    found = verified(answer, GIVEN)
    assert (found.text, found.removed, found.evident) == (answer, 0, True)
    (citation,) = found.citations
    assert (citation.number, citation.document, citation.page) == (1, "d1.pdf", 1)
    assert citation.quote == "The relief valve opens\nat 12 bar"
    content = GIVEN[0].text.encode()
    span = content[citation.start - 100 : citation.end - 100]
    assert span.decode() == citation.quote
    assert citation.sha256 == hashlib.sha256(span).hexdigest()
    assert answer[citation.at : citation.until].startswith('"The relief')


@pytest.mark.parametrize("marks", ["\u201c{}\u201d", "\u201e{}\u201c", "\u00ab{}\u00bb", '"{}"'])
def test_quotation_marks_of_several_languages(marks: str) -> None:
    quote = "\u00c4ltere Schl\u00e4uche platzen"
    found = verified(marks.format(quote) + " [2]", GIVEN)
    (citation,) = found.citations
    assert citation.quote == quote and citation.start == 100
    assert citation.end == 100 + len(quote.encode())


@pytest.mark.parametrize(
    "attempt",
    [
        '"The relief valve opens at 13 bar" [1]',  # one character
        '"the relief valve opens at 12 bar" [1]',  # a case
        '"The relief valve opens ... 10 bar" [1]',  # a gap
        '"at 12 bar The relief valve opens" [1]',  # another order
        '"The relief valve opens at 12 bar" [2]',  # off by one
        '"The relief valve opens at 12 bar" [0]',
        '"The relief valve opens at 12 bar" [7]',  # of two
        f'"{FOREIGN}" [1]',  # a document that was not given
        f'"{FOREIGN}" [3]',
        f'"{FOREIGN}"',
        '"bar" [1]',  # too short to prove anything
        '"" [1]',
        f'"{FOREIGN[:20]}\n{FOREIGN[20:]}" [1]',  # over two lines
        "[1]",  # a mark alone
        "Yes. [1][2]",
        '"They burst when they are hot." [999999]',
        '"' + "x" * 3_000 + '" [1]',
    ],
)
def test_what_does_not_verify_is_removed_and_counted(attempt: str) -> None:
    found = verified(f"Before {attempt} after.", GIVEN)
    assert found.citations == () and not found.evident
    assert found.removed >= 1
    assert "[" not in found.text and '"' not in found.text
    assert found.text.startswith("Before") and found.text.endswith("after.")
    assert FOREIGN not in found.text


def test_an_unmarked_quotation_is_looked_for_everywhere() -> None:
    found = verified('He read "They burst when they are hot." aloud.', GIVEN)
    assert [c.number for c in found.citations] == [2]


def test_an_adversary_gets_nothing_through() -> None:
    """Thousands of almost true quotations; each citation is checked independently."""
    rng, through = random.Random(11), 0
    for _ in range(3_000):
        source = rng.choice(TEXTS)
        begin = rng.randrange(len(source) - 20)
        quote = list(source[begin : begin + rng.randrange(12, 40)])
        for _ in range(rng.randrange(3)):
            quote[rng.randrange(len(quote))] = rng.choice("aeXtn \u00e4.")
        number = rng.choice(["", " [1]", " [2]", " [3]", "[1]", " [01]", " [0]"])
        found = verified(f'A "{"".join(quote)}"{number} b.', GIVEN)
        for citation in found.citations:
            text = TEXTS[citation.number - 1].encode()
            assert text[citation.start - 100 : citation.end - 100].decode() == citation.quote
            assert citation.quote.split() == "".join(quote).split()
            assert citation.document == f"d{citation.number}.pdf"
            through += 1
        assert len(found.citations) + found.removed >= 1
    assert through > 100  # the control: true ones do pass


@given(st.text('"[]12 abcThe relif\u201c\u201e\u00ab\n', max_size=120))
def test_no_answer_breaks_it(answer: str) -> None:
    found = verified(answer, GIVEN)
    for citation in found.citations:
        assert citation.quote in GIVEN[citation.number - 1].text
        assert found.text[citation.at : citation.until] in answer


def test_the_work_is_bounded() -> None:
    one = '"They burst when they are hot." [2] '
    found = verified(one * (MOST + 50), GIVEN)
    assert (len(found.citations), found.removed) == (MOST, 50)


HOSTILE: dict[str, Callable[[int], str]] = {
    "spaces": lambda n: " " * n,
    "lines": lambda n: " \n" * n,
    "blank lines": lambda n: "\n" * n + "x",
    "spaces after a quotation": lambda n: '"a"' + " " * n,
    "open quotations": lambda n: "\u201e" * n,
    "open quotations of all kinds": lambda n: '"\u201c\u201e\u00ab' * (n // 4) + "x",
    "open in each paragraph": lambda n: '"\u201c\u201e\u00ab\n\n' * (n // 4),
    "quotations": lambda n: '"a" ' * n,
    "lines in quotations": lambda n: '"\n  ' * n,
    "half marks": lambda n: " [1" * n,
    "a long number": lambda n: "[" + "1" * n,
}


def grows(work: Callable[[int], int]) -> float:
    """Ratio of work for an input twice as long."""
    return work(80) / work(40)


@pytest.mark.parametrize("shape", HOSTILE)
def test_the_work_grows_with_the_length_of_an_answer(shape: str) -> None:
    make = HOSTILE[shape]

    def work(size: int) -> int:
        steps = Steps()
        for pattern in vars(citations).values():
            if isinstance(pattern, re.Pattern):
                steps.search_all(pattern, make(size))
        return steps.count + instructions(lambda: verified(make(size), GIVEN))

    assert grows(work) < 2.1


def test_the_count_of_work_sees_a_pattern_that_goes_back() -> None:
    """White space before a mark, as one pattern."""
    pattern = re.compile(r"\s*\[(?P<bare>\d{1,6})\]")

    def work(size: int) -> int:
        steps = Steps()
        steps.search_all(pattern, " " * size)
        return steps.count

    assert grows(work) > 3.5


def test_a_passage_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counted(text: str) -> str:
        read.append(len(text))
        return neutral(text)

    monkeypatch.setattr(citations, "neutral", counted)
    answer = '"They burst when they are hot." "No such words are anywhere." ' * (MOST // 2)
    assert len(verified(answer, GIVEN).citations) == MOST // 2
    assert sum(read) <= len(answer) + sum(len(one.text) for one in GIVEN)
