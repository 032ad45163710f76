"""Number of engine restarts, over all runs of the server.

Rule: each entry of an engine has the number; the newest one of a model is where it continues.
"""

import contextlib
from dataclasses import replace

from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.errors import ApplianceError
from appliance.observability.metrics import Metrics


class Restarts:
    """The numbers, read from one log."""

    def __init__(self, reader: LogReader, metrics: Metrics) -> None:
        self._reader, self._metrics = reader, metrics

    def before(self, model_id: str) -> int:
        """Restarts until now; blocks."""
        found = 0
        with contextlib.suppress(ApplianceError):  # what is wrong with the log is told elsewhere
            found = self._newest(model_id)
        self._metrics.restarts.labels(model_id).inc(found)
        return found

    def again(self, model_id: str) -> None:
        self._metrics.restarts.labels(model_id).inc()

    def _newest(self, model_id: str) -> int:
        asked = Query(kind="worker", model=model_id, limit=1, newest_first=True)
        while not (page := self._reader.search(asked)).entries:
            if page.resume is None:
                return 0
            asked = replace(asked, before=page.resume)
        said = page.entries[0].body.get("restarts")
        return said if isinstance(said, int) else 0
