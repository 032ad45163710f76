"""Names that apps use in place of the ids of tasks, and the version that answers under each.

Rules: a name answers by its newest pointer, or not at all; the store decides whether that task may
serve; a name never hides an artifact of the same id. A canary that may not serve leaves its apps to
the live version.
"""

import hashlib
from dataclasses import replace

from appliance.errors import Refused
from appliance.tasks.catalogue import CatalogueEntry, Policy, Tasks
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from appliance.trust.statements.pointers import Pointers
from appliance.trust.statements.statement import Signed


class TaskNames:
    """Names of one appliance and their tasks."""

    def __init__(self, tasks: Tasks, pointers: Pointers, policy: Policy) -> None:
        self._tasks, self._pointers, self._policy = tasks, pointers, policy
        self._verified: dict[tuple[str, int], Signed[TaskPointer]] = {}

    def entries(self) -> list[CatalogueEntry]:
        found = ((name, self.live(name)) for name in self._pointers.names())
        return [replace(entry, id=name) for name, entry in found if entry is not None]

    def live(self, name: str) -> CatalogueEntry | None:
        signed = self.pointer(name)
        return None if signed is None else self._serving(signed.said.live)

    def answers(self, name: str, app: str) -> CatalogueEntry | None:
        """The version that answers an app: the canary for its share of the apps.

        Args:
            app: id of the app's key. An app meets one version for as long as a canary lasts.
        """
        signed = self.pointer(name)
        if signed is None:
            return None
        canary = signed.said.canary
        if canary is not None and in_share(signed.said, app):
            found = self._serving(canary)
            if found is not None:
                return found
        return self._serving(signed.said.live)

    def shadow(self, name: str) -> tuple[str, CatalogueEntry] | None:
        """With its pointer's id."""
        signed = self.pointer(name)
        if signed is None or signed.said.shadow is None:
            return None
        found = self._serving(signed.said.shadow)
        return None if found is None else (signed.id, found)

    def pointer(self, name: str) -> Signed[TaskPointer] | None:
        """None where none holds under the policy in force."""
        newest = self._pointers.newest(name)
        if newest is None:
            return None
        try:
            policy = self._policy()
            known = self._verified.get((newest[0], policy.version))
            if known is None:
                known = self._pointers.current(name, policy)
        except Refused:
            return None
        if known is not None:
            self._verified[known.id, policy.version] = known
        return known

    def _serving(self, version: TaskVersion) -> CatalogueEntry | None:
        entry = self._tasks.entry(version.task)
        return entry if entry is not None and entry.digest == version.digest else None


def in_share(pointer: TaskPointer, app: str) -> bool:
    """True if an app has the canary, by a hash of both."""
    canary = pointer.canary.digest if pointer.canary else ""
    drawn = hashlib.sha256(f"{pointer.name}/{canary}/{app}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") % 100 < pointer.percent
