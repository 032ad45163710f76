"""Routes of evaluations: the page of one that is done, and two candidates side by side.

Rules: only operators see items and answers; a viewer has the page without them.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from appliance.api.admin.deps import JobId, PersonDep, Routes, ServicesDep
from appliance.api.admin.roles import allows
from appliance.app import Services
from appliance.evals.comparing import compare_stored
from appliance.evals.job import DIRECTORY
from appliance.evals.mistakes import Read, inputs, mistakes
from appliance.evals.report import ItemFlip, without_items
from appliance.evals.store import read_neighbours, read_report, read_result
from appliance.evals.subject import ApprovedArtifacts, read_data
from appliance.types import Role
from appliance.wire.admin import evaluations as wire

router = Routes()
_MOST_FLIPS: Final = 1_000


@router.serves(wire.EVALUATION_REPORT)
def report(person: PersonDep, services: ServicesDep, job_id: JobId) -> wire.Report:
    """The page of an evaluation, as one HTML file."""
    html = read_report(services.data / DIRECTORY, job_id)
    return wire.Report(html=html if allows(person.role, Role.OPERATOR) else without_items(html))


@router.serves(wire.EVALUATION_NEIGHBOURS)
def neighbours(services: ServicesDep, job_id: JobId) -> wire.Neighbours:
    """The nearest neighbours that an evaluation learned, and the model that they need."""
    directory = services.data / DIRECTORY
    document, found = read_neighbours(directory, job_id), read_result(directory, job_id)
    model = next(row.model or "" for row in found.candidates if row.kind == "neighbours")
    digest = found.digests[f"model {model}"]
    return wire.Neighbours(document=document, model=model, digest=digest)


@router.serves(wire.EVALUATIONS_COMPARE)
def compare(services: ServicesDep, wanted: wire.CompareWanted) -> wire.Compared:
    """The paired difference of two candidates on the same items, with the flips."""
    first, second = ((side.evaluation, side.candidate) for side in (wanted.first, wanted.second))
    found, flips, items = compare_stored(services.data / DIRECTORY, first, second)
    texts, unread = inputs(services.data / DIRECTORY, first[0], _reader(services))
    return wire.Compared.told_by(
        found,
        difference=found.difference.value,
        interval=(found.difference.interval.low, found.difference.interval.high),
        groups=found.difference.groups,
        items=items,
        gained=len(found.gained),
        lost=len(found.lost),
        flips=[_flip(flip, found.first, texts) for flip in flips[:_MOST_FLIPS]],
        unread=unread,
    )


@router.serves(wire.EVALUATION_ERRORS)
def errors(services: ServicesDep, wanted: wire.ErrorsWanted) -> wire.Errors:
    """The wrong items of a candidate on an open split, the surest wrong answer first."""
    side = (wanted.side.evaluation, wanted.side.candidate)
    place, reader = services.data / DIRECTORY, _reader(services)
    return mistakes(place, side, reader, wanted.expected, wanted.answered)


def _reader(services: Services) -> Read:
    approved = ApprovedArtifacts(services.store, services.policy)
    return partial(read_data, approved)


def _flip(flip: ItemFlip, first: str, texts: Mapping[str, str]) -> wire.Flip:
    return wire.Flip.told_by(
        flip,
        right="first" if flip.side == first else "second",
        input=texts.get(flip.item, ""),
    )
