"""Documents and receipts from the peers; new documents are pulled every two seconds.

Rules: a listed appliance signs each request; each document in an answer has a signature of its own.
After its restart, and each hour, a peer is asked for everything, refused documents too.
"""

import base64
import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from appliance.admission.quotas import QuotaUnits
from appliance.audit.anchors import LogBatch
from appliance.audit.checkpoint import VerifierKey
from appliance.audit.pruning import SignedPrune
from appliance.datasets.ledger import LedgerLook
from appliance.datasets.marks import SplitMarks
from appliance.errors import ApplianceError, PolicyRefused
from appliance.peers.documents import TravelRefusal
from appliance.peers.look_votes import (
    Answer,
    LooksTold,
    LookVoter,
    RegisteredLook,
    VoteAsked,
)
from appliance.peers.mirror import MirrorAsked, MirroredLogs, MirrorTold
from appliance.peers.ring import DOCUMENTS, ENTRIES, LOOKS, QUOTAS, RECEIPTS, Rounds
from appliance.peers.standing import SiteStanding
from appliance.peers.travelling import Place, Travelling, TravelPage
from appliance.trust.bytes import ecdsa, strict_json
from appliance.trust.policy.members import SiteMember
from appliance.trust.policy.policy import TrustPolicy

if TYPE_CHECKING:
    from appliance.forwarding.receivers import HttpAnswer

SIGNED: Final = "x-appliance-member"
"""The header in which the asking appliance signs its request, in base64."""
EVERY_S: Final = 2.0
MOST_BYTES: Final = 4 << 20
_AGAIN: Final = 1_800
"""Rounds after which everything is asked for again."""
_PAGES: Final = 100
_STATEMENT: Final = b"appliance site request v1\n"
_log = logging.getLogger("appliance")


class DocumentsAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request.

    Attributes:
        member: hint of the asking appliance's key.
        to: name of the asked appliance's log.
        run, place: the end of the last answer.
    """

    member: str
    to: str
    run: str
    place: Place


class ReceiptAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request for the receipt of an app's request, whose key was checked."""

    member: str
    to: str
    key: str
    request: str


class LooksAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question about looks at sealed splits.

    Attributes:
        vote: what is to be registered or read; None asks for every look.
    """

    member: str
    to: str
    vote: VoteAsked | None


class UnitsAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request for units of quotas."""

    member: str
    to: str
    wanted: tuple[QuotaUnits, ...]


A = TypeVar("A", DocumentsAsked, ReceiptAsked, LooksAsked, MirrorAsked, UnitsAsked)


@dataclass(frozen=True)
class PeerTravel:
    """State of the documents of one peer.

    Attributes:
        problem: why nothing comes from it now; "" where it does.
        refused: documents of its last whole answer that were refused.
        heard: when it answered last, by the clock of `SiteStanding`; None for never.
    """

    name: str
    problem: str
    refused: tuple[TravelRefusal, ...]
    heard: float | None = None


@dataclass(frozen=True)
class PeerAddress:
    """Address of a peer.

    Attributes:
        log_key: the first verifier key of its log, a line.
        post: sends a body with headers to a path; takes the only accepted certificate.
    """

    name: str
    log_key: str
    post: "Callable[[str, bytes, Mapping[str, str], str], HttpAnswer]"


class PulledPeer:
    """Asks one peer."""

    def __init__(self, address: PeerAddress, exchange: "SiteExchange") -> None:
        self.address, self._exchange = address, exchange
        self._run, self._place, self._rounds = "", 0, 0
        self.travel = PeerTravel(address.name, "", ())

    def pull(self) -> None:
        """Ask once for everything new; `travel` has the problem then."""
        if self._exchange.standing.place is None:  # the policy does not list this appliance
            self.travel = replace(self.travel, problem="", refused=())
            return
        self._rounds += 1
        if self._rounds % _AGAIN == 0:
            self._run, self._place = "", 0
        refused = list(self.travel.refused) if self._place else []
        try:
            refused += self._pages()
            self._exchange.hear_looks(self.address)
        except (OSError, ValueError, ApplianceError, SQLAlchemyError) as error:
            problem = str(error) or type(error).__name__
        else:
            problem = ""
        if bool(problem) != bool(self.travel.problem):
            told = f"gives no documents: {problem}" if problem else "gives documents"
            _log.info("peer %s %s", self.address.name, told)
        heard = self.travel.heard if problem else self._exchange.standing.hear()
        self.travel = PeerTravel(self.address.name, problem, tuple(refused[:_PAGES]), heard)

    def _pages(self) -> list[TravelRefusal]:
        refused: list[TravelRefusal] = []
        for _ in range(_PAGES):
            page = self._exchange.ask(self.address, self._run, self._place)
            refused += self._exchange.travelling.take_all(page.documents)[1]
            self._run, self._place = page.run, page.place
            if not page.more:
                break
        return refused


