"""The use-case of trust metadata: accept newer metadata, and watch the age of the one in force.

Rules: the audit entry is durable before the file changes; a refusal changes nothing. Models that
the new policy no longer allows end before the update is answered. Time never revokes: metadata that
is too old unloads models until the next update. A root that resets the clock removes earlier
entries from the floor, once. The metadata in force must be what the log says was accepted last.
"""

import asyncio
import contextlib
import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NoReturn

from appliance.audit.appending import append
from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.clock import Clock, iso
from appliance.errors import PolicyRefused, Refused, StateRefused, Unavailable
from appliance.governance.recheck import Sweep
from appliance.pool.pool import Pool
from appliance.registry.audit_entries import SYSTEM
from appliance.trust.artifacts.store import ModelRecord
from appliance.trust.policy import freshness, metadata, trusted_file
from appliance.trust.policy import root as roots
from appliance.trust.policy.freshness import Freshness
from appliance.trust.policy.metadata import Held, Trusted
from appliance.trust.policy.root import Reset
from appliance.types import Json
from appliance.workers.supervisor import Supervisor

LOOK_SECONDS: Final = 60
CLOCK_RESET: Final = "clock_reset"
"""The code of the entry of an update whose root reset the clock's floor."""
_KIND: Final = "admin"
_TAKEN: Final = frozenset({"trust_update", "trust_unchanged"})
"""The actions of the entries that say what is in force."""


@dataclass(frozen=True)
class Renewed:
    """Result of an update.

    Attributes:
        before: versions by part, those of `Trusted.versions`.
        models: those that the new policy ended.
    """

    changed: bool
    before: Mapping[str, int]
    after: Mapping[str, int]
    models: tuple[ModelRecord, ...] = ()


class TrustState:
    """The trust in `DATA/trust` and its freshness."""

    def __init__(self, directory: Path, reader: LogReader, clock: Clock) -> None:
        self._directory = directory
        self._reader = reader
        self._clock = clock
        self._looked = -1  # number of the last entry that `_taken` looked at
        self._taken_last: Mapping[str, Json] = {}

    def trusted(self) -> Trusted | None:
        """The verified metadata; None in a lab."""
        if not trusted_file.exists(self._directory):
            return None
        return trusted_file.load(self._directory)

    def freshness(self) -> Freshness:
        trusted = self.trusted()
        recorded_us = self._reader.latest_us(self._first(trusted))
        undone = self._undone(trusted)
        return freshness.judge(trusted, recorded_us, self._clock.wall_us(), undone)

    def _undone(self, trusted: Trusted | None) -> str:
        """The difference between this metadata and the last one in the log; "" if none.

        An older copy of the data directory, a foreign file, or an update that was interrupted after
        its entry.
        """
        if trusted is None:
            return ""
        taken, here = self._taken(), _in_force(trusted)
        if not taken or taken.items() >= here.items():
            return ""
        return (
            f"The trust metadata that is here ({_versions(here)}) is not what the log says was "
            f"taken last ({_versions(taken)})."
        )

    def _taken(self) -> Mapping[str, Json]:
        asked = Query(kind=_KIND, after=self._looked, newest_first=True)
        size = self._reader.size
        while True:
            page = self._reader.search(asked)
            found = [e.body for e in page.entries if e.body.get("action") in _TAKEN]
            if found or page.resume is None:
                break
            asked = replace(asked, before=page.resume)
        self._looked = size - 1
        self._taken_last = found[0] if found else self._taken_last
        return self._taken_last

    def _first(self, trusted: Trusted | None) -> int:
        """Number of the first entry whose time counts: that of the update that reset the clock."""
        if trusted is None or (reset := trusted.reset) is None:
            return 0
        asked = Query(kind=_KIND, code=CLOCK_RESET, newest_first=True, limit=20)
        for entry in self._reader.search(asked).entries:
            if entry.body.get("reset") == _reset_body(reset):
                return entry.seq
        return 0


