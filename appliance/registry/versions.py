"""The models of the store that are versions of one, and those served before another.

Rules: models belong together by an id without its version at the end, or by the name in the model's
file. The audit log says whether a model was served, not its present record.
"""

from collections.abc import Iterable, Iterator

from appliance.audit.reader import LogReader
from appliance.audit.search import MAX_LIMIT, Query
from appliance.facts import ArtifactFacts
from appliance.trust.artifacts.records import ModelRecord


def versions(
    model_id: str, facts: ArtifactFacts, records: Iterable[ModelRecord]
) -> list[ModelRecord]:
    """The models like this one, the newest first.

    Args:
        facts: those of the model, as its record has them.
        records: the models of the store; the model itself may be among them.
    """
    like = [
        record
        for record in records
        if record.digest is not None
        and (record.kind or "generate") == (facts.kind or "generate")
        and (_stem(record.id) == _stem(model_id) or record.facts.name == facts.name != "")
    ]
    return sorted(like, key=lambda record: record.created_us, reverse=True)


def served_before(
    record: ModelRecord, records: Iterable[ModelRecord], reader: LogReader
) -> Iterator[ModelRecord]:
    """The other versions of a model that were served, the newest first.

    Raises:
        AuditUnavailable, AuditRefused: the log cannot be read.
    """
    for other in versions(record.id, record.facts, records):
        if other.id != record.id and other.created_us <= record.created_us:
            asked = Query(kind="model", model=other.id, limit=MAX_LIMIT)
            if any(entry.body["state"] == "serving" for entry in reader.search(asked).entries):
                yield other


def _stem(model_id: str) -> str:
    """An id without a version at its end: "pump-v2" and "pump-3" are of one model."""
    return model_id.rstrip("0123456789.").removesuffix("v").rstrip("-_.") or model_id
