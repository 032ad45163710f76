"""The tuner takes the best ranking of a collection, and none where it cannot decide."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.app import Services, initialise, open_services
from appliance.audit.search import Query
from appliance.errors import CollectionRefused
from appliance.retrieval import tuning
from appliance.retrieval.collection import OpenCollection, Settings
from appliance.retrieval.tuning import JudgedQuestion, Scores, best, read, report
from tests.retrieval.shelf import incoming


def scores(*values: float, count: int = 60) -> Scores:
    held = tuple(values[n % len(values)] for n in range(count))
    return Scores(held, held)


def test_the_best_mean_is_taken_and_fusion_only_where_it_is_better() -> None:
    single = {"bm25": scores(0.4, 0.5), "vectors": scores(0.6, 0.7)}
    assert best(single) == "vectors"
    assert best({**single, "fusion": scores(0.9, 1.0)}) == "fusion"
    assert best({**single, "fusion": scores(0.6, 0.72)}) == "fusion"
    assert best({**single, "fusion": scores(0.6, 0.7)}) == "vectors"
    assert best({**single, "fusion": scores(0.3)}) == "vectors"
    assert best({"bm25": scores(0.8), "vectors": scores(0.2)}) == "bm25"
    assert best({"bm25": scores(0.8)}) == "bm25"


def test_few_questions_decide_nothing() -> None:
    few = {"bm25": scores(0.1, count=49), "vectors": scores(0.9, count=49)}
    assert best(few) == ""
    assert best({name: scores(0.5, count=50) for name in few})


def test_the_report_has_intervals_and_begins_with_the_best() -> None:
    rows = report({"bm25": scores(0.2, 0.4), "vectors": scores(0.5, 0.9)})
    assert [row.ranking for row in rows] == ["vectors", "bm25"]
    for row in rows:
        assert row.ndcg_interval[0] < row.ndcg < row.ndcg_interval[1]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b'{"query": "a"}', b'{"query": "a", "relevant": {}}',
        b'{"query": "", "relevant": {"d": 1}}', b'{"query": "a", "relevant": {"d": 0}}',
        b'{"query": "a", "relevant": {"d": 1}, "more": 1}', b"[" * 100_000,
        b'{"query": "a", "relevant": {"d": 1}}\n' * (tuning.MOST_QUESTIONS + 1),
        b'{"id": "1", "group": "g", "input": "a", "expected": "b"}',
        b'{"id": "1", "input": "a", "relevant": {"d": 1}}',
        b'{"id": "1", "group": "g", "input": {"n": 1}, "relevant": {"d": 1}}',
    ],
)  # fmt: skip
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(CollectionRefused) as refused:
        read(data)
    assert refused.value.code == "questions_invalid"


def test_items_of_a_dataset_are_questions_too_and_count_by_group() -> None:
    line = b'{"id": "1", "group": "g", "input": {"q": "when?"}, "relevant": {"a.txt": 2}}'
    assert read(line) == [JudgedQuestion("when?", {"a.txt": 2}, "g")]
    values = tuple(float(n % 2) for n in range(60))
    alone, paired = (
        Scores(values, values, g) for g in ((), tuple(f"g{n // 2}" for n in range(60)))
    )
    assert (best({"bm25": alone}), best({"bm25": paired})) == ("bm25", "")
    apart = Scores(values, values, tuple(f"g{n % 30}" for n in range(60)))
    wide, narrow = (report({"bm25": one})[0].ndcg_interval for one in (apart, alone))
    assert wide[1] - wide[0] > narrow[1] - narrow[0]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    data = tmp_path_factory.mktemp("tuning") / "data"
    initialise(data, "lab")
    with open_services(data) as services:
        yield services


@pytest.fixture
def shelf(opened: Services) -> Iterator[OpenCollection]:
    library = opened.retrieval.library
    library.create("c", Settings())
    collection = library.get("c").collection
    for number in range(60):
        text = f"The part number{number} is made of steel."
        collection.put(incoming(f"{number}.txt", text, access=[], embedded=False), "p", 1)
    yield collection
    library.drop("c")


async def test_a_job_measures_the_collection(
    opened: Services, shelf: OpenCollection, tmp_path: Path
) -> None:
    asked = tmp_path / "asked.jsonl"
    lines = [{"query": f"SECRETLY number{n} steel", "relevant": {f"{n}.txt": 2}} for n in range(60)]
    asked.write_text("\n".join(map(json.dumps, lines)))
    params = {"collection": "c", "questions": str(asked)}
    result = (await (await opened.jobs.start("tune-search", params, "uid:0")).outcome()).document
    (row,) = result["rankings"]
    assert (row["ranking"], row["ndcg"], row["recall"]) == ("bm25", 1.0, 1.0)
    assert (result["best"], result["applied"], result["questions"]) == ("bm25", False, 60)
    bodies = [
        entry.raw for entry in opened.reader.search(Query(limit=50, newest_first=True)).entries
    ]
    assert bodies and not any(b"SECRETLY" in body for body in bodies)


async def test_a_question_about_no_document_is_refused(
    opened: Services, shelf: OpenCollection, tmp_path: Path
) -> None:
    asked = tmp_path / "asked.jsonl"
    asked.write_text('{"query": "x", "relevant": {"nothing.txt": 1}}')
    for path in (asked, tmp_path / "none"):
        with pytest.raises(CollectionRefused) as refused:
            await opened.jobs.start("tune-search", {"collection": "c", "questions": str(path)}, "p")
        assert refused.value.code == "questions_invalid"
