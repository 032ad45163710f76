"""Notifies people of incidents, each destination on its own.

Rules: an undelivered change goes with the next message; nothing here delays a look; without a
destination no thread runs, and the code of delivery is not loaded.
"""

import logging
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from appliance.config import NotifyConfig
from appliance.forwarding.notices import IncidentNotice, NoticePlan
from appliance.incidents.history import Look

_PATIENCE_S: Final = 5.0
_log = logging.getLogger("appliance")


class Notifier:
    """Notifies people, in a thread of its own.

    Args:
        origin: name of the log, by which people know the appliance.
    """

    def __init__(self, destinations: Mapping[str, NotifyConfig], data: Path, origin: str) -> None:
        self._data = data
        self._plans = {name: NoticePlan(config, origin) for name, config in destinations.items()}
        self._looks: queue.SimpleQueue[tuple[Look, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
        self.problems: dict[str, str] = {}

    def start(self) -> None:
        if self._plans:
            self._thread.start()

    def stop(self) -> None:
        self._looks.put(None)
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE_S)

    def tell(self, look: Look, now_us: int) -> None:
        """Take a look; returns at once."""
        if self._thread.is_alive():
            self._looks.put((look, now_us))

    def _run(self) -> None:
        while (found := self._looks.get()) is not None:
            look, now_us = found
            for name, plan in self._plans.items():
                plan.add(look)
                notice = plan.notice(look, now_us)
                if notice is not None:
                    self._deliver(name, plan, notice)

    def _deliver(self, name: str, plan: NoticePlan, notice: IncidentNotice) -> None:
        from appliance.forwarding.delivery import UNDELIVERED, send

        try:
            send(plan.config, self._data, notice)
        except UNDELIVERED as error:
            if name not in self.problems:
                _log.warning("no message reaches %s: %s", name, error)
            self.problems[name] = str(error) or type(error).__name__
            return
        self.problems.pop(name, None)
        plan.delivered(notice)
