"""Choice of a collection's search, measured on questions whose answers are known. A job.

Rules:
- A question counts documents, not chunks: nDCG@10 and recall@10.
- Questions, or their groups, are the unit of every interval. With fewer than 50 nothing is decided.
- The best is taken by its mean; fusion, which costs both, only where it is better than either.
- The log and the job keep the questions' number and digest only: they are the customer's text.
"""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final, TypeAlias

import msgspec
from msgspec import Meta

from appliance.audit.appending import append
from appliance.audit.log import AuditLog, Draft
from appliance.datasets.items import build
from appliance.errors import CollectionRefused, DatasetRefused
from appliance.jobs.kind import Context, JobKind
from appliance.retrieval.access import ADMIN
from appliance.retrieval.embedder import INDEXER, Embedder
from appliance.retrieval.library import CollectionLibrary, Shelf
from appliance.retrieval.ranking import Floats, ndcg, recall
from appliance.retrieval.search import MOST_PASSAGES
from appliance.serving.inference import RETRIEVAL, Inference
from appliance.statistics import groups
from appliance.types import FEWEST_GROUPS, Caller
from appliance.wire.admin.results import RankingMeasured, SearchTuned

MOST_BYTES: Final = 16 << 20
MOST_QUESTIONS: Final = 5_000
WANTED: Final = 10
_Grade: TypeAlias = Annotated[int, Meta(ge=1, le=100)]


class JudgedQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Documents that answer, each with its gain.

    Attributes:
        group: one unit of intervals; "" stands alone.
    """

    query: Annotated[str, Meta(min_length=1, max_length=8_192)]
    relevant: Annotated[dict[str, _Grade], Meta(min_length=1, max_length=1_000)]
    group: Annotated[str, Meta(max_length=256)] = ""


class RankingWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a tuning.

    Attributes:
        questions: a file on the host, one JSON object a line.
        apply: whether to set the best ranking.
    """

    collection: str
    questions: str
    apply: bool = True


@dataclass(frozen=True)
class Scores:
    """One ranking's scores, question by question.

    Attributes:
        groups: of each question; () where each stands alone.
    """

    ndcg: tuple[float, ...]
    recall: tuple[float, ...]
    groups: tuple[str, ...] = ()

    @property
    def units(self) -> Sequence[Hashable]:
        return self.groups or range(len(self.ndcg))


def best(scores: Mapping[str, Scores]) -> str:
    """The best ranking; "" with too few questions."""
    if len(set(next(iter(scores.values())).units)) < FEWEST_GROUPS:
        return ""
    reached = {name: groups.mean(held.ndcg, held.units).value for name, held in scores.items()}
    return max(reached, key=lambda name: (reached[name], name != "fusion"))


def report(scores: Mapping[str, Scores]) -> list[RankingMeasured]:
    """With 95 % intervals, the best first."""
    rows = []
    for name, held in scores.items():
        each = held.units
        gain, recall = groups.mean(held.ndcg, each), groups.mean(held.recall, each)
        rows.append(
            RankingMeasured(
                ranking=name,
                ndcg=round(gain.value, 4),
                ndcg_interval=(round(gain.interval.low, 4), round(gain.interval.high, 4)),
                recall=round(recall.value, 4),
                recall_interval=(round(recall.interval.low, 4), round(recall.interval.high, 4)),
            )
        )
    return sorted(rows, key=lambda row: -row.ndcg)


def read(data: bytes) -> list[JudgedQuestion]:
    """Read a file of questions. Raises CollectionRefused: `questions_invalid`, naming the line."""
    if len(data) > MOST_BYTES:
        raise _invalid(f"it has more than {MOST_BYTES >> 20} MiB")
    found: list[JudgedQuestion] = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(_question(line))
        except (msgspec.MsgspecError, DatasetRefused, RecursionError, ValueError) as error:
            raise _invalid(f"line {number}: {error}") from error
    if not 1 <= len(found) <= MOST_QUESTIONS:
        raise _invalid(f"it has {len(found)} questions, and 1 to {MOST_QUESTIONS} are taken")
    return found


