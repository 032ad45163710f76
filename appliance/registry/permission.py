"""The right of an artifact to be in memory, by the present policy and records."""

from collections.abc import Callable
from dataclasses import dataclass

from appliance.errors import StateRefused
from appliance.trust.artifacts.store import ModelRecord, ModelStore
from appliance.trust.artifacts.verified import Verified
from appliance.trust.policy.freshness import Freshness
from appliance.trust.policy.policy import TrustPolicy
from appliance.workers.supervisor import ENGINE


@dataclass(eq=False)
class Permission:
    """Repeats the checks before the load of an artifact.

    Attributes:
        engine_version: for the trust policy.
    """

    store: ModelStore
    policy: Callable[[], TrustPolicy]
    fresh: Callable[[], Freshness]
    engine_version: str

    def still(self, record: ModelRecord, artifact: Verified) -> None:
        """Check that nothing changed while an artifact was being sealed or attached.

        Raises:
            StateRefused: `wrong_state`.
            PolicyRefused, SignatureRefused: as `recheck`.
        """
        now = self.store.inventory.record(record.id)
        if (now.state, now.round) != (record.state, record.round):
            raise StateRefused("wrong_state", f"{record.id} is {now.state} now.")
        self.recheck(artifact)

    def may_restart(self, model: Verified) -> None:
        """Check that a worker may be started again; raises as `recheck`, or `trust_stale`."""
        self.fresh().check_serve()
        self.recheck(model)

    def recheck(self, model: Verified) -> None:
        """Check a model or adapter in memory against the policy in force.

        Raises:
            PolicyRefused: the model, a key or the engine is no longer allowed.
        """
        policy = self.policy()
        policy.check_engine(ENGINE, self.engine_version)
        self.store.recheck(model, policy)