class SiteExchange(Rounds):
    """Gives and takes documents.

    Args:
        origin: name of the own log.
        key: the own evidence key.
        lend: as `Quotas.lend`, with `before`.
    """

    def __init__(
        self,
        origin: str,
        key: ecdsa.SigningKey,
        travelling: Travelling,
        standing: SiteStanding,
        policy: Callable[[], TrustPolicy],
        voter: LookVoter,
        mirrored: MirroredLogs,
        lend: Callable[[Sequence[QuotaUnits], bool], list[int]],
        addresses: list[PeerAddress],
    ) -> None:
        self._mirrored, self._lend = mirrored, lend
        self._voter, self._voting = voter, threading.Lock()
        self._origin, self._key, self._policy = origin, key, policy
        self.hint = ecdsa.hint(key.public_key())
        self.travelling, self.standing = travelling, standing
        self._run = secrets.token_hex(8)
        self.peers = [PulledPeer(address, self) for address in addresses]
        runs = (self._told_here, *(peer.pull for peer in self.peers))
        super().__init__(EVERY_S, {f"site-{number}": run for number, run in enumerate(runs)})

    @property
    def travels(self) -> dict[str, PeerTravel]:
        return {peer.travel.name: peer.travel for peer in self.peers}

    def answer(self, body: bytes, signature: bytes) -> bytes:
        """The next documents for another appliance.

        Raises:
            PolicyRefused: `travelling_malformed`, `travelling_signature`, `travelling_other_site`,
                `member_not_listed`, `member_revoked`.
        """
        asked = self._asked(body, signature, DocumentsAsked)
        self.travelling.publish()
        page = self.travelling.page(self._run, asked.place if asked.run == self._run else 0)
        return msgspec.json.encode(page)

    def listed(self) -> dict[str, SiteMember]:
        """The listed peers, by name."""
        found = {}
        for peer in self.peers:
            with contextlib.suppress(PolicyRefused):
                found[peer.address.name] = self._listed(peer.address)
        return found

    def receipt_asked(self, body: bytes, signature: bytes) -> ReceiptAsked:
        return self._asked(body, signature, ReceiptAsked)

    def receipt(self, key_id: str, request_id: str) -> bytes | None:
        """The receipt of a request that another appliance answered; None where none has it."""
        for peer in self.peers:
            with contextlib.suppress(OSError, ApplianceError):
                member = self._listed(peer.address)
                asked = ReceiptAsked(self.hint, member.log, key_id, request_id)
                return self._post(RECEIPTS, peer.address, member, asked)
        return None

    def vote(self, body: bytes, signature: bytes) -> bytes:
        """The looks that are known here, after registering one if asked (`looks_unagreed`)."""
        asked = self._asked(body, signature, LooksAsked)
        if asked.vote is None:
            return msgspec.json.encode(self._voter.tell())
        with self._voting:
            return msgspec.json.encode(self._voter.answer(asked.vote))

    def keep(self, body: bytes, signature: bytes) -> bytes:
        asked, policy = self._asked(body, signature, MirrorAsked), self._policy()
        log_key = policy.site.members[asked.member].log_key
        known = [one for one in self.peers if one.address.log_key == log_key]
        if not known:
            raise PolicyRefused("member_not_listed", "[peers] names no appliance with this log.")
        told = self._mirrored.keep(VerifierKey.parse(log_key.encode()), asked, policy)
        return msgspec.json.encode(told)

    def mirror(
        self, address: PeerAddress, batch: LogBatch | None, pruned: SignedPrune | None = None
    ) -> MirrorTold:
        """Have another appliance keep entries of the own log, or tell where to begin.

        Raises:
            OSError: it does not answer, or refuses.
        """
        member = self._listed(address)
        asked = MirrorAsked.of(self.hint, member.log, batch, pruned)
        told = self._post(ENTRIES, address, member, asked)
        return strict_json.decode(told, MirrorTold, _malformed)

    def lend(self, body: bytes, signature: bytes) -> bytes:
        asked = self._asked(body, signature, UnitsAsked)
        return msgspec.json.encode(self._lend(asked.wanted, asked.member < self.hint))

    def borrow(self, address: PeerAddress, wanted: Sequence[QuotaUnits]) -> list[int]:
        """The units of each that a peer lends; raises as `ask`."""
        member = self._listed(address)
        asked = UnitsAsked(self.hint, member.log, tuple(wanted))
        lent = strict_json.decode(self._post(QUOTAS, address, member, asked), list[int], _malformed)
        if len(lent) != len(wanted) or any(
            not 0 <= got <= one.units for got, one in zip(lent, wanted, strict=False)
        ):
            raise _malformed("other units than were asked for")
        return lent

    def hear_looks(self, address: PeerAddress) -> None:
        """Take all looks that a peer knows, unless that was done since the start."""
        member = self._listed(address)
        if self._voter.has_heard(member.hint):
            return
        told = self._post(LOOKS, address, member, LooksAsked(self.hint, member.log, None))
        self._voter.hear(member.hint, strict_json.decode(told, LooksTold, _malformed))

    def agree(self, look: LedgerLook, marks: SplitMarks) -> list[LedgerLook]:
        """Register a look with a majority; the looks that it must be counted with.

        Raises:
            StateRefused: `looks_unagreed`; the look is not permitted.
            Unavailable: `site_stale`.
        """
        if self.standing.place is None:
            return []
        self.standing.check()
        mine = f"@{self.hint}"  # one specification on two appliances is two looks
        asking = self._voter.agree(RegisteredLook(replace(look, id=look.id + mine), marks))
        asked = next(asking)
        while True:
            try:
                asked = asking.send(self._voted(asked))
            except StopIteration as ended:
                found: list[LedgerLook] = ended.value
                return [replace(one, id=one.id.removesuffix(mine)) for one in found]

    def _voted(self, asked: VoteAsked) -> Answer:
        """The answer of another member; None where it is away or refuses."""
        for peer in self.peers:
            with contextlib.suppress(OSError, ApplianceError):
                member = self._listed(peer.address)
                if member.hint == asked.member:
                    vote = LooksAsked(self.hint, member.log, asked)
                    told = self._post(LOOKS, peer.address, member, vote)
                    return strict_json.decode(told, tuple[LedgerLook, ...], _malformed)
        return None

    def ask(self, address: PeerAddress, run: str, place: int) -> TravelPage:
        """The next documents of a peer.

        Raises:
            OSError: it does not answer, or refuses.
        """
        member = self._listed(address)
        asked = DocumentsAsked(self.hint, member.log, run, place)
        told = self._post(DOCUMENTS, address, member, asked)
        if len(told) > MOST_BYTES:
            raise _malformed(f"more than {MOST_BYTES} bytes")
        page = strict_json.decode(told, TravelPage, _malformed)
        if page.more and page.run == run and page.place <= place:
            raise _malformed("it does not end")
        self.standing.hear()
        return page

    def _asked(self, body: bytes, signature: bytes, kind: type[A]) -> A:
        asked = strict_json.decode(body, kind, _malformed)
        member = self._policy().member(asked.member)
        signed = _STATEMENT + body
        if not (ecdsa.is_der(signature) and ecdsa.verify(member.public, signature, signed)):
            message = f"The request is not signed by {member.person}."
            raise PolicyRefused("travelling_signature", message)
        if asked.to != self._origin:
            raise PolicyRefused("travelling_other_site", f"The request is for {asked.to[:80]}.")
        return asked

    def _post(
        self,
        path: str,
        address: PeerAddress,
        member: SiteMember,
        asked: DocumentsAsked | ReceiptAsked | LooksAsked | MirrorAsked | UnitsAsked,
    ) -> bytes:
        body = msgspec.json.encode(asked)
        signature = base64.b64encode(ecdsa.sign(self._key, _STATEMENT + body)).decode()
        head = {"Content-Type": "application/json", SIGNED: signature}
        answer = address.post(path, body, head, member.certificate)
        if answer.status != 200:
            said = answer.body.decode("utf-8", "replace").strip()[:200]
            raise ConnectionError(f"it answered {answer.status}: {said}")
        return answer.body

    def _listed(self, address: PeerAddress) -> SiteMember:
        for member in self._policy().site.members.values():
            if member.log_key == address.log_key:
                return member
        message = f"The trust policy does not list the appliance {address.name}."
        raise PolicyRefused("member_not_listed", message)

    def _told_here(self) -> None:
        try:
            self.standing.take(self._policy().site, self.hint)
            self.travelling.publish()
        except (OSError, ValueError, ApplianceError, SQLAlchemyError) as error:
            _log.warning("documents of this appliance were not sent: %s", error)


def _malformed(problem: str) -> PolicyRefused:
    return PolicyRefused("travelling_malformed", f"Documents of a peer: {problem}.")
