"""Quality and speed of a collection's search; the findings go into `results/retrieval.md`.

Rules: quality is measured by the product's own tuner on questions with known answers; speed is that
of a whole `Searcher.search`. Its collection is the Python documentation and text made of runs of
its words, with random vectors.

usage: python -m benchmarks.retrieval quality debfaq|pydocs [--words-alone] [--budget N]
       python -m benchmarks.retrieval speed [--chunks N] python -m benchmarks.retrieval timing
       [--documents N]
"""

import argparse
import asyncio
import hashlib
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import column

from appliance.app import Services, open_services
from appliance.config import AuditConfig, Config, EngineConfig, ModelConfig
from appliance.db import sealed_columns
from appliance.errors import BadRequest
from appliance.retrieval.access import ADMIN, of_key
from appliance.retrieval.chunking import TextChunk, chunks
from appliance.retrieval.collection import EMBEDDED_BUDGET, Incoming, OpenCollection, Settings
from appliance.retrieval.embedder import Embedder
from appliance.retrieval.extracted import Builder, Extracted
from appliance.retrieval.library import Shelf
from appliance.retrieval.ranking import Floats
from appliance.retrieval.schema import VECTORS
from appliance.retrieval.search import Searcher
from benchmarks import retrieval_sets
from benchmarks.results import Figure
from benchmarks.retrieval_sets import QuestionSet, Section
from benchmarks.sheets import keep
from benchmarks.statistics import Summary
from installer.bundle import e5
from installer.bundle.cache import cache_root
from installer.bundle.steps import say
from tests.smol import ID, caller, make_data, sealed

SETS: Final = {"debfaq": retrieval_sets.debfaq, "pydocs": retrieval_sets.pydocs}
_WIDTH: Final = 384
_RANKINGS: Final = ("bm25", "vectors", "fusion")
_CONFIG: Final = Config(
    engine=EngineConfig(threads=2),
    models={"default": ModelConfig(n_ctx=512, slots=4)},
    audit=AuditConfig(ballast_mib=0),
)


def extracted(section: Section) -> Extracted:
    """A section as a reader gives it."""
    builder = Builder()
    if section.title:
        builder.add("heading", section.title, level=1)
    builder.add("paragraph", section.text)
    return builder.done()


def incoming(name: str, text: Extracted, cut: list[TextChunk], vectors: Floats | None) -> Incoming:
    """Every other document is for one group only."""
    digest = hashlib.sha256(text.text).hexdigest()
    who = "everyone" if int(digest[:2], 16) % 2 else f"group:g{int(digest[2], 16)}"
    return Incoming(name, digest, "text", text, cut, vectors, (who,))


async def quality(name: str, words_alone: bool, budget: int = EMBEDDED_BUDGET) -> dict[str, Any]:
    """The tuner's findings on a set, language by language."""
    asked = SETS[name]()
    with tempfile.TemporaryDirectory() as root:
        data = make_data(Path(root), e5.obtained(cache_root() / "models"))
        with open_services(data, config=_CONFIG) as services:
            digest = ""
            if not words_alone:
                await services.supervisor.start(sealed(services))
                (card,) = services.supervisor.served()
                digest = card.digest
            try:
                return await _quality(services, asked, digest, Path(root), budget)
            finally:
                await services.inference.drain(30)
                await services.supervisor.close()


async def _quality(
    services: Services, asked: QuestionSet, digest: str, root: Path, budget: int
) -> dict[str, Any]:
    settings = Settings(budget=budget)
    if digest:
        settings = Settings(ID, digest, "query: ", "passage: ", "vectors", budget)
    library = services.retrieval.library
    library.create("set", settings)
    collection = library.get("set").collection
    embedder = Embedder(services.inference, settings)
    begun, count = time.monotonic(), 0
    for section in asked.sections:
        text = extracted(section)
        cut, vectors = await _cut(text, settings, embedder)
        collection.put(incoming(section.id, text, cut, vectors), "p", 1)
        count += len(cut)
    found: dict[str, Any] = {
        "sections": len(asked.sections),
        "chunks": count,
        "chunks_s": round(count / (time.monotonic() - begun), 1),
    }
    for language, questions in asked.questions.items():
        lines = [json.dumps({"query": q, "relevant": grades}) for q, grades in questions]
        path = root / f"{language}.jsonl"
        path.write_text("\n".join(lines), "utf-8")
        params = {"collection": "set", "questions": str(path), "apply": False}
        found[language] = await (await services.jobs.start("tune-search", params, "p")).outcome()
        if digest:
            near = [await embedder.query(caller(), question) for question, _ in questions]
            found[language]["recall@10 of exact"] = _recall(library.get("set"), near)
    return found


async def _cut(
    text: Extracted, settings: Settings, embedder: Embedder
) -> tuple[list[TextChunk], Floats | None]:
    """As in an ingest, smaller chunks where the embedder takes no larger."""
    budget, overlap = settings.budget, settings.overlap
    while True:
        cut = chunks(text.text, text.blocks, budget=budget, overlap=overlap)
        if not settings.embedder:
            return cut, None
        try:
            texts = [text.text[c.start : c.end].decode() for c in cut]
            return cut, await embedder.passages(texts, "set")
        except BadRequest as error:
            if error.code != "context_length_exceeded":
                raise
            budget, overlap = budget // 2, overlap // 2