def _question(line: bytes) -> JudgedQuestion:
    value = msgspec.json.decode(line)
    if not isinstance(value, dict) or "input" not in value:
        return msgspec.convert(value, JudgedQuestion)
    item = build(value, "it")
    if item.relevant is None:
        raise ValueError("it names no relevant documents")
    asked = next((text for text in item.input.values() if isinstance(text, str) and text), "")
    fields = {"query": asked, "relevant": item.relevant, "group": item.group}
    return msgspec.convert(fields, JudgedQuestion)


class Tuning(JobKind[RankingWanted, SearchTuned]):
    """The job."""

    name: ClassVar[str] = "tune-search"
    form = RankingWanted
    malformed = (CollectionRefused, "questions_invalid")
    unit: ClassVar[str] = "questions"
    heavy: ClassVar[bool] = True

    def __init__(self, library: CollectionLibrary, inference: Inference, audit: AuditLog) -> None:
        self._library, self._inference, self._audit = library, inference, audit

    def check(self, params: RankingWanted) -> None:
        """Check the parameters.

        Raises:
            CollectionRefused: `collection_not_found`, `questions_invalid`.
        """
        shelf = self._library.get(params.collection)
        known = {document.name for document in shelf.collection.documents(ADMIN)}
        for question in _questions(params)[1]:
            if missing := sorted(question.relevant.keys() - known):
                raise _invalid(f"{missing[0][:200]!r} is no document of {params.collection}")

    def title(self, params: RankingWanted) -> str:
        return params.collection

    async def run(self, job: Context[RankingWanted]) -> SearchTuned:
        wanted = job.params
        shelf = self._library.get(wanted.collection)
        settings = shelf.collection.settings
        digest, questions = await job.in_thread(_questions, wanted)
        rankings = ("bm25", "vectors", "fusion") if settings.embedder else ("bm25",)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in rankings}
        caller = Caller(INDEXER, f"tune-{job.id}", "", RETRIEVAL)
        embedder = Embedder(self._inference, settings)
        for number, question in enumerate(questions):
            job.report("questions", number, len(questions))
            vector = await embedder.query(caller, question.query) if settings.embedder else None
            for name in rankings:
                found[name].append(await job.in_thread(_score, shelf, question, vector, name))
        # One without a group stands alone.
        units = tuple(one.group or f"\0{n}" for n, one in enumerate(questions))
        scores = {
            name: Scores(tuple(gain for gain, _ in rows), tuple(share for _, share in rows), units)
            for name, rows in found.items()
        }
        chosen = best(scores)
        changes = bool(chosen) and wanted.apply and chosen != settings.ranking
        if changes:
            deed = Draft.deed(
                "collection_ranking",
                job.actor,
                collection=wanted.collection,
                ranking=chosen,
                questions=digest,
            )
            await append(self._audit, deed)
            await job.in_thread(shelf.collection.set_ranking, chosen)
        return SearchTuned(
            collection=wanted.collection,
            questions=len(questions),
            questions_sha256=digest,
            rankings=report(scores),
            best=chosen,
            before=settings.ranking,
            applied=changes,
        )


def _score(
    shelf: Shelf, question: JudgedQuestion, vector: Floats | None, name: str
) -> tuple[float, float]:
    found = shelf.searcher.search(ADMIN, question.query, MOST_PASSAGES, vector=vector, by=name)
    names = [passage.document for passage in found.passages]
    relevant = question.relevant
    return ndcg(names, relevant, WANTED), recall(names, relevant, WANTED)


def _questions(wanted: RankingWanted) -> tuple[str, Sequence[JudgedQuestion]]:
    try:
        data = Path(wanted.questions).read_bytes()
    except OSError as error:
        raise _invalid(f"it cannot be read: {error.strerror}") from error
    return hashlib.sha256(data).hexdigest(), read(data)


_invalid: Final = CollectionRefused.of("questions_invalid", "The questions cannot be used")
