"""Share of right answers for each field, with intervals over groups. Pure.

Rules: a field is right by the task's `[compare]`; items that state a field count separately, since
a field that is mostly null is mostly right without effort.
"""

import json
from collections.abc import Sequence

from appliance.evals.details import details
from appliance.evals.outcomes import Outcome
from appliance.statistics import groups
from appliance.statistics.groups import GroupMean
from appliance.tasks.definition import JsonForm
from appliance.tasks.loaded import LoadedTask
from appliance.wire.admin.results import FieldRight

WHOLE = "the whole answer"


def by_field(
    loaded: LoadedTask, outcomes: Sequence[Outcome], untuned: Sequence[Outcome] = ()
) -> list[FieldRight]:
    """Each field, then the whole; empty for another form."""
    if not isinstance(loaded.task.output, JsonForm) or not outcomes:
        return []
    before = details(loaded, untuned).fields if untuned else {}
    rows = []
    for name, found in details(loaded, outcomes).fields.items():
        stated = [o for o in outcomes if json.loads(o.expected).get(name) is not None]
        row = _row(name, found, before.get(name))
        if stated:
            right = details(loaded, stated).fields[name]
            row = row.having(stated_value=right.value, stated_interval=right.interval)
        rows.append(row.having(stated=len(stated)))
    return [*rows, _row(WHOLE, _whole(outcomes), _whole(untuned) if untuned else None)]


def _row(name: str, found: GroupMean, before: GroupMean | None) -> FieldRight:
    row = FieldRight(field=name, value=found.value, interval=found.interval)
    return row if before is None else row.having(untuned=before.value)


def _whole(outcomes: Sequence[Outcome]) -> GroupMean:
    right = [float(o.score == 1) for o in outcomes]
    return groups.mean(right, [o.group for o in outcomes])
