"""Quality of a search: documents count, and missing ones count as nothing."""

import pytest

from appliance.datasets.items import Item
from appliance.errors import BadRequest, NotFound
from appliance.evals import evidence
from appliance.evals.asking import ASKER
from appliance.evals.evidence import Sought, seek, summed
from appliance.retrieval.search import SearchHits
from appliance.retrieval.service import SearchQuery
from appliance.tasks.definition import parse
from appliance.types import Passage, Principal
from tests.evals.test_results import ASKS

TASK = parse(ASKS.replace("collection =", "passages = 2\ncollection =").encode())


def passage(document: str) -> Passage:
    return Passage(document, document, 1, "", 0, "", 0, 1, "", "", 1.0, "x")


def item(number: int, text: str, **relevant: int) -> Item:
    return Item(f"i{number}", f"g{number}", {"text": text}, "x", relevant=relevant or None)


async def search(app: Principal, query: SearchQuery) -> SearchHits:
    assert app == ASKER and query.collection == "manuals" and query.wanted == 100
    if query.text == "too long":
        raise BadRequest("context_length_exceeded", "Too long.")
    if query.text == "gone":
        raise NotFound("collection_not_found", "Gone.")
    return SearchHits(tuple(passage(word) for word in query.text.split()), 7, "bm25", 9)


async def test_documents_count_and_so_do_the_passages_that_are_given() -> None:
    found = await seek(search, TASK, item(1, "a a b c", a=1, b=1, z=1))
    assert (found.group, found.ranking, found.generation) == ("g1", "bm25", 7)
    assert found.recall == pytest.approx(2 / 3) and found.given == pytest.approx(1 / 3)
    assert 0.7 < found.ndcg < 0.8
    late = await seek(search, TASK, item(1, " ".join(f"d{n}" for n in range(10)) + " a", a=1))
    assert (late.ndcg, late.recall) == (0, 0)


async def test_a_question_that_is_refused_finds_nothing() -> None:
    for text in ("too long", "x" * 501):  # by the search; by the task
        assert await seek(search, TASK, item(2, text, a=1)) == Sought("g2")
    with pytest.raises(NotFound):
        await seek(search, TASK, item(3, "gone", a=1))


def test_means_are_weighted_by_group() -> None:
    one, other = Sought("a", 1.0, 1.0, 1.0, "bm25", 7), Sought("b")
    found = summed(TASK, [one, one, one, other])
    assert found is not None and found.ndcg.value == found.given.value == 0.5
    assert (found.questions, found.generations, found.passages) == (4, (7,), 2)
    assert found.told().collection == "manuals"
    assert summed(TASK, []) is None
    nothing = summed(TASK, [other])
    assert nothing is not None and (nothing.ranking, nothing.recall.value) == ("", 0)
    assert evidence.WANTED == 10
