"""API keys that travel: an app has one key at all appliances of a site.

Rules: a change of a key here is signed as its next version; so is a key whose signer is no longer
listed, so that the keys of a removed appliance stay. A document of another site, or from a clock
more than a day ahead, is refused.
"""

import datetime
import functools
import hashlib
import logging
from collections.abc import Callable, Iterator
from typing import Final

from appliance.auth.keys import KeyStore
from appliance.clock import Clock
from appliance.errors import PolicyRefused
from appliance.peers.documents import TravellingDocument, TravelStore
from appliance.peers.signed_key import SignedKey, told
from appliance.trust.bytes import ecdsa
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements.statement import Opened

DAY_US: Final = 86_400_000_000
_log = logging.getLogger("appliance")


class TravellingKeys:
    """The kind of API keys.

    Args:
        site: of which the keys are.
    """

    name = "api-key"

    def __init__(
        self,
        keys: KeyStore,
        store: TravelStore,
        clock: Clock,
        site: Callable[[], str],
        key: Callable[[], ecdsa.SigningKey],
    ) -> None:
        self._keys, self._store, self._clock = keys, store, clock
        self._site, self._key = site, key
        self._compared: tuple[int, frozenset[str]] | None = None

    def read(self, envelope: bytes, policy: TrustPolicy) -> TravellingDocument:
        signed = SignedKey.verify(envelope, policy)
        said = signed.said
        if said.site != self._site():
            raise PolicyRefused("travelling_other_site", f"Key {said.id} is of another site.")
        made = datetime.datetime.fromisoformat(said.time).timestamp()
        if made * 1_000_000 > self._clock.wall_us() + DAY_US:
            raise PolicyRefused("travelling_from_future", f"Key {said.id} is of {said.time}.")
        return self._document(said, signed.id, envelope)

    def apply(self, document: TravellingDocument, policy: TrustPolicy) -> None:
        opened = _opened(document.envelope)
        known = self._keys.row(document.id)
        if known is None or told(known) != opened.said.row:
            member = policy.site.members.get(opened.hint)
            self._keys.take(opened.said.row, f"site {member.name if member else opened.hint}")

    def made(self, policy: TrustPolicy) -> Iterator[TravellingDocument]:
        """Keys that changed here since they were signed, or whose signer is gone."""
        state = self._keys.changes, frozenset(policy.site.members)
        if state == self._compared:
            return
        kept = {one.id: _opened(one.envelope) for one in self._store.of(self.name)}
        for row in self._keys.rows():
            before = kept.get(row.key.id)
            same = before is not None and before.said.row == told(row)
            if before is None or not same or before.hint not in policy.site.members:
                version = before.said.version + 1 if before else 1
                said = SignedKey.of(row, version, self._site(), self._clock.wall_us())
                digest = hashlib.sha256(said.payload()).hexdigest()
                try:
                    yield self._document(said, digest, said.sign(self._key()))
                except PolicyRefused as error:  # it keeps no other away
                    _log.warning("key %s does not travel: %s", row.key.id, error)
        self._compared = state

    def _document(self, said: SignedKey, digest: str, envelope: bytes) -> TravellingDocument:
        ended = said.revoked_us is not None
        return TravellingDocument(self.name, said.id, said.version, digest, envelope, ended)


@functools.lru_cache(maxsize=20_000)
def _opened(envelope: bytes) -> Opened[SignedKey]:
    """A document that was verified when it was taken."""
    return SignedKey.open(envelope)