async def speed(wanted: int) -> dict[str, Any]:
    """Milliseconds of a search, by rights and ranking; and with the query's embedding."""
    asked = retrieval_sets.pydocs()
    questions = [text for text, _ in asked.questions["en"]]
    with tempfile.TemporaryDirectory() as root:
        data = make_data(Path(root), e5.obtained(cache_root() / "models"))
        with open_services(data, config=_CONFIG) as services:
            await services.supervisor.start(sealed(services))
            (card,) = services.supervisor.served()
            settings = Settings(ID, card.digest, "query: ", "passage: ", "vectors")
            services.retrieval.library.create("set", settings)
            shelf = services.retrieval.library.get("set")
            embedder = Embedder(services.inference, settings)
            try:
                found = _filled(shelf.collection, asked, wanted)
                found |= _searched(shelf.searcher, questions)
                vectors = [_vectors(1, number)[0] for number in range(len(questions))]
                found["recall@10 of exact"] = _recall(shelf, vectors)
                found |= await _embedded(shelf, embedder, questions)
                return found
            finally:
                await services.inference.drain(30)
                await services.supervisor.close()


def _filled(collection: OpenCollection, asked: QuestionSet, wanted: int) -> dict[str, Any]:
    begun, count = time.monotonic(), 0
    for name, text in _texts(asked.sections):
        if count >= wanted:
            break
        cut = chunks(text.text, text.blocks, budget=220, overlap=40)
        collection.put(incoming(name, text, cut, _vectors(len(cut), count)), "p", 1)
        count += len(cut)
    return {"chunks": count, "build_s": round(time.monotonic() - begun)}


def _searched(searcher: Searcher, questions: list[str]) -> dict[str, Any]:
    begun, before = time.monotonic(), _resident()
    searcher.search(ADMIN, "x", 10, by="bm25")
    found: dict[str, Any] = {
        "first_s": round(time.monotonic() - begun, 1),
        "index_mib": searcher.size >> 20,
        "resident_mib": (_resident() - before) >> 20,
    }
    callers = {"everything": ADMIN, "about half": of_key("k", []), "more": of_key("k", ["g1"])}
    for who, access in callers.items():
        for by in _RANKINGS:
            spent = []
            for number, question in enumerate(questions):
                vector, begun = _vectors(1, number)[0], time.perf_counter()
                searcher.search(access, question, 10, vector=vector, by=by)
                spent.append(time.perf_counter() - begun)
            found[f"{who}, {by}"] = _times(spent)
    return found


async def _embedded(shelf: Shelf, embedder: Embedder, questions: list[str]) -> dict[str, Any]:
    """With the query's vector made by the model."""
    whole, alone = [], []
    for number, question in enumerate(questions):
        begun = time.perf_counter()
        vector = await embedder.query(caller(request_id=f"q{number}"), question)
        alone.append(time.perf_counter() - begun)
        await asyncio.to_thread(shelf.searcher.search, ADMIN, question, 10, vector=vector)
        whole.append(time.perf_counter() - begun)
    return {"embedding alone": _times(alone), "everything, vectors, embedding": _times(whole)}


def _recall(shelf: Shelf, asked: Sequence[Floats]) -> float:
    """The share found of the ten nearest chunks, by all vectors as they are stored."""
    with shelf.collection.reading() as connection:
        sql = "SELECT v.vector, c.sha256 FROM vectors v JOIN chunks c ON c.id = v.chunk"
        rows = connection.execute(sealed_columns(sql, *VECTORS.c, column("sha256"))).fetchall()
    stored = np.frombuffer(b"".join(row[0] for row in rows), "<f4").reshape(len(rows), -1)
    names = np.array([row[1] for row in rows])
    shares = []
    for vector in asked:
        near = names[np.argsort(-(stored @ vector), kind="stable")[:10]]
        found = shelf.searcher.search(ADMIN, "", 10, vector=vector, by="vectors")
        shares.append(len({p.sha256 for p in found.passages} & set(near)) / len(set(near)))
    return round(float(np.mean(shares)), 4)