@dataclass(eq=False)
class Renewal:
    """Updates and ageing of the trust metadata."""

    directory: Path
    clock: Clock
    state: TrustState
    audit: AuditLog
    reader: LogReader
    supervisor: Supervisor
    pool: Pool
    sweep: Sweep
    _lock: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _asked: Held | None = field(init=False, default=None)
    """Under which the models were asked about."""

    async def update(self, actor: str, offer: Mapping[str, bytes], *, serving: bool) -> Renewed:
        """Verify offered metadata and put it in force.

        Args:
            serving: load models again that were unloaded since the metadata was too old.

        Raises:
            PolicyRefused: `clock_behind`; `trust_profile` in a lab; recorded once.
            Refused: `file_unusable` when the disk refuses: recorded, and not in force.
        """
        async with self._lock:
            before = await asyncio.to_thread(self.state.trusted)
            try:
                after = await asyncio.to_thread(self._verified, before, offer)
            except Refused as error:
                await self._record("update_refused", actor, before, error)
                raise
            changed = before is None or after.held != before.held
            await self._record("update" if changed else "unchanged", actor, before, None, after)
            if changed:
                await self._save(after.held)
            ended = await self._ask(after.held)
        if serving:
            await self._load_again()
        held = before.versions if before else {}
        return Renewed(changed, held, after.versions, tuple(ended))

    async def _save(self, held: Held) -> None:
        try:
            await asyncio.to_thread(trusted_file.save, self.directory, held)
        except OSError as error:
            raise Refused(
                "file_unusable",
                f"The update is recorded and not in force, {trusted_file.FILE} cannot be written: "
                f"{error.strerror or error}. Take it again when the disk can.",
            ) from error

    async def refuse(self, actor: str, error: Refused) -> NoReturn:
        """Refuse a medium before it could be verified; recorded once, then raised."""
        async with self._lock:
            before = await asyncio.to_thread(self.state.trusted)
            await self._record("update_refused", actor, before, error)
        raise error

    async def _ask(self, held: Held) -> list[ModelRecord]:
        ended = await self.sweep.ask()
        self._asked = held
        return ended

    def _verified(self, before: Trusted | None, offer: Mapping[str, bytes]) -> Trusted:
        if before is None:
            raise PolicyRefused(
                "trust_profile", "A lab has its own policy; it takes no metadata of a site."
            )
        fresh = self.state.freshness()
        now = datetime.datetime.fromtimestamp(fresh.now_us / 1e6, datetime.UTC)
        after = metadata.advance(before, offer, now)
        # After a reset what was recorded does not count; what is signed does, also the new policy.
        floor_us = fresh.floor_us if after.reset == before.reset else 0
        freshness.judge(after, floor_us, fresh.now_us).check_clock()
        return after

    async def watch(self) -> None:
        """Look once a minute, for ever."""
        while True:
            # Metadata that cannot be read, a full log: status says so; again in a minute.
            with contextlib.suppress(Refused, Unavailable):
                await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Report due warnings once; end models that may not be served any more."""
        fresh = await asyncio.to_thread(self.state.freshness)
        clock, undone = ("clock" if fresh.clock_behind else ""), ("undone" if fresh.undone else "")
        for due in filter(None, (fresh.due(), clock, undone)):
            if not self._told(due, fresh):
                body: dict[str, Json] = {
                    "action": "trust_alarm",
                    "actor": SYSTEM,
                    "code": due,
                    "expires": iso(fresh.expires_us or 0),
                    "reason": " ".join(fresh.alarms()),
                }
                await append(self.audit, Draft(_KIND, body))
        try:
            fresh.check_serve()
        except PolicyRefused as error:
            for model in self.supervisor.served():
                if self.supervisor.is_loaded(model.id):  # an adapter leaves with its base
                    await self.pool.note(model.id, "stale", error)
                    with contextlib.suppress(StateRefused):  # it was unloaded meanwhile
                        await self.pool.unload(SYSTEM, model.id, error.message)
        async with self._lock:
            trusted = await asyncio.to_thread(self.state.trusted)
            if trusted is not None and trusted.policy and trusted.held != self._asked:
                await self._ask(trusted.held)

    def _told(self, due: str, fresh: Freshness) -> bool:
        """True if the newest alarms have it, of this metadata; a clock's of this hour."""
        asked = Query(kind=_KIND, code=due, newest_first=True, limit=20)
        page = self.reader.search(asked)
        return any(
            entry.body.get("expires") == iso(fresh.expires_us or 0)
            and (due != "clock" or abs(fresh.now_us - entry.time_us) < 3_600_000_000)
            for entry in page.entries
        )

    async def _load_again(self) -> None:
        for record in self.pool.approved():
            if record.code == "trust_stale":
                with contextlib.suppress(Refused):  # recorded with its code
                    await self.pool.load(SYSTEM, record.id, reason="after a trust update")

    async def _record(
        self,
        action: str,
        actor: str,
        before: Trusted | None,
        error: Refused | None,
        after: Trusted | None = None,
    ) -> None:
        body: dict[str, Json] = {
            "action": f"trust_{action}",
            "actor": actor,
            "before": dict(before.versions) if before else {},
            "reason": error.message if error else "",
            "code": error.code if error else "",
        }
        if after is not None:
            body |= _in_force(after)
            if after.reset and (before is None or after.reset != before.reset):
                body |= {"code": CLOCK_RESET, "reset": _reset_body(after.reset)}
        await append(self.audit, Draft(_KIND, body))


def _in_force(trusted: Trusted) -> dict[str, Json]:
    return {
        "after": dict(trusted.versions),
        "root": roots.fingerprint(trusted.held.roots[-1]),
    }


def _versions(body: Mapping[str, Json]) -> str:
    after = body["after"]
    told = sorted(after.items()) if isinstance(after, dict) else ()
    return ", ".join(f"{name} {version}" for name, version in told)


def _reset_body(reset: Reset) -> dict[str, Json]:
    return {"root": reset.root, "floor": iso(reset.floor_us)}
