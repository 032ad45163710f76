"""Documents that travel between the appliances of a site: one door, whatever way they come.

Rules: each document is verified by itself under the present policy. The newest version wins, a
final one for good; of two with one rank each appliance takes the same. One that cannot hold yet
waits, and is tried again. Comparison finds the documents made here, so no change can be forgotten.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Final, Protocol, TypeAlias

import msgspec

from appliance.errors import PolicyRefused, Refused
from appliance.peers.documents import (
    TravelLine,
    TravellingDocument,
    TravelRefusal,
    TravelStore,
)
from appliance.trust.policy.policy import TrustPolicy

MOST: Final = 500
"""Documents in one answer."""
_MOST_BYTES: Final = 1 << 20


class TravelKind(Protocol):
    """A kind of documents."""

    name: str

    def read(self, envelope: bytes, policy: TrustPolicy) -> TravellingDocument:
        """Verify a document by itself. Raises PolicyRefused."""
        ...

    def apply(self, document: TravellingDocument, policy: TrustPolicy) -> None:
        """Make it hold here. Raises Refused where it cannot, or not yet."""
        ...

    def made(self, policy: TrustPolicy) -> Iterable[TravellingDocument]:
        """Documents for state of this appliance that no kept document states."""
        ...


Place: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]


class TravelPage(msgspec.Struct, frozen=True):
    """Documents in the order of their arrival.

    Attributes:
        run: of the answering process; its places count in this run only.
        place: of the last one.
        more: whether more follow.
    """

    run: str
    place: Place
    more: bool
    documents: tuple[TravelLine, ...]


class Travelling:
    """The documents of one appliance.

    Args:
        member: whether this appliance is listed under a policy.
    """

    def __init__(
        self,
        store: TravelStore,
        kinds: Sequence[TravelKind],
        policy: Callable[[], TrustPolicy],
        member: Callable[[TrustPolicy], bool],
    ) -> None:
        self._store, self._kinds = store, {kind.name: kind for kind in kinds}
        self._policy, self._member = policy, member
        self._lock = threading.RLock()

    def take(self, line: TravelLine, policy: TrustPolicy) -> bool:
        """Verify a document, make it hold here and keep it; True if it is new.

        Raises:
            PolicyRefused: `travelling_unknown_kind`, `travelling_older`.
        """
        with self._lock:
            kind = self._kinds.get(line.kind)
            if kind is None:
                said = f"This release knows no {line.kind[:64]!r}."
                raise PolicyRefused("travelling_unknown_kind", said)
            document = kind.read(line.envelope.encode(), policy)
            known = self._store.get(document.kind, document.id)
            if known is not None and document.rank <= known.rank:
                if document.digest == known.digest:
                    return False
                message = f"{document.id} is at version {known.version} here."
                raise PolicyRefused("travelling_older", message)
            self._store.put(document, self._applied(kind, document, policy))
            return True

    def take_all(self, lines: Iterable[TravelLine]) -> tuple[int, list[TravelRefusal]]:
        """Take as many as possible; the number of new ones, and the refused ones but older
        versions.
        """
        new, refused, policy = 0, list[TravelRefusal](), self._policy()
        for line in lines:
            try:
                new += self.take(line, policy)
            except Refused as error:
                if error.code != "travelling_older":
                    refused.append(TravelRefusal(line.kind[:64], error.code, error.message))
        return new, refused

    def publish(self) -> None:
        """Keep new documents of this appliance, and try waiting ones again."""
        with self._lock:
            policy = self._policy()
            if self._member(policy):
                for kind in self._kinds.values():
                    for document in kind.made(policy):
                        known = self._store.get(document.kind, document.id)
                        if known is None or document.rank > known.rank:
                            self._store.put(document)
                        else:  # what has ended stays ended, whatever a row says
                            self._applied(kind, known, policy)
            for kept in self._store.waiting():
                if kept.document.kind not in self._kinds:  # a newer release kept it here
                    continue
                kind = self._kinds[kept.document.kind]
                waits = self._applied(kind, kept.document, policy)
                if waits != kept.waits:
                    self._store.holds(kept.document, waits)

    def page(self, run: str, after: int) -> TravelPage:
        kept, lines = self._store.after(after, MOST), list[TravelLine]()
        size, place = 0, after
        for one in kept:
            size += len(one.document.envelope)
            if lines and size > _MOST_BYTES:
                break
            lines.append(TravelLine(one.document.kind, one.document.envelope.decode()))
            place = one.place
        more = len(lines) < len(kept) or len(kept) == MOST
        return TravelPage(run, place, more, tuple(lines))

    def all(self) -> Iterator[TravelLine]:
        """Every kept document, the oldest first."""
        place, more = 0, True
        while more:
            page = self.page("", place)
            yield from page.documents
            place, more = page.place, page.more

    def waiting(self) -> list[TravelRefusal]:
        return [
            TravelRefusal(kept.document.kind, kept.waits, kept.document.id)
            for kept in self._store.waiting()
        ]

    def _applied(self, kind: TravelKind, document: TravellingDocument, policy: TrustPolicy) -> str:
        """Make a document hold here; the code of why it does not yet, or ""."""
        try:
            kind.apply(document, policy)
        except Refused as error:
            return error.code
        return ""
