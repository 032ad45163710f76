"""The other appliances of a site: what this one hears of them, and documents that travel.

Rule: this is imported where the configuration has peers, and not else.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Final

from appliance.audit.log import Draft
from appliance.config import PeerConfig
from appliance.datasets.ledger import LookLedger
from appliance.errors import PolicyRefused
from appliance.forwarding.receivers import HttpAnswer, KeptConnection, tls_of
from appliance.peers.documents import TravelStore
from appliance.peers.exchange import MOST_BYTES, PeerAddress, SiteExchange
from appliance.peers.kept_looks import KeptLooks
from appliance.peers.lending import QuotaBorrowing
from appliance.peers.look_votes import LookVoter
from appliance.peers.mirror import MirroredLogs
from appliance.peers.mirroring import LINKS, Mirroring, MirrorLink
from appliance.peers.ring import keys_of
from appliance.peers.standing import SiteStanding
from appliance.peers.travelling import Travelling
from appliance.peers.travelling_keys import TravellingKeys
from appliance.peers.travelling_statements import (
    TravellingApprovals,
    TravellingCertificates,
    TravellingHosts,
    TravellingPointers,
    TravellingSuspensions,
)
from appliance.registry import keeping
from appliance.registry.pointing import Pointing
from appliance.trust.bytes import ecdsa
from appliance.trust.policy import policy_file
from appliance.trust.policy.policy import TrustPolicy
from appliance.types import Told
from appliance.wiring.access import AccessRoom
from appliance.wiring.directory import HeldDirectory
from appliance.wiring.log import LogRoom
from appliance.wiring.pool import PoolRoom
from appliance.wiring.routing import RoutingRoom
from appliance.wiring.serving import ServingRoom
from appliance.wiring.trust import TrustRoom

_APPROVING_S: Final = 20.0
_LEAVING_S: Final = 3.0


class SiteRoom:
    """Puts the parts together."""

    def __init__(
        self,
        standing: SiteStanding,
        log: LogRoom,
        access: AccessRoom,
        trust: TrustRoom,
        pool: PoolRoom,
        serving: ServingRoom,
        ledger: LookLedger,
        routing: RoutingRoom,
    ) -> None:
        held = log.held
        self._loop: asyncio.AbstractEventLoop | None = None
        self.leaving = False
        self._pool = pool
        policy = _kept(held, trust.policy)
        evidence: Callable[[], ecdsa.SigningKey] = functools.cache(trust.evidence_key)
        hint = ecdsa.hint(evidence().public_key())
        store = TravelStore(log.database)

        def record(draft: Draft) -> object:
            return log.audit.append(draft).result()

        pointing = Pointing(trust.store, routing.pointers, trust.fresh, record)
        keep = functools.partial(keeping.keep_certificate, trust.store, trust.fresh, record)
        gates, routes = trust.store.evaluations, routing.certificates

        def keep_route(actor: str, envelope: bytes, policy: TrustPolicy) -> None:
            engine, fresh = trust.engine, trust.fresh
            keeping.keep_route_certificate(routes, engine, fresh, record, actor, envelope, policy)
            routing.routes.forget()

        site = functools.cache(lambda: policy_file.site_id(held.data / "trust"))
        travelling = Travelling(
            store,
            [
                TravellingKeys(access.keys, store, held.clock, site, evidence),
                TravellingCertificates("evaluation", store, gates.verified, gates.envelopes, keep),
                TravellingCertificates(
                    "route", store, routes.verified, routes.envelopes, keep_route
                ),
                TravellingApprovals(store, trust.store, self._approve),
                TravellingPointers(store, pointing),
                TravellingHosts(store, serving.upstreams),
                TravellingSuspensions(store, routes, routing.take_away, trust.engine, evidence),
            ],
            policy,
            lambda policy: hint in policy.site.members,
        )
        looks = KeptLooks(held.data, ledger, hint)
        held.closing.callback(looks.close)
        voter = LookVoter(looks, hint, lambda: frozenset(policy().site.members))
        mirrored = MirroredLogs(held.data, log.ring.witness, held.clock)
        held.closing.callback(mirrored.close)
        addresses = [_address(held, name, peer) for name, peer in held.config.peers.items()]
        shares = access.shares
        self.exchange = SiteExchange(
            log.reader.origin, evidence(), travelling, standing, policy, voter, mirrored,
            lambda wanted, before: shares.quotas.lend(
                wanted, access.limits_of, shares.now(), before=before
            ),
            addresses,
        )  # fmt: skip
        self._borrowing = QuotaBorrowing(shares, self.exchange)
        self.mirroring: Mirroring | None = None
        if held.config.audit.receipt == "mirrored":
            self.mirroring = self._mirroring(log, addresses)
            serving.shared.recording.hold_for(self.mirroring.acknowledged)
            held.closing.callback(self.mirroring.stop)
        with contextlib.suppress(PolicyRefused):  # a site may have no policy yet
            standing.take(policy().site, hint)
        held.closing.callback(self.exchange.stop)
        held.closing.callback(self._borrowing.stop)
        log.ask_the_site(self.exchange.agree)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to ask the peers; `loop` is the server's."""
        self._loop = loop
        self.exchange.start()
        self._borrowing.start()
        if self.mirroring is not None:
            self.mirroring.start()

    def away(self) -> tuple[Told, ...]:
        away = self.mirroring.away() if self.mirroring else ()
        text = "The mirror {0} takes no entries, or keeps pruned ones: {1}."
        return tuple(Told(name, text.format(name, why)) for name, why in away)

    async def leave(self) -> None:
        """Not ready, until a balancer sends no more."""
        self.leaving = True
        await asyncio.sleep(_LEAVING_S)

    def _mirroring(self, log: LogRoom, addresses: list[PeerAddress]) -> Mirroring:
        """Links to the appliances that follow this one by the names of their logs."""
        config, origin = log.held.config, log.reader.origin
        order = sorted(addresses, key=lambda one: (one.log_key < origin, one.log_key))
        links = []
        for one in order[:LINKS]:
            peer = config.peers[one.name]
            kept = _connection(log.held, peer)
            address = _address(log.held, one.name, peer, kept)
            ask = functools.partial(self.exchange.mirror, address)
            witness = keys_of(one.name, peer).witness
            links.append(MirrorLink(one.name, witness, log.reader, ask, kept.close))
        refuse = config.audit.unmirrored == "refuse"
        return Mirroring(links, config.audit.mirror_ms, refuse=refuse)

    def _approve(self, actor: str, model_id: str, envelope: bytes) -> object:
        """Take an approval as the model's lock has it."""
        if self._loop is None:
            return self._pool.lifecycle.approve(actor, model_id, envelope)
        approving = self._pool.pool.approve(actor, model_id, envelope)
        return asyncio.run_coroutine_threadsafe(approving, self._loop).result(_APPROVING_S)


