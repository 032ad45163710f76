"""Appliances of one site under one trust policy that lists them, within the process."""

import base64
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.app import Services, initialise, open_services
from appliance.audit.checkpoint import COSIGNATURES, VerifierKey
from appliance.audit.files import LogFiles
from appliance.audit.reader import LogReader
from appliance.auth.key import ApiKey
from appliance.clock import FixedClock
from appliance.config import PeerConfig
from appliance.errors import Refused
from appliance.forwarding.receivers import HttpAnswer
from appliance.peers.exchange import SIGNED, PulledPeer, SiteExchange
from appliance.peers.ring import DOCUMENTS, ENTRIES, LOOKS, QUOTAS
from appliance.peers.witness import PURPOSE
from appliance.trust.bytes import ecdsa, evidence
from appliance.trust.policy import metadata, trusted_file
from appliance.trust.policy.members import SiteMember
from tests.site import MODEL, Site
from tests.smol import SMALL
from tests.trust.simulator import DAY, NOW, ROLES, Simulator, said


def member_of(name: str, data: Path) -> SiteMember:
    key = evidence.ensure(data)
    reader = LogReader(data / "audit")
    try:
        genesis = reader.genesis().decode().strip()
    finally:
        reader.close()
    return SiteMember(name, genesis, ecdsa.hint(key.public_key()), key.public_key())


@dataclass
class OneOf:
    name: str
    services: Services
    others: dict[str, "OneOf"] = field(default_factory=dict)

    @property
    def exchange(self) -> SiteExchange:
        assert self.services.site is not None
        return self.services.site.exchange

    def peer(self, name: str) -> PulledPeer:
        """Its side towards another one, over a call in place of a connection."""
        (found,) = (p for p in self.exchange.peers if p.travel.name == name)

        def post(path: str, body: bytes, head: Mapping[str, str], certificate: str) -> HttpAnswer:
            if name not in self.others:
                raise ConnectionRefusedError("nobody listens")
            exchange = self.others[name].exchange
            answers = {
                DOCUMENTS: exchange.answer, LOOKS: exchange.vote, ENTRIES: exchange.keep,
                QUOTAS: exchange.lend,
            }  # fmt: skip
            try:
                answer = answers[path](body, base64.b64decode(head[SIGNED]))
            except Refused as error:
                return HttpAnswer(403, f"{error.code}: {error.message}".encode())
            return HttpAnswer(200, answer)

        found.address = replace(found.address, post=post)
        return found

    def pulls(self, name: str) -> str:
        """Ask another one; the problem then."""
        peer = self.peer(name)
        peer.pull()
        return peer.travel.problem

    def listens(self) -> None:
        """Tell and ask all others, once each."""
        self.exchange._told_here()
        for name in self.others:
            self.pulls(name)

    def key(self, name: str) -> ApiKey:
        (found,) = (key for key in self.services.keys.list() if key.name == name)
        return found


def made_site(
    root: Path,
    names: str = "abc",
    now: datetime.datetime = NOW,
    hosts: Sequence[str] = (),
    change: Callable[[dict[str, Any], list[SiteMember]], object] = lambda policy, members: None,
    **rule: object,
) -> tuple[Simulator, dict[str, Site]]:
    """Data directories of a site whose policy lists all of them.

    Args:
        hosts: names of their certificates; none for no TLS.
        change: of the policy.
    """
    sim = Simulator(expires=dict.fromkeys(ROLES, now + 30 * DAY))
    sim.policy |= {"models": [{"id": MODEL}], "issued": said(now)}
    us = int(now.timestamp()) * 1_000_000
    sites = {name: Site(root / name / "data", sim, FixedClock(us)) for name in names}
    for made in sites.values():
        made.data.parent.mkdir(parents=True)
        root_, print_ = sim.roots[0], sim.fingerprint
        initialise(made.data, "site", made.clock, root=root_, fingerprint=print_, names=hosts)
    members = [member_of(name, made.data) for name, made in sites.items()]
    sim.policy["site"] = {"members": [one.document() for one in members], **rule}
    change(sim.policy, members)
    publish(sim, sites, now)
    return sim, sites


def publish(sim: Simulator, sites: Mapping[str, Site], now: datetime.datetime = NOW) -> None:
    offer = sim.next()
    for made in sites.values():
        begun = trusted_file.load(made.data / "trust")
        trusted_file.save(made.data / "trust", metadata.advance(begun, offer, now).held)


@contextmanager
def opened(sites: Mapping[str, Site], **more: Any) -> Iterator[dict[str, OneOf]]:
    """All of them, each a peer of each.

    Args:
        more: of their configuration.
    """
    members = {name: member_of(name, made.data) for name, made in sites.items()}
    with ExitStack() as stack:
        found: dict[str, OneOf] = {}
        for name, made in sites.items():
            peers = {
                other: PeerConfig(
                    "http://127.0.0.1:9", member.log_key, _witness(member, sites[other].data)
                )
                for other, member in members.items()
                if other != name
            }
            config = replace(SMALL, peers=peers, **more)
            services = stack.enter_context(
                open_services(made.data, config=config, clock=made.clock)
            )
            found[name] = OneOf(name, services)
        for one in found.values():
            one.others |= {name: other for name, other in found.items() if other is not one}
        for one in found.values():
            for name in one.others:
                one.peer(name)
        yield found


def _witness(member: SiteMember, data: Path) -> str:
    """The key of its witness."""
    secret = sha256(PURPOSE + LogFiles(data / "audit").key_encryption_key()).digest()
    public = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    return VerifierKey(f"{member.log}/witness", public, COSIGNATURES).encode()
