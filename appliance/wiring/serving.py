"""Answers: models here, engines on other hosts, and the use-case over any of them."""

from appliance.evals.asking import ASKER
from appliance.evals.plan import Messages
from appliance.routing.upstreams.backend import estimate
from appliance.routing.upstreams.backends import UpstreamBackends
from appliance.routing.upstreams.service import Upstreams
from appliance.routing.upstreams.tokenizing import UpstreamTokenizers
from appliance.serving.backend import Backends
from appliance.serving.background import BackgroundAnswers
from appliance.serving.inference import Inference, InferenceParts
from appliance.serving.kept_answers import KeptAnswers
from appliance.serving.local_worker import LocalWorkers
from appliance.serving.recording import Recording
from appliance.serving.running_answers import UnderWay
from appliance.serving.tokenization import Tokenizers
from appliance.trust.statements.upstreams import UpstreamRecords
from appliance.types import GenerationRequest
from appliance.wiring.access import AccessRoom
from appliance.wiring.log import LogRoom
from appliance.wiring.pool import PoolRoom
from appliance.wiring.trust import TrustRoom


class ServingRoom:
    """Puts the parts together.

    Attributes:
        under_way: the answers to apps.
    """

    def __init__(self, log: LogRoom, access: AccessRoom, trust: TrustRoom, pool: PoolRoom) -> None:
        held = log.held
        config, self._trust = held.config, trust
        learnt = UpstreamRecords(
            log.database,
            log.agreement.held("upstream_fingerprints", owners=["upstream_approvals"]),
        )
        self.upstreams = Upstreams(
            config.upstreams,
            held.data,
            learnt,
            log.audit,
            trust.policy,
            trust.fresh,
            trust.has,
            held.clock.wall_us,
            log.metrics,
        )
        self.local = LocalWorkers(pool.pool, pool.supervisor)
        self.backends = UpstreamBackends(
            self.local,
            self.upstreams,
            config.audit.content,
            held.clock.wall_us() // 1_000_000,
        )
        self.tokenizers = Tokenizers(pool.pool, access.shares, UpstreamTokenizers(self.backends))
        self.shared = InferenceParts(
            Recording(log.audit, log.metrics, access.heard),
            held.clock,
            access.keys,
            access.shares,
            buffered=config.audit.stream == "buffered",
            check_person=access.end_users.check,
        )
        self.under_way = UnderWay(self.shared.live)
        self.backgrounds = BackgroundAnswers()
        self.kept = KeptAnswers(log.database, held.clock, log.kek, log.secret, config.audit.content)

    def answers(self, backends: Backends) -> Inference:
        """A use-case of its own over these."""
        return Inference(backends, self.shared)

    def digest_of(self, model_id: str) -> str:
        """Of a model, an adapter or an upstream; "" for one without."""
        if (found := self.backends.upstream(model_id)) is not None:
            return found.identity
        return self._trust.store.inventory.record(model_id).digest or ""

    async def tokens(self, model_id: str, messages: Messages) -> int:
        """Count the tokens of a conversation for a model, or estimate them."""
        asked = GenerationRequest(model=model_id, messages=messages)
        if self.backends.upstream(model_id) is not None:
            return estimate(asked)
        return await self._count(asked)

    async def count(self, model_id: str, text: str) -> int:
        return await self._count(GenerationRequest(model=model_id, prompt=text))

    def context(self, model_id: str) -> int:
        return self.tokenizers.card(ASKER, model_id).n_ctx

    async def _count(self, asked: GenerationRequest) -> int:
        return len((await self.tokenizers.tokens(ASKER, asked)).tokens)
