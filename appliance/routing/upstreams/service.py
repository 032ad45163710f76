"""People's actions on upstreams, and the automatic probes.

Rules:
- Until two people approved a host only the fingerprint's texts are sent to it, and those when an
  admin has it learnt.
- People's actions and trips are durable in the log before they take effect. A trip that cannot be
  recorded takes effect all the same.
- Each probe checks approvals against the trust policy again.
- The configuration is read again as a whole or not at all. A host whose record is the same keeps
  its health. Requests on a removed host end there.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from appliance.audit.appending import append
from appliance.audit.log import AuditLog, Draft
from appliance.auth.secret_file import read_secret
from appliance.config import UpstreamConfig, load_config
from appliance.errors import ApplianceError, Refused, StateRefused, UsageError
from appliance.observability.metrics import Metrics
from appliance.registry.audit_entries import SYSTEM
from appliance.routing.upstreams import fingerprint, receipts
from appliance.routing.upstreams.connection import Connection, tls_context
from appliance.routing.upstreams.fingerprint import Fingerprint
from appliance.routing.upstreams.health import HostHealth, HostProbe, Intervals, ProbeVerdict
from appliance.routing.upstreams.hosts import ConfiguredUpstream, UpstreamPeer
from appliance.trust.policy.freshness import Freshness
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements.approval import UpstreamSubject, ValidApproval
from appliance.trust.statements.upstream import UpstreamRecord, certificates_of
from appliance.trust.statements.upstreams import UpstreamRecords
from appliance.types import Json
from appliance.upstream_kinds import KINDS

_LOOK_S: Final = 0.1
_log = logging.getLogger("appliance")


class Upstreams:
    """The upstreams of one appliance.

    Args:
        data: base of the configuration's paths.
        taken: whether an artifact has a name.

    Attributes:
        policy: version of the trust policy of the last check.
        unread: why the newest reload changed nothing; "" after one that did.
        all: those that can be used as they are configured, by name.
        broken: why the others cannot, by name.
    """

    def __init__(
        self,
        config: Mapping[str, UpstreamConfig],
        data: Path,
        records: UpstreamRecords,
        audit: AuditLog,
        policy: Callable[[], TrustPolicy],
        fresh: Callable[[], Freshness],
        taken: Callable[[str], bool],
        wall_us: Callable[[], int],
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._wall_us = wall_us
        self._data, self._records, self._audit = data, records, audit
        self._policy, self._fresh, self._taken = policy, fresh, taken
        self.policy = 0
        self._probing: set[asyncio.Task[None]] = set()
        self.all: dict[str, ConfiguredUpstream] = {}
        self.broken: dict[str, str] = {}
        self.config = config
        self.unread = ""
        self._reading, self._read = asyncio.Lock(), asyncio.Event()
        self._gone: dict[str, UpstreamPeer] = {}
        for name, wanted in config.items():
            try:
                self.all[name] = self._made(name, wanted)
            except ApplianceError as error:
                self.broken[name] = error.message
                _log.error("the upstream %s cannot be used: %s", name, error.message)

    @property
    def ready(self) -> bool:
        return any(host.usable for one in self.all.values() for host in one.hosts)

    def get(self, name: str) -> ConfiguredUpstream:
        """Raises StateRefused (`upstream_unknown`)."""
        if name not in self.all:
            why = self.broken.get(name, "appliance.toml has no such table")
            raise StateRefused("upstream_unknown", f"There is no upstream {name!r}: {why}.")
        return self.all[name]

    def refresh(self, upstream: ConfiguredUpstream) -> None:
        learnt = self._records.fingerprint(upstream.name)
        upstream.hidden = self._taken(upstream.name)
        upstream.known = None if learnt is None else Fingerprint.decode(learnt)
        try:
            policy: TrustPolicy | None = self._policy()
            self._fresh().check_serve()
        except Refused:
            policy = None
        self.policy = policy.version if policy is not None else 0
        for host in upstream.hosts:
            record = None if learnt is None else self._record(upstream, host, learnt)
            # Requests are running: what is approved must not look otherwise for a moment.
            approved = self._approved(record, policy)
            host.record, host.approved = record, approved

    def _approved(self, record: UpstreamRecord | None, policy: TrustPolicy | None) -> bool:
        if record is None or policy is None:
            return False
        try:
            self._records.check(record, policy)
        except Refused:
            return False
        return True

    def approvals(self, host: UpstreamPeer) -> list[ValidApproval]:
        if host.record is None:
            return []
        return self._records.approvals(host.record, self._policy())

    async def learn(self, actor: str, name: str) -> ConfiguredUpstream:
        """Learn from the first host that answers. Raises StateRefused (`upstream_unknown`,
        `upstream_unstable`).
        """
        upstream = self.get(name)
        host, seen = await self._repeats(upstream)
        learnt = fingerprint.learnt(upstream.kind, seen, upstream.does).encode()
        fields: dict[str, Json] = {"host": host.url, "fingerprint": _sha256(learnt)}
        await self._note("upstream_learn", actor, upstream, fields)
        self._records.learn(name, learnt)
        self.refresh(upstream)
        return upstream

    def approve(self, actor: str, name: str, url: str, envelope: bytes) -> ValidApproval:
        """Blocks.

        Raises:
            StateRefused: `upstream_unknown`, `upstream_unlearnt`.
            PolicyRefused: the approval does not hold; recorded, nothing changed.
        """
        upstream = self.get(name)
        host = upstream.host(url)
        record = learnt_record(upstream, host)
        fields: dict[str, Json] = {"host": url, "digest": record.digest}
        try:
            self._fresh().check_change()
            given = self._records.acceptable(record, envelope, self._policy())
        except Refused as error:
            fields |= {"code": error.code, "reason": error.message}
            self._written("upstream_approval_refused", actor, upstream, fields)
            raise
        fields |= {"approver": given.name, "meaning": given.meaning, "signed_at": given.time}
        fields |= {"record": record.document(), "envelope": envelope.decode()}
        fields["key"] = given.key
        self._written("upstream_approval", actor, upstream, fields)
        self._records.keep(record, given, envelope)
        self.refresh(upstream)
        return given

    def given(self) -> Iterator[tuple[UpstreamRecord, bytes, bytes]]:
        """Records of the hosts, what was learnt of their answers, and each approval."""
        for upstream in self.all.values():
            learnt = self._records.fingerprint(upstream.name)
            for host in upstream.hosts:
                if learnt is not None and host.record is not None:
                    for envelope in self._records.envelopes(host.record.digest):
                        yield host.record, learnt, envelope

    def adopt(self, actor: str, record: UpstreamRecord, learnt: bytes, envelope: bytes) -> None:
        """Take an approval that was given elsewhere; blocks.

        Where nothing was learnt of the upstream here, what was learnt there is taken, too.

        Raises:
            StateRefused: `upstream_unknown`; `upstream_other`: it is configured otherwise, or
                something else was learnt of it.
            PolicyRefused: the approval does not hold.
        """
        upstream = self.get(record.name)
        host = upstream.host(record.url)
        if self._records.fingerprint(record.name) is None:
            if self._record(upstream, host, learnt) != record:
                raise _other(record)
            fields: dict[str, Json] = {"host": record.url, "fingerprint": record.fingerprint}
            self._written("upstream_learn", actor, upstream, fields)
            self._records.learn(record.name, learnt)
        self.refresh(upstream)
        if host.record != record:
            raise _other(record)
        if envelope not in self._records.envelopes(record.digest):
            self._records.acceptable(record, envelope, self._policy())
            self.approve(actor, record.name, record.url, envelope)

    async def probe(self, actor: str, name: str) -> ConfiguredUpstream:
        """Probe all approved hosts now, again if one differs; tripped ones may be taken back."""
        upstream = self.get(name)
        self.refresh(upstream)
        await self._note("upstream_probe", actor, upstream, {})
        for host in upstream.hosts:
            if host.approved:
                await self.probe_host(upstream, host)
                if host.health.suspect:  # a person wants to know
                    await self.probe_host(upstream, host)
        return upstream

    async def drain(self, actor: str, name: str, url: str, *, drained: bool) -> ConfiguredUpstream:
        """Requests under way end as they do."""
        upstream = self.get(name)
        host = upstream.host(url)
        fields: dict[str, Json] = {"host": url, "drained": drained}
        await self._note("upstream_drain", actor, upstream, fields)
        host.drained = drained
        upstream.tell()
        return upstream

    async def reload(self, actor: str) -> None:
        """Read the configuration's upstreams again.

        Raises:
            UsageError, AuditUnavailable: nothing changed.
        """
        async with self._reading:
            try:
                wanted = (await asyncio.to_thread(load_config, self._data)).upstreams
                made = await asyncio.to_thread(self._all_made, wanted)
                changes: list[Json] = [*_changes(self.config, wanted)]
                said: dict[str, Json] = {"action": "upstream_reload", "actor": actor}
                await append(self._audit, Draft("admin", said | {"changes": changes}))
            except ApplianceError as error:
                self.unread = error.message
                _log.error("the upstreams were not changed: %s", error.message)
                raise
            self._change(made)
            self.config, self.unread, self.broken = wanted, "", {}
            self._read.set()
            _log.info("the upstreams were read again: %s changed", len(changes))

    def _all_made(self, wanted: Mapping[str, UpstreamConfig]) -> dict[str, ConfiguredUpstream]:
        made = {name: self._made(name, config) for name, config in wanted.items()}
        for upstream in made.values():
            self.refresh(upstream)
        return made

    def _change(self, made: dict[str, ConfiguredUpstream]) -> None:
        before, gone = self.all, list[UpstreamPeer]()
        for name, old in before.items():
            new = made.get(name)
            if new is not None:
                for host in new.hosts:
                    _keep(host, old.hosts)
            if new is not None and _same(new.config, old.config):
                gone += old.take(new)
                made[name] = old
            else:  # a request that waits was made for other engines
                gone += old.hosts
                old.hosts = []
                old.tell()
        for upstream in made.values():  # one that tripped stays so until a person has it probed
            for host in upstream.hosts:
                if host.record is not None:
                    _keep(host, filter(None, [self._gone.pop(host.record.digest, None)]))
        for host in gone:
            if host.record is not None and (host.health.tripped or host.health.suspect):
                self._gone[host.record.digest] = dataclasses.replace(host)
            host.drained = True
        self.all = made

    async def run(self) -> None:
        for upstream in self.all.values():
            await asyncio.to_thread(self.refresh, upstream)
        while True:
            if not self.all:
                self._read.clear()
                await self._read.wait()
            for upstream in self.all.values():
                for host in upstream.hosts:
                    if upstream.due(host):
                        host.health.probe()
                        task = asyncio.create_task(self._look(upstream, host))
                        self._probing.add(task)
                        task.add_done_callback(self._probing.discard)
            await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        for task in self._probing:
            task.cancel()
        await asyncio.gather(*self._probing, return_exceptions=True)

    async def hop(self, fields: Mapping[str, Json]) -> object:
        if fields["event"] != "sent":
            self.count(fields)
        return await append(self._audit, Draft("hop", dict(fields)))

    def count(self, fields: Mapping[str, Json]) -> None:
        result = fields.get("code", fields["event"])
        about = str(fields["upstream"]), str(fields["state"]), str(result)
        self._metrics.upstream_hops.labels(*about).inc()

    async def _look(self, upstream: ConfiguredUpstream, host: UpstreamPeer) -> None:
        try:
            await asyncio.to_thread(self.refresh, upstream)
            known, host.looked = not host.looked and await self._known(upstream, host), True
            if known:
                host.health.restore()
            else:
                await self.probe_host(upstream, host)
        finally:
            host.health.release()

    async def _known(self, upstream: ConfiguredUpstream, host: UpstreamPeer) -> bool:
        """True if it agreed shortly before the start, and is the same process."""
        if host.record is None:
            return False
        kept = await asyncio.to_thread(self._records.agreed, host.record.digest)
        if kept is None or not 0 <= self._wall_us() - kept[1] < upstream.fresh_us:
            return False
        with contextlib.suppress(ApplianceError, TimeoutError):
            return await host.connection.instance(upstream.kind.metrics) == kept[0]
        return False

    async def _remember(
        self, upstream: ConfiguredUpstream, host: UpstreamPeer, found: HostProbe
    ) -> None:
        """Forget a host that did not agree."""
        doubted = bool(host.health.suspect or host.health.tripped)
        if host.record is None or not (doubted or found.verdict is ProbeVerdict.SAME):
            return
        agreed: tuple[str, int] | None = None
        if not doubted:
            with contextlib.suppress(ApplianceError, TimeoutError):
                instance = await host.connection.instance(upstream.kind.metrics)
                agreed = instance, self._wall_us()
        await asyncio.to_thread(self._records.agree, host.record.digest, agreed)

    async def probe_host(self, upstream: ConfiguredUpstream, host: UpstreamPeer) -> None:
        """A change of state is recorded; it takes effect even if that fails."""
        health = host.health
        before, known = (health.suspect, health.tripped), health.problem
        try:
            found = await upstream.probe(host)
        except StateRefused as error:
            _log.warning("%s at %s: %s", upstream.name, host.url, error.message)
            return
        await self._remember(upstream, host, found)
        action = _change(before, (health.suspect, health.tripped))
        if action:
            reason = health.tripped or health.suspect or found.verdict.value
            _log.error("%s at %s: %s: %s", upstream.name, host.url, action, reason)
            fields: dict[str, Json] = {"host": host.url, "reason": reason}
            with contextlib.suppress(ApplianceError):
                await self._note(action, SYSTEM, upstream, fields)
        elif health.problem and not known:
            _log.warning("%s at %s: %s", upstream.name, host.url, health.problem)

    async def _repeats(
        self, upstream: ConfiguredUpstream
    ) -> tuple[UpstreamPeer, list[Fingerprint]]:
        for host in upstream.hosts:
            try:
                return host, [await upstream.seen(host) for _ in range(fingerprint.REPEATS)]
            except ApplianceError:
                if host is upstream.hosts[-1]:
                    raise
        raise StateRefused("upstream_unknown", f"{upstream.name} has no host.")

    def _made(self, name: str, config: UpstreamConfig) -> ConfiguredUpstream:
        kind = KINDS[config.kind]
        if config.does != "generate" and config.does not in kind.pools:
            message = f"upstreams.{name}.does: an engine of the kind {kind.name} does not"
            raise UsageError("config_invalid", message)
        tls, key = tls_context(config, self._data), read_secret(self._data, config.api_key)
        times = Intervals(config.probe_seconds, config.quiet_seconds, config.idle_seconds)
        hosts = [
            UpstreamPeer(
                url,
                Connection(url, config, tls if url.startswith("https:") else None, key),
                HostHealth(times, time.monotonic),
            )
            for url in config.urls
        ]
        return ConfiguredUpstream(name, config, hosts, receipts.keys(config.genesis, self._data))

    def _record(
        self, upstream: ConfiguredUpstream, host: UpstreamPeer, learnt: bytes
    ) -> UpstreamRecord:
        config = upstream.config
        secure = host.url.startswith("https:")
        shown = secure and bool(config.certificate)
        return UpstreamRecord(
            name=upstream.name,
            kind=config.kind,
            url=host.url,
            model=config.model,
            ca=certificates_of(self._data / config.ca) if secure else (),
            client=certificates_of(self._data / config.certificate) if shown else (),
            keeps_content=config.keeps_content,
            fingerprint=_sha256(learnt),
            does=config.does,
        )

    async def _note(
        self, action: str, actor: str, upstream: ConfiguredUpstream, fields: Mapping[str, Json]
    ) -> None:
        await append(self._audit, _draft(action, actor, upstream, fields))

    def _written(
        self, action: str, actor: str, upstream: ConfiguredUpstream, fields: Mapping[str, Json]
    ) -> None:
        self._audit.append(_draft(action, actor, upstream, fields)).result()


def _keep(host: UpstreamPeer, known: Iterable[UpstreamPeer]) -> None:
    for one in known:
        if one.url == host.url and one.record is not None and one.record == host.record:
            one.health.times = host.health.times
            host.health, host.seen = one.health, one.seen
            host.drained, host.looked = one.drained, one.looked


def _same(one: UpstreamConfig, other: UpstreamConfig) -> bool:
    """True if a request that was prepared for one may go to the other."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("kind", "model", "keeps_content", "does")
    )


