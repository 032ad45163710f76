"""The hosts of one upstream while the server runs, and which of them is asked next.

Rules:
- A host is asked only when its record is approved today, its newest probe passed, its breaker is
  closed, and no person drained it. A host that tripped stays out until a person has it probed.
- Among those, a prompt goes where its beginning went before, unless that host has more to do than
  another by more than a few requests; then to the one with the fewest.
- A host is counted as busy from the choice to the end of the answer.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from appliance.config import UpstreamConfig
from appliance.errors import ApplianceError, StateRefused, UpstreamLost
from appliance.routing.upstreams import fingerprint
from appliance.routing.upstreams.breaker import Breaker
from appliance.routing.upstreams.connection import Connection, NotSent
from appliance.routing.upstreams.events import Probed, TokenIds
from appliance.routing.upstreams.fingerprint import Fingerprint
from appliance.routing.upstreams.kinds import KINDS, Kind
from appliance.routing.upstreams.stream import SeenIds
from appliance.trust.upstream import UpstreamRecord

SLACK: Final = 2
"""How many more requests a host may have before affinity gives way."""


@dataclass(eq=False)
class Host:
    """One host.

    Attributes:
        connection: to it.
        record: what people approve of it; None before anything was learnt.
        approved: whether enough people approved the record.
        drained: whether a person keeps requests from it.
        tripped: why it is believed to be another one; "" if it is not.
        problem: the code and words of its newest failure, "" after a whole answer or probe.
        outstanding: requests under way.
        probed: when the newest probe ended, of a steady clock; None before the first.
    """

    url: str
    connection: Connection
    record: UpstreamRecord | None = None
    approved: bool = False
    drained: bool = False
    tripped: str = ""
    problem: str = ""
    outstanding: int = 0
    probed: float | None = None
    breaker: Breaker = field(default_factory=Breaker)
    seen: SeenIds = field(default_factory=SeenIds)

    @property
    def usable(self) -> bool:
        """Whether a request may be sent to it now."""
        return self.approved and not self.drained and not self.tripped and self.breaker.closed

    @property
    def state(self) -> str:
        """In a word, what a person wants to know first."""
        if not self.approved:
            return "unapproved" if self.record else "unlearnt"
        if self.tripped:
            return "tripped"
        if self.drained:
            return "drained"
        return "ready" if self.breaker.closed else "unreachable"


class Upstream:
    """One upstream.

    Args:
        hosts: in the order of the configuration.
        now: a steady clock, in seconds.

    Attributes:
        kind: of its engines.
        known: what was learnt.
        hidden: whether an artifact of this appliance has its name, and answers in its place.
    """

    def __init__(
        self,
        name: str,
        config: UpstreamConfig,
        hosts: Iterable[Host],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.config, self.hosts = name, config, list(hosts)
        self.kind: Kind = KINDS[config.kind]
        self.known: Fingerprint | None = None
        self.hidden = False
        self._now = now

    @property
    def identity(self) -> str:
        """What answers carry of it; "" before anything was learnt."""
        return next((h.record.identity for h in self.hosts if h.record is not None), "")

    @property
    def approved(self) -> bool:
        """Whether a host is approved."""
        return any(host.approved for host in self.hosts)

    @property
    def slots(self) -> int:
        """Requests that it runs at once: those of its usable hosts, of one at least."""
        return self.config.slots * max(1, sum(host.usable for host in self.hosts))

    def host(self, url: str) -> Host:
        """A host by its URL.

        Raises:
            StateRefused: `upstream_unknown`.
        """
        for host in self.hosts:
            if host.url == url:
                return host
        raise StateRefused("upstream_unknown", f"{self.name} has no host {url!r}.")

    def choose(self, prefix: bytes, tried: Collection[Host] = ()) -> Host | None:
        """The host to ask; None where there is none.

        Args:
            prefix: how the prompt begins.
            tried: hosts that this request was refused by.
        """
        usable = [host for host in self.hosts if host.usable and host not in tried]
        if not usable:
            return None
        near = max(usable, key=lambda host: _weight(host.url, prefix))
        least = min(host.outstanding for host in usable)
        if near.outstanding <= least + SLACK:
            return near
        return min(usable, key=lambda host: (host.outstanding, _weight(host.url, prefix)))

    def failed(self, host: Host, error: ApplianceError) -> None:
        """Note that a host gave no whole answer."""
        host.problem = f"{error.code}: {error.message}"
        host.breaker.failed(self._now(), gone=isinstance(error, NotSent) and error.gone)

    def due(self, host: Host) -> bool:
        """Whether it is time for a probe."""
        if not host.approved or host.tripped or host.breaker.probing:
            return False
        now = self._now()
        if not host.breaker.closed:
            return host.breaker.may_probe(now)
        return host.probed is None or now - host.probed >= self.config.probe_seconds

    async def probe(self, host: Host) -> None:
        """Look whether a host is there and answers as what was learnt.

        Raises:
            StateRefused: `upstream_tripped`, `upstream_unlearnt`.
            ApplianceError: as `Connection.ask`.
        """
        if self.known is None:
            raise StateRefused("upstream_unlearnt", f"Nothing was learnt of {self.name}.")
        host.breaker.probe()
        passed = False
        try:
            fingerprint.compare(self.known, await self.seen(host))
            passed, host.problem, host.tripped = True, "", ""
        except StateRefused as error:
            host.tripped = error.message
            raise
        except ApplianceError as error:
            host.problem = f"{error.code}: {error.message}"
            raise
        finally:
            host.probed = self._now()
            host.breaker.probed(host.probed, passed=passed)

    async def seen(self, host: Host) -> Fingerprint:
        """The fingerprint that a host has now; raises as `Connection.ask`."""
        try:
            async with asyncio.timeout(self.config.idle_seconds):
                return await self._seen(host)
        except TimeoutError as error:
            raise UpstreamLost("upstream_timeout", "A probe took too long.") from error

    async def _seen(self, host: Host) -> Fingerprint:
        kind, model, ids, rows, system = self.kind, self.config.model, [], [], ""
        for prompt in fingerprint.PROMPTS:
            body = fingerprint.probe_body(kind, model, prompt)
            answer = await host.connection.ask("/v1/completions", body, Probed)
            rows.append(fingerprint.read_row(kind, answer))
            system = (answer.system_fingerprint or "") if kind.fingerprint else ""
            if kind.tokenize is not None:
                asked = kind.tokenize(model, prompt)
                told = await host.connection.ask("/tokenize", asked, TokenIds)
                ids.append(tuple(told.tokens))
        return Fingerprint(tuple(ids), tuple(rows), system)


def _weight(url: str, prefix: bytes) -> bytes:
    """Rendezvous hashing (Thaler and Ravishankar 1998): a host that goes moves only its own."""
    return hashlib.blake2b(prefix + url.encode(), digest_size=8).digest()