def _address(
    held: HeldDirectory, name: str, peer: PeerConfig, kept: KeptConnection | None = None
) -> PeerAddress:
    """Without a connection for one thread each request opens one."""

    def post(path: str, body: bytes, head: Mapping[str, str], certificate: str) -> HttpAnswer:
        url, most = peer.url.rstrip("/") + path, MOST_BYTES + 1
        if kept is not None:
            return kept.post(url, body, head, most=most, certificate=certificate)
        with contextlib.closing(_connection(held, peer)) as connection:
            return connection.post(url, body, head, most=most, certificate=certificate)

    return PeerAddress(name, peer.log_key, post)


def _connection(held: HeldDirectory, peer: PeerConfig) -> KeptConnection:
    tls = peer.url.startswith("https:")
    return KeptConnection(lambda: tls_of(peer, held.data) if tls else None)


def _kept(held: HeldDirectory, read: Callable[[], TrustPolicy]) -> Callable[[], TrustPolicy]:
    """Read the policy again where its file changed."""
    kept: tuple[list[tuple[int, int]], TrustPolicy] | None = None

    def policy() -> TrustPolicy:
        nonlocal kept
        found = [path.stat() for path in sorted((held.data / "trust").glob("*.json"))]
        state = [(one.st_ino, one.st_mtime_ns) for one in found]
        if kept is None or kept[0] != state:
            kept = state, read()
        return kept[1]

    return policy