def _times(spent: list[float]) -> dict[str, float]:
    middle, late = 1e3 * np.percentile(spent, [50, 95])
    return {"p50_ms": round(middle, 1), "p95_ms": round(late, 1)}


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def timing(wanted: int) -> dict[str, Any]:
    """Information in the time of a search about documents that the caller may not read.

    Two collections have the same readable tenth; in one, every other document has a word that no
    readable one has. `told`: share of pairs of searches for it that took longer there; 0.5 tells
    nothing.
    """
    rng = random.Random(1)  # no secret
    words = [f"w{number}" for number in range(2_000)]
    bodies = [" ".join(rng.choices(words, k=120)) for _ in range(wanted)]
    access = of_key("k", [])
    with tempfile.TemporaryDirectory() as root:
        searchers = []
        for present in (False, True):
            path = Path(root) / f"{present}.db"
            OpenCollection.create(path, Settings())
            collection = OpenCollection(path)
            for number, body in enumerate(bodies):
                hidden = number % 10 > 0
                text = extracted(Section("", "", body + " canary" * (hidden and present)))
                cut = chunks(text.text, text.blocks, budget=440, overlap=0)
                who = ("group:others",) if hidden else ("everyone",)
                one = Incoming(str(number), str(number), "text", text, cut, None, who)
                collection.put(one, "p", 1)
            searchers.append(Searcher(collection))
        spent: list[list[float]] = [[], []]
        for number in range(2_000):
            for which in (0, 1) if number % 2 else (1, 0):
                begun = time.perf_counter()
                found = searchers[which].search(access, f"canary w{number}", 10)
                if number >= 100:
                    spent[which].append(1e3 * (time.perf_counter() - begun))
                if any("canary" in passage.text for passage in found.passages):
                    raise AssertionError("a passage leaked")
    absent, beside = map(np.array, spent)
    longer = float((beside[:, None] > absent[None, :]).mean())
    return {
        "documents": wanted,
        "readable": wanted // 10,
        "absent_ms": round(float(np.median(absent)), 3),
        "present_ms": round(float(np.median(beside)), 3),
        "told": round(longer, 3),
    }


def _texts(sections: list[Section]) -> Iterator[tuple[str, Extracted]]:
    """The sections, and without end texts made of runs of their words."""
    for section in sections:
        yield section.id, extracted(section)
    rng, number = random.Random(1), 0  # no secret
    words = " ".join(section.text for section in sections).split()
    while True:
        number += 1
        runs = []
        for _ in range(40):
            at = rng.randrange(len(words) - 60)
            runs.append(" ".join(words[at : at + rng.randrange(20, 60)]))
        yield f"made/{number}", extracted(Section("", "", ". ".join(runs)))


def _vectors(count: int, seed: int) -> Floats:
    found = np.random.default_rng(seed).standard_normal((count, _WIDTH), np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


_WANTED: Final = {"debfaq en": 0.69, "debfaq de": 0.63, "debfaq fr": 0.60, "pydocs en": 0.36}


def keep_quality(name: str, found: dict[str, Any], words_alone: bool, seconds: float) -> None:
    """Put the best ranking of each language into the sheet; the spread is the 95 % interval."""
    figures = []
    for language in (key for key in found if isinstance(found[key], dict)):
        best = found[language]["rankings"][0]
        value = Summary(best["ndcg"], *best["ndcg_interval"])
        said = f"{name} {language}: nDCG@10 by {best['ranking']}"
        figures.append(Figure(said, "", value, None, None, "≥", _WANTED[f"{name} {language}"]))
    words = " --words-alone" if words_alone else ""
    keep(
        "retrieval",
        f"{name}, {'words' if words else 'e5'}",
        f"{found['sections']} sections, {found['chunks']} chunks",
        figures,
        seconds,
        1,
        commands={"ours": f"python -m benchmarks.retrieval quality {name}{words}"},
        notes=[f"{found['chunks_s']} chunks a second were read, embedded and stored"],
    )


def keep_speed(found: dict[str, Any], seconds: float) -> None:
    """Put the 95th percentiles into the sheet; the spread is from the median to these."""
    figures = []
    for name, value in found.items():
        if isinstance(value, dict):
            late, usual = float(value["p95_ms"]), float(value["p50_ms"])
            most = 60.0 if "embedding" in name else 25.0
            said = f"a search: {name}, p95"
            figures.append(Figure(said, "ms", Summary(late, usual, late), None, None, "≤", most))
    exact = Summary.of([float(found["recall@10 of exact"])])
    figures.append(Figure("recall@10 of the exact nearest", "", exact, None, None, "≥", 0.99))
    keep(
        "retrieval",
        "speed",
        f"{found['chunks']} chunks, vectors at random",
        figures,
        seconds,
        1,
        commands={"ours": f"python -m benchmarks.retrieval speed --chunks {found['chunks']}"},
        notes=[
            f"the index takes {found['index_mib']} MiB ({found['resident_mib']} MiB more were"
            f" resident once it was made), the first search {found['first_s']} s"
        ],
    )


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval")
    parts = parser.add_subparsers(dest="what", required=True)
    good = parts.add_parser("quality")
    good.add_argument("set", choices=sorted(SETS))
    good.add_argument("--words-alone", action="store_true", help="without an embedder")
    good.add_argument(
        "--budget", type=int, default=EMBEDDED_BUDGET, help="tokens of a chunk, by estimate"
    )
    fast = parts.add_parser("speed")
    fast.add_argument("--chunks", type=int, default=100_000)
    leak = parts.add_parser("timing")
    leak.add_argument("--documents", type=int, default=5_000)
    given = parser.parse_args()
    begun = time.monotonic()
    if given.what == "timing":
        found = timing(given.documents)
    elif given.what == "speed":
        found = asyncio.run(speed(given.chunks))
        keep_speed(found, time.monotonic() - begun)
    else:
        found = asyncio.run(quality(given.set, given.words_alone, given.budget))
        keep_quality(given.set, found, given.words_alone, time.monotonic() - begun)
    say(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
