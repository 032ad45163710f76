"""Searches: right, repeatable, and blind to unreadable documents."""

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from appliance.errors import CollectionRefused, Unavailable
from appliance.retrieval.access import ADMIN, AccessSet, may_read, of_key
from appliance.retrieval.collection import OpenCollection
from appliance.retrieval.search import Searcher, SearchHits
from appliance.types import Passage
from appliance.workers.memory_budget import Budget
from tests.retrieval.shelf import collection, incoming, vector

K = 5


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[OpenCollection]:
    opened = collection(tmp_path / "c.db", ranking="bm25")
    yield opened
    opened.close()


def names(found: SearchHits) -> list[str]:
    return [passage.document for passage in found.passages]


def test_passages_are_spans_of_the_stored_text(shelf: OpenCollection) -> None:
    shelf.put(incoming("a.txt", "The relief valve opens at 12 bar.", "Hoses burst."), "p", 1)
    found = Searcher(shelf).search(ADMIN, "relief valves", 3)
    (passage,) = found.passages
    with shelf.reading() as connection:
        stored = connection.exec_driver_sql("SELECT text FROM versions").scalar_one()
    assert stored[passage.start : passage.end].decode() == passage.text
    assert passage.id == f"{passage.text_sha256[:16]}:{passage.start}-{passage.end}"
    assert (found.generation, found.ranking, found.documents) == (2, "bm25", 1)


def test_the_state_of_a_collection_counts_no_document_of_others(shelf: OpenCollection) -> None:
    """Repeated searches must not reveal the number of new documents."""
    mine = AccessSet(frozenset({"key:mine"}))
    searcher = Searcher(shelf)

    def state(access: AccessSet) -> int:
        return searcher.search(access, "pump", 3).generation

    shelf.put(incoming("a.txt", "my pump", access=["key:mine"]), "p", 1)
    before, counted = state(mine), state(ADMIN)
    for number in range(3):
        shelf.put(incoming(f"other{number}.txt", "their pump", access=["key:theirs"]), "p", 1)
    shelf.remove(["other0.txt"])
    assert state(mine) == before
    assert state(ADMIN) == counted + 4  # the control: the collection did change
    for change in (
        lambda: shelf.put(incoming("a.txt", "my other pump", access=None), "p", 1),
        lambda: shelf.put(incoming("b.txt", "my hose", access=["key:mine"]), "p", 1),
        lambda: shelf.grant("other1.txt", ["key:mine"]),
        lambda: shelf.remove(["b.txt"]),
    ):
        change()
        now = state(mine)
        assert now != before and 0 < now < 1 << 53
        before = now


@pytest.mark.parametrize("how", ["bm25", "vectors", "fusion"])
def test_the_best_passage_is_first_whatever_ranks(shelf: OpenCollection, how: str) -> None:
    for n in range(20):
        shelf.put(incoming(f"{n:02}.txt", f"filler number{n} text about engines"), "p", 1)
    shelf.put(incoming("valve.txt", "relief valve pressure"), "p", 1)
    query = "relief valve pressure"
    found = Searcher(shelf).search(ADMIN, query, 4, vector=vector(query), by=how)
    assert names(found)[0] == "valve.txt"
    assert found == Searcher(shelf).search(ADMIN, query, 4, vector=vector(query), by=how)


def test_only_the_current_version_is_found(shelf: OpenCollection) -> None:
    searcher = Searcher(shelf)
    shelf.put(incoming("a.txt", "old pressure"), "p", 1)
    assert names(searcher.search(ADMIN, "pressure", K)) == ["a.txt"]
    assert shelf.put(incoming("a.txt", "new temperature", access=None), "p", 2) == 2
    assert names(searcher.search(ADMIN, "pressure", K)) == []
    assert searcher.search(ADMIN, "temperature", K).passages[0].version == 2


def test_metadata_filters(shelf: OpenCollection) -> None:
    for name, site in (("a", "north"), ("b", "south")):
        shelf.put(incoming(name, "pump", metadata={"site": site}), "p", 1)
    found = Searcher(shelf).search(ADMIN, "pump", K, filters={"site": "south"})
    assert names(found) == ["b"]


def test_a_right_that_is_taken_away_is_gone_at_the_next_query(shelf: OpenCollection) -> None:
    searcher, access = Searcher(shelf), of_key("k1", ["fitters"])
    shelf.put(incoming("a", "pump", access=["group:fitters"]), "p", 1)
    assert names(searcher.search(access, "pump", K)) == ["a"]
    assert names(searcher.search(of_key("k1", []), "pump", K)) == []
    shelf.grant("a", ["key:k2"])
    assert searcher.search(access, "pump", K).documents == 0
    assert names(searcher.search(of_key("k2", []), "pump", K)) == ["a"]


