"""Once a second the others are asked for the units of quotas that requests lacked here.

Rule: units are taken there before they are added here, and a question is never repeated.
"""

import contextlib
from typing import Final

from msgspec.structs import replace

from appliance.admission.places import Shares
from appliance.errors import ApplianceError
from appliance.peers.exchange import SiteExchange
from appliance.peers.ring import Rounds

EVERY_S: Final = 1.0
_MOST: Final = 1_000
"""Accounts that are asked for in one round."""


class QuotaBorrowing(Rounds):
    """Asks the peers that give documents."""

    def __init__(self, shares: Shares, exchange: SiteExchange) -> None:
        self._shares, self._exchange = shares, exchange
        super().__init__(EVERY_S, {"site-quotas": self.ask})

    def ask(self) -> None:
        """Ask once, each peer for what the ones before did not have."""
        lacking = self._shares.quotas.lacking()[:_MOST]
        if not lacking or self._exchange.standing.place is None:
            return
        found = dict.fromkeys(lacking, 0)
        for peer in self._exchange.peers:
            left = [one for one in lacking if found[one] < one.units]
            if peer.travel.problem or not left:
                continue
            asked = [replace(one, units=one.units - found[one]) for one in left]
            with contextlib.suppress(OSError, ApplianceError):
                for one, got in zip(left, self._exchange.borrow(peer.address, asked), strict=True):
                    found[one] += got
        self._shares.quotas.borrowed(found, self._shares.now())