def _changes(
    before: Mapping[str, UpstreamConfig], after: Mapping[str, UpstreamConfig]
) -> Iterator[dict[str, Json]]:
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        urls, kept = (old.urls if old else ()), (new.urls if new else ())
        settings = [
            field.name
            for field in dataclasses.fields(UpstreamConfig)
            if old and new and getattr(old, field.name) != getattr(new, field.name)
        ]
        if old != new:
            yield {
                "name": name,
                "added": [url for url in kept if url not in urls],
                "removed": [url for url in urls if url not in kept],
                "settings": [*settings],
            }


def learnt_record(upstream: ConfiguredUpstream, host: UpstreamPeer) -> UpstreamRecord:
    """Raises StateRefused (`upstream_unlearnt`)."""
    if host.record is None:
        raise StateRefused("upstream_unlearnt", f"Nothing was learnt of {upstream.name}.")
    return host.record


def _other(record: UpstreamRecord) -> StateRefused:
    message = (
        f"{record.url} of {record.name} is configured otherwise here, or was learnt otherwise."
    )
    return StateRefused("upstream_other", message)


def subject_of(upstream: ConfiguredUpstream, host: UpstreamPeer) -> UpstreamSubject:
    """An approver signs it; raises as `learnt_record`."""
    return UpstreamSubject.of(learnt_record(upstream, host))


def _draft(
    action: str, actor: str, upstream: ConfiguredUpstream, fields: Mapping[str, Json]
) -> Draft:
    return Draft.deed(action, actor, name=upstream.name, **fields)


def _change(before: tuple[str, str], after: tuple[str, str]) -> str:
    if bool(before[0]) == bool(after[0]) and bool(before[1]) == bool(after[1]):
        return ""
    if after[1]:
        return "upstream_tripped"
    return "upstream_suspect" if after[0] else "upstream_taken_back"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