def test_vectors_are_needed_where_they_rank(shelf: OpenCollection) -> None:
    with pytest.raises(CollectionRefused) as refused:
        Searcher(shelf).search(ADMIN, "pump", K, by="vectors")
    assert refused.value.code == "collection_invalid"


def test_one_readable_document_of_many_is_found_in_full(shelf: OpenCollection) -> None:
    for n in range(300):
        shelf.put(incoming(f"other{n}", "pump pump pump", access=["key:k2"]), "p", 1)
    shelf.put(incoming("mine", *(f"pump {n} " + "word " * 30 for n in range(K))), "p", 1)
    found = Searcher(shelf).search(of_key("k1", []), "pump", K)
    assert len(found.passages) == K and set(names(found)) == {"mine"}


def test_the_index_is_taken_out_of_the_budget_and_gives_way(shelf: OpenCollection) -> None:
    budget = Budget(1 << 30)
    searcher = Searcher(shelf, budget)
    shelf.put(incoming("a", "relief valve"), "p", 1)
    assert names(searcher.search(ADMIN, "valve", K)) == ["a"]
    assert budget.cached == searcher.size > 0
    budget.hold("a job", (1 << 30) - 1)  # needs all of it
    assert budget.cached == searcher._index.ids.size == 0
    with pytest.raises(Unavailable) as refused:
        searcher.search(ADMIN, "valve", K)
    assert (refused.value.code, budget.cached) == ("collection_memory", 0)
    budget.free("a job")
    assert names(searcher.search(ADMIN, "valve", K)) == ["a"]
    searcher.forget()
    assert budget.cached == 0


# The leak test: whatever a caller gets is what a collection of her documents alone would give.

Texts = dict[str, tuple[str, tuple[str, ...]]]


def alone(texts: Texts, access: AccessSet, query: str, how: str) -> list[tuple[str, float]]:
    """In plain Python over readable documents alone; one paragraph a document."""
    mine = {name: t.split() for name, (t, who) in texts.items() if may_read(access, who)}
    scores: dict[str, float] = {}
    if how == "vectors":
        wanted = vector(query)
        for name, words in mine.items():
            scores[name] = math.fsum(
                float(a) * float(b) for a, b in zip(vector(" ".join(words)), wanted, strict=True)
            )
    else:
        mean = sum(map(len, mine.values())) / max(1, len(mine))
        counts = {name: Counter(words) for name, words in mine.items()}
        for term in set(query.split()):
            have = [name for name in mine if counts[name][term]]
            idf = math.log1p((len(mine) - len(have) + 0.5) / (len(have) + 0.5))
            for name in have:
                tf = counts[name][term]
                part = idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * len(mine[name]) / mean))
                scores[name] = scores.get(name, 0) + part
    ranked = sorted(scores.items(), key=lambda pair: (-round(pair[1], 7), pair[0]))
    return [(name, round(score, 7)) for name, score in ranked[:K]]


def shown(passages: Sequence[Passage]) -> list[tuple[str, float]]:
    ranked = sorted(passages, key=lambda p: (-round(p.score, 7), p.document))
    return [(p.document, round(p.score, 7)) for p in ranked]


class World:
    def __init__(self, shelf: OpenCollection, rng: random.Random) -> None:
        self.shelf, self.rng = shelf, rng
        self.texts: Texts = {}
        self.groups: dict[str, set[str]] = {f"k{n}": set() for n in range(50)}
        for n in range(60):
            self.write(f"d{n:03}")

    def write(self, name: str) -> None:
        body = " ".join(f"w{self.rng.randrange(80)}" for _ in range(self.rng.randrange(3, 20)))
        who = self.readers()
        self.texts[name] = (body, who)
        self.shelf.put(incoming(name, body, access=who), "p", 1)

    def readers(self) -> tuple[str, ...]:
        names = [*(f"key:k{n}" for n in range(50)), *(f"group:g{n}" for n in range(8))]
        chosen = self.rng.sample(names, self.rng.randrange(6))
        return tuple([*chosen, "everyone"] if self.rng.random() < 0.1 else chosen)

    def change(self) -> None:
        name = self.rng.choice(sorted(self.texts))
        kind = self.rng.random()
        if kind < 0.5:
            who = self.readers()
            self.shelf.grant(name, who)
            self.texts[name] = (self.texts[name][0], who)
        elif kind < 0.8:
            key = self.rng.choice(sorted(self.groups))
            self.groups[key] ^= {f"g{self.rng.randrange(8)}"}
        elif kind < 0.95:
            self.write(name)
        else:
            self.shelf.remove([name])
            del self.texts[name]
            self.write(f"d{self.rng.randrange(60):03}")


