"""The log route: lines of the file that the server writes."""

from typing import Annotated

from fastapi import Query

from appliance.api.admin.deps import Routes, ServicesDep
from appliance.observability import log_file
from appliance.wire.admin import logs as wire

router = Routes()


@router.serves(wire.LOGS)
def show_logs(services: ServicesDep, query: Annotated[wire.LogQuery, Query()]) -> wire.LogPage:
    """The newest lines that match, oldest of them first."""
    found = log_file.read(
        services.data,
        level=query.level,
        text=query.text or "",
        after=query.after,
        limit=query.limit,
    )
    lines = [wire.LogLine.model_validate(line, from_attributes=True) for line in found]
    return wire.LogPage(lines=lines, file=str(log_file.log_file(services.data)))
