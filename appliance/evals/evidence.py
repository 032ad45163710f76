"""Results of a task's search for items that name the documents which answer them.

Rules:
- The search is the task's own, as the app `evaluation`, with that app's rights.
- nDCG@10 and recall@10 count the documents found; the recall of given passages counts documents
  whose passages the model may get. A refused question finds nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.datasets.items import Item
from appliance.errors import BadRequest
from appliance.evals import scoring
from appliance.evals.asking import ASKER
from appliance.retrieval.ranking import ndcg, recall
from appliance.retrieval.search import MOST_PASSAGES
from appliance.retrieval.service import SearchQuery
from appliance.statistics import groups
from appliance.statistics.groups import GroupMean
from appliance.tasks.cited import Evidence
from appliance.tasks.definition import Task, Text
from appliance.tasks.inputs import checked
from appliance.wire.admin.results import SearchMeasured

WANTED = 10
"""Documents that are counted."""


@dataclass(frozen=True)
class Sought:
    """One item's passages.

    Attributes:
        given: share of its documents among the passages for the model.
        generation: of the collection; 0 without a search.
    """

    group: str
    ndcg: float = 0.0
    recall: float = 0.0
    given: float = 0.0
    ranking: str = ""
    generation: int = 0


@dataclass(frozen=True)
class Retrieval:
    """Quality of a task's search.

    Attributes:
        passages: most of one prompt.
        generations: searched states of the collection; more than one if it changed.
    """

    collection: str
    ranking: str
    passages: int
    generations: tuple[int, ...]
    questions: int
    ndcg: GroupMean
    recall: GroupMean
    given: GroupMean

    def told(self) -> SearchMeasured:
        return SearchMeasured(
            collection=self.collection,
            ranking=self.ranking,
            generation=self.generations[-1],
            passages=self.passages,
            questions=self.questions,
            ndcg_10=(self.ndcg.value, *self.ndcg.interval),
            recall_10=(self.recall.value, *self.recall.interval),
            recall_given=(self.given.value, *self.given.interval),
        )


async def seek(search: Evidence, task: Task, item: Item) -> Sought:
    """Raises ApplianceError: the collection or its embedder is not there."""
    output, relevant = task.output, item.relevant or {}
    if not isinstance(output, Text) or not output.collection:
        raise TypeError("the task has no collection")
    try:
        question = checked(task, scoring.input_of(task, item))[task.input[0].name]
        found = await search(ASKER, SearchQuery(output.collection, question, MOST_PASSAGES, {}))
    except BadRequest:
        return Sought(item.group)
    names = [passage.document for passage in found.passages]
    given = set(names[: output.passages])
    return Sought(
        item.group,
        ndcg(names, relevant, WANTED),
        recall(names, relevant, WANTED),
        len(given & relevant.keys()) / len(relevant),
        found.ranking,
        found.generation,
    )


def summed(task: Task, found: Sequence[Sought]) -> Retrieval | None:
    """None where no item names its documents."""
    if not found or not isinstance(task.output, Text):
        return None
    each = [one.group for one in found]
    searched = [one for one in found if one.generation]
    return Retrieval(
        collection=task.output.collection or "",
        ranking=searched[-1].ranking if searched else "",
        passages=task.output.passages,
        generations=tuple(sorted({one.generation for one in searched})) or (0,),
        questions=len(found),
        ndcg=groups.mean([one.ndcg for one in found], each),
        recall=groups.mean([one.recall for one in found], each),
        given=groups.mean([one.given for one in found], each),
    )