def leaks(shelf: OpenCollection, queries: int, filtered_after: bool = False) -> int:
    """Number of answers that differ from those of a collection of the caller's documents only."""
    rng = random.Random(7)
    world, searcher, found = World(shelf, rng), Searcher(shelf), 0
    for number in range(queries):
        if number % 7 == 0:
            world.change()
        key = rng.choice(sorted(world.groups))
        access = of_key(key, world.groups[key])
        query = " ".join(f"w{rng.randrange(80)}" for _ in range(rng.randrange(1, 4)))
        how = rng.choice(["bm25", "vectors"])
        asked = ADMIN if filtered_after else access
        passages = searcher.search(asked, query, K, vector=vector(query), by=how).passages
        if filtered_after:
            passages = tuple(p for p in passages if may_read(access, world.texts[p.document][1]))
        assert all(may_read(access, world.texts[p.document][1]) for p in passages)
        found += not same(shown(passages), alone(world.texts, access, query, how))
    return found


def same(ours: list[tuple[str, float]], plain: list[tuple[str, float]]) -> bool:
    """Equal scores in order; at the cut rounding may choose other documents of equal scores."""
    if [score for _, score in ours] != pytest.approx([score for _, score in plain], abs=2e-7):
        return False
    return all(a == b for (a, x), (b, _) in zip(ours, plain, strict=True) if unique(x, plain))


def unique(score: float, plain: list[tuple[str, float]]) -> bool:
    return sum(abs(other - score) < 1e-6 for _, other in plain) == 1 and (
        abs(plain[-1][1] - score) > 1e-6
    )


def found_by_id(shelf: OpenCollection, queries: int, *, all_rights: bool = False) -> int:
    """Number of unreadable passages that the caller got by id."""
    rng = random.Random(11)
    world, searcher, wrong = World(shelf, rng), Searcher(shelf), 0
    ids: dict[str, str] = {}
    for number in range(queries):
        if number % 50 == 0:
            world.change()
            every = searcher.search(ADMIN, " ".join(f"w{n}" for n in range(80)), 100, by="bm25")
            ids = {one.document: one.id for one in every.passages}
        key, name = rng.choice(sorted(world.groups)), rng.choice(sorted(ids))
        access = of_key(key, world.groups[key])
        hits = searcher.passage(ADMIN if all_rights else access, ids[name])
        # Two documents of one text have passages of one id.
        alike = {n for n, other in ids.items() if other == ids[name]}
        readable = {n for n in alike if may_read(access, world.texts[n][1])}
        got = set() if hits is None else set(names(hits))
        wrong += not (got <= readable and bool(got) == bool(readable))
    return wrong


def test_a_passage_is_found_by_its_id_by_who_may_read_it_alone(shelf: OpenCollection) -> None:
    assert found_by_id(shelf, 1_000) == 0


@pytest.mark.slow
def test_no_passage_of_twenty_thousand_is_given_to_another(shelf: OpenCollection) -> None:
    assert found_by_id(shelf, 20_000) == 0


def test_a_reader_of_everything_would_get_them(shelf: OpenCollection) -> None:
    assert found_by_id(shelf, 200, all_rights=True) > 50


@pytest.mark.parametrize(
    "name", ["", "x", "0" * 16 + ":0-1", "' OR 1=1:0-1", "0" * 16 + ":0-" + "9" * 30]
)
def test_what_is_no_id_finds_nothing(shelf: OpenCollection, name: str) -> None:
    shelf.put(incoming("a.txt", "The pump leaks."), "p", 1)
    assert Searcher(shelf).passage(ADMIN, name) is None


def test_no_answer_depends_on_what_may_not_be_read(shelf: OpenCollection) -> None:
    assert leaks(shelf, 400) == 0


@pytest.mark.slow
def test_no_answer_of_twenty_thousand_leaks(shelf: OpenCollection) -> None:
    assert leaks(shelf, 20_000) == 0


def test_a_filter_after_ranking_would_leak(shelf: OpenCollection) -> None:
    assert leaks(shelf, 200, filtered_after=True) > 50


def test_fusion_is_as_blind(shelf: OpenCollection, tmp_path: Path) -> None:
    apart = collection(tmp_path / "apart.db")
    for n in range(40):
        document = incoming(f"d{n:02}", f"pump valve w{n % 7} w{n % 3}", access=[f"key:k{n % 2}"])
        shelf.put(document, "p", 1)
        if n % 2:
            apart.put(document, "p", 1)
    for query in ("pump w1", "valve w2 w5"):
        searches = [
            Searcher(c).search(of_key("k1", []), query, K, vector=vector(query), by="fusion")
            for c in (shelf, apart)
        ]
        assert searches[0].passages == searches[1].passages
        assert searches[0].documents == searches[1].documents
    apart.close()
