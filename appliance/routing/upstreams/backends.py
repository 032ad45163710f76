"""The backends of upstreams, besides those of the models that run here.

Rules: an upstream answers under its name, which never hides a model of this appliance; one without
approval does not exist for callers.
"""

from dataclasses import dataclass

from appliance.admission.places import Place
from appliance.errors import NotFound, Unavailable
from appliance.routing.upstreams.backend import UpstreamBackend
from appliance.routing.upstreams.hosts import ConfiguredUpstream
from appliance.routing.upstreams.service import Upstreams
from appliance.serving.backend import Backends, ModelBackend
from appliance.types import ContentMode, ModelCard


@dataclass(eq=False)
class UpstreamBackends:
    """`Backends` of upstreams by their names; every other id is a model's.

    Attributes:
        content: retention of texts of keys without a rule of their own.
        created: Unix time of the cards.
    """

    models: Backends
    upstreams: Upstreams
    content: ContentMode
    created: int

    def cards(self) -> list[ModelCard]:
        found = (self.upstream(name) for name in self.upstreams.all)
        return [*self.models.cards(), *(self._card(one) for one in found if one is not None)]

    def card(self, model_id: str) -> ModelCard:
        found = self.upstream(model_id)
        return self.models.card(model_id) if found is None else self._card(found)

    def resolve(self, model_id: str, app: str) -> str:
        return model_id if self.upstream(model_id) else self.models.resolve(model_id, app)

    def slots(self, model_id: str) -> int:
        found = self.upstream(model_id)
        return self.models.slots(model_id) if found is None else found.slots

    async def open(self, model_id: str, key_id: str, place: Place) -> ModelBackend:
        """Raises as `Backends.open`; Unavailable (`upstream_unavailable`) when no host can be asked
        now.
        """
        found = self.upstream(model_id)
        if found is None:
            return await self.models.open(model_id, key_id, place)
        if not any(host.usable for host in found.hosts):
            raise Unavailable("upstream_unavailable", f"No host of {model_id} can be asked now.")
        place.enter()
        return self.backend(model_id)

    def backend(self, model_id: str) -> UpstreamBackend:
        """Raises NotFound (`model_not_found`)."""
        found = self.upstream(model_id)
        if found is None:
            raise NotFound("model_not_found", f"The model {model_id!r} does not exist.")
        known = self.upstreams
        return UpstreamBackend(
            self._card(found), found, known.policy, self.content, known.hop, known.count
        )

    def upstream(self, model_id: str) -> ConfiguredUpstream | None:
        """None where something else answers under the id."""
        found = self.upstreams.all.get(model_id)
        return found if found is not None and found.approved and not found.hidden else None

    def _card(self, upstream: ConfiguredUpstream) -> ModelCard:
        writes = upstream.does == "generate"
        return ModelCard(
            upstream.name,
            upstream.identity,
            upstream.config.n_ctx,
            self.created,
            loaded=any(host.usable for host in upstream.hosts),
            upstream=upstream.config.kind,
            kind=upstream.does,
            n_embd=upstream.known.width if upstream.known is not None else 0,
            tools=writes and "tools" in upstream.kind.tools,
            json_schema=writes and "json_schema" in upstream.kind.constraints,
        )
