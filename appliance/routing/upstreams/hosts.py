"""The hosts of one upstream while the server runs, and the choice of the next one.

Rules:
- A host that tripped stays out until a person has it probed.
- While a host is held for a quiet moment, requests go to another one; without one they wait, about
  as long as for a piece of an answer.
- A prompt goes where its beginning went before, unless that host has a few requests more than
  another; then to the one with the fewest.
- A waiting request counts for its intended host.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from appliance.config import UpstreamConfig
from appliance.errors import ApplianceError, StateRefused, UpstreamLost
from appliance.routing.upstreams import fingerprint, kinds, pooled
from appliance.routing.upstreams.connection import Connection, NotSent
from appliance.routing.upstreams.events import Probed, TokenIds
from appliance.routing.upstreams.fingerprint import Fingerprint
from appliance.routing.upstreams.health import HostHealth, HostProbe, ProbeVerdict
from appliance.routing.upstreams.stream import SeenIds
from appliance.trust.statements.upstream import UpstreamRecord
from appliance.upstream_kinds import KINDS, EngineKind

SLACK: Final = 2
"""How many more requests a host may have before affinity gives way."""


@dataclass(eq=False)
class UpstreamPeer:
    """One host.

    Attributes:
        record: for approvals; None before anything was learnt.
        looked: whether it was probed since the appliance started.
        meant: waiting requests that are intended for it.
        others: requests of other clients, told at its last probe.
    """

    url: str
    connection: Connection
    health: HostHealth
    record: UpstreamRecord | None = None
    approved: bool = False
    drained: bool = False
    looked: bool = False
    seen: SeenIds = field(default_factory=SeenIds)
    meant: int = 0
    others: int = 0

    @property
    def load(self) -> int:
        return self.health.running + self.meant + self.others

    @property
    def usable(self) -> bool:
        return self.approved and not self.drained and self.health.usable

    @property
    def state(self) -> str:
        if not self.approved:
            return "unapproved" if self.record else "unlearnt"
        if self.drained and not self.health.tripped:
            return "drained"
        return self.health.state

    @property
    def why(self) -> str:
        return self.health.tripped or self.health.suspect or self.health.problem


class ConfiguredUpstream:
    """An upstream.

    Args:
        genesis: first keys of other appliances' logs, for their receipts.

    Attributes:
        hidden: whether an artifact here has its name, and answers in its place.
    """

    def __init__(
        self,
        name: str,
        config: UpstreamConfig,
        hosts: Iterable[UpstreamPeer],
        genesis: tuple[bytes, ...] = (),
    ) -> None:
        self.genesis = genesis
        self.name, self.config, self.hosts = name, config, list(hosts)
        self.kind: EngineKind = KINDS[config.kind]
        self.does = config.does
        self.known: Fingerprint | None = None
        self.hidden = False
        self._changed = asyncio.Event()

    @property
    def identity(self) -> str:
        """Empty before anything was learnt."""
        return next((h.record.identity for h in self.hosts if h.record is not None), "")

    @property
    def approved(self) -> bool:
        return any(host.approved for host in self.hosts)

    @property
    def slots(self) -> int:
        """Of its usable hosts, of one at least."""
        return self.config.slots * max(1, sum(host.usable for host in self.hosts))

    @property
    def fresh_us(self) -> int:
        """Greatest age of an agreement at the start."""
        return 2_000_000 * self.config.probe_seconds

    def take(self, made: "ConfiguredUpstream") -> list[UpstreamPeer]:
        """Take another configuration of the same engines and model; return the removed hosts.

        Waiting requests go to the remaining hosts; running ones end where they are.
        """
        self.config, self.genesis, self.known = made.config, made.genesis, made.known
        self.hidden = made.hidden
        gone = [host for host in self.hosts if host.url not in {one.url for one in made.hosts}]
        self.hosts = made.hosts
        self.tell()
        return gone

    def host(self, url: str) -> UpstreamPeer:
        """Raises StateRefused (`upstream_unknown`)."""
        for host in self.hosts:
            if host.url == url:
                return host
        raise StateRefused("upstream_unknown", f"{self.name} has no host {url!r}.")

    def choose(
        self,
        prefix: bytes,
        tried: Collection[UpstreamPeer] = (),
        meant: UpstreamPeer | None = None,
    ) -> UpstreamPeer | None:
        """The next host; `meant` overrides the one for its beginning."""
        usable = [host for host in self._left(tried) if not host.health.held]
        if not usable:
            return None
        near = max(usable, key=lambda host: (host is meant, _weight(host.url, prefix)))
        if near.load <= min(host.load for host in usable) + SLACK:
            return near
        return min(usable, key=lambda host: (host.load, _weight(host.url, prefix)))

    async def chosen(
        self,
        prefix: bytes,
        tried: Collection[UpstreamPeer] = (),
        meant: UpstreamPeer | None = None,
    ) -> UpstreamPeer | None:
        """As `choose`, once a host is not held."""
        while (host := self.choose(prefix, tried, meant)) is None and self._left(tried):
            await self._changed.wait()
        return host

    def begin(self, host: UpstreamPeer) -> None:
        host.health.begin()

    def end(self, host: UpstreamPeer) -> None:
        host.health.end()
        self.tell()

    def tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def failed(self, host: UpstreamPeer, error: ApplianceError) -> None:
        host.health.failed(_words(error), gone=_gone(error), last=self._last(host))

    def due(self, host: UpstreamPeer) -> bool:
        return host.approved and host.health.due

    async def probe(self, host: UpstreamPeer) -> HostProbe:
        """At a quiet moment, if one is due and the host's requests end soon enough.

        Raises:
            StateRefused: `upstream_unlearnt`.
        """
        if self.known is None:
            raise StateRefused("upstream_unlearnt", f"Nothing was learnt of {self.name}.")
        health = host.health
        health.probe()
        try:
            if health.wants_quiet:
                await self._quieted(host)
            found = await self._found(host, self.known)
            health.probed(found, last=self._last(host))
        finally:
            health.release()
            self.tell()
        return found

    async def _quieted(self, host: UpstreamPeer) -> None:
        host.health.hold()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.idle_seconds):
                while host.health.running:
                    await self._changed.wait()

    async def _found(self, host: UpstreamPeer, known: Fingerprint) -> HostProbe:
        """During requests a difference is examined more closely."""
        host.health.asking()
        try:
            seen = await self.seen(host, fingerprint.FIRST)
            found = fingerprint.compare(known, seen)
            if found.verdict is ProbeVerdict.OTHER and host.health.company and not found.exact:
                found = fingerprint.compare(known, await self.seen(host, fingerprint.ALL))
        except ApplianceError as error:
            return HostProbe(_verdict(error), _words(error))
        host.others = await self._others(host)
        return found

    async def _others(self, host: UpstreamPeer) -> int:
        """Requests of other clients that its engine counts; 0 where it counts none."""
        if self.kind.queue:
            with contextlib.suppress(ApplianceError, TimeoutError):
                told = await host.connection.queue(self.kind.metrics, self.kind.queue)
                return max(0, told - host.health.running)
        return 0

    def _left(self, tried: Collection[UpstreamPeer]) -> list[UpstreamPeer]:
        # By URL: after a reload a host that was tried is another object.
        urls = {host.url for host in tried}
        return [host for host in self.hosts if host.usable and host.url not in urls]

    def _last(self, host: UpstreamPeer) -> bool:
        return not self._left([host])

    async def seen(
        self, host: UpstreamPeer, prompts: Sequence[str] = fingerprint.ALL
    ) -> Fingerprint:
        """Raises as `Connection.ask`."""
        try:
            async with asyncio.timeout(self.config.idle_seconds):
                return await self._seen(host, prompts)
        except TimeoutError as error:
            raise UpstreamLost("upstream_timeout", "A probe took too long.") from error

    async def _seen(self, host: UpstreamPeer, prompts: Sequence[str]) -> Fingerprint:
        kind, model, ids, rows, system = self.kind, self.config.model, [], [], ""
        if self.does != "generate":
            found = [await self._pooled(host, prompt) for prompt in prompts]
            width = found[0].shape[1] if self.does == "embed" else 0
            return Fingerprint((), tuple(map(fingerprint.row_of, found)), width=width)
        for prompt in prompts:
            body = fingerprint.probe_body(kind, model, prompt)
            answer = await host.connection.ask("/v1/completions", body, Probed)
            rows.append(fingerprint.read_row(kind, answer))
            system = (answer.system_fingerprint or "") if kind.fingerprint else ""
            if kind.tokenize is not None:
                asked = {"model": model, kind.tokenize: prompt}
                told = await host.connection.ask("/tokenize", asked, TokenIds)
                ids.append(tuple(told.ids))
        return Fingerprint(tuple(ids), tuple(rows), system)

    async def _pooled(self, host: UpstreamPeer, prompt: str) -> pooled.Floats:
        request = fingerprint.probe_texts(self.config.model, self.does, prompt)
        asked = kinds.asked(self.kind, self.config.model, request, 0, 0)
        told, _ = await host.connection.document(asked.path, asked.body, pooled.form(request))
        return pooled.rows(told, len(request.texts or ()), 0, logistic=self.kind.logistic)


def _weight(url: str, prefix: bytes) -> bytes:
    """Rendezvous hashing (Thaler and Ravishankar 1998): a removed host moves only its own."""
    return hashlib.blake2b(prefix + url.encode(), digest_size=8).digest()


def _words(error: ApplianceError) -> str:
    return f"{error.code}: {error.message}"


def _gone(error: ApplianceError) -> bool:
    return error.code == "upstream_certificate" or (isinstance(error, NotSent) and error.gone)


def _verdict(error: ApplianceError) -> ProbeVerdict:
    if _gone(error):
        return ProbeVerdict.GONE
    slow = isinstance(error, NotSent) or error.code in ("upstream_timeout", "upstream_busy")
    return ProbeVerdict.SLOW if slow else ProbeVerdict.FAILED
