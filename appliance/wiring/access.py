"""The right to ask, and how much: keys, groups of them, places in the queue."""

from typing import TYPE_CHECKING

from appliance.admission.places import Shares
from appliance.auth.groups import KeyGroups
from appliance.auth.keys import KeyStore
from appliance.errors import StateRefused
from appliance.people.end_users import EndUsers
from appliance.people.names import Aliases
from appliance.types import PERSON, Json, Limits
from appliance.wiring.log import LogRoom

if TYPE_CHECKING:
    from appliance.peers.standing import SiteStanding


class AccessRoom:
    """`standing` is None without peers."""

    def __init__(self, log: LogRoom) -> None:
        held = log.held
        agreement = log.agreement
        self.standing = _standing() if held.config.peers else None
        self.keys = KeyStore(
            log.database,
            held.clock,
            lambda change: log.decided(change.fields()),
            agreement.held("api_keys"),
            self._share,
        )
        agreement.when_mended(self.keys.read)
        held.closing.callback(self.keys.close)
        self.groups = KeyGroups(log.database, agreement.held("key_groups"))
        agreement.when_mended(self.groups.read)
        self.end_users = EndUsers(
            held.config,
            held.data,
            Aliases(lambda: log.secret(b"people"), held.config.people.record == "pseudonym"),
            held.clock,
            self._share,
        )
        engine = held.config.engine
        self.shares = Shares(engine.max_queued, engine.max_queued_per_key)

    def heard(self) -> dict[str, Json]:
        """The words of an entry about the site: {} while another appliance is heard."""
        return {"site": "stale"} if self.standing is not None and self.standing.stale else {}

    def limits_of(self, account: str) -> Limits | None:
        """This appliance's part, for a key or person; None for an unknown one."""
        if account.startswith(PERSON):
            return self.end_users.limits
        try:
            return self._share(self.keys.get(account).limits)
        except StateRefused:
            return None

    def _share(self, limits: Limits) -> Limits:
        return self.standing.share(limits) if self.standing else limits

    def agreed(self, key_id: str) -> bool:
        """The owners of a key agreed to examples."""
        try:
            return self.keys.get(key_id).examples
        except StateRefused:
            return False


def _standing() -> "SiteStanding":
    from appliance.peers.standing import SiteStanding  # of a site that has peers

    return SiteStanding()
