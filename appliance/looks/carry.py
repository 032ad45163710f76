"""The job that carries a certificate over to the engine that serves.

Rules: the engine answers every open item as the certified one did, or the certified thing is taken
out of service; nothing sealed is opened. The same answers bound a change, which the certificate
must bear.

Source: method.md, rule 6.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeVar

import msgspec

from appliance.datasets import directory as datasets
from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused
from appliance.jobs.kind import Context, ItemJob
from appliance.looks import replay
from appliance.looks.subject import LookParts
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import evaluation
from appliance.trust.statements.evaluations import Evaluations
from appliance.trust.statements.route_certificates import RouteCertificates
from appliance.trust.statements.specification import MILLION
from appliance.types import Json, silent
from appliance.wire.admin.results import CertificateCarried

_SHOWN: Final = 20
P = TypeVar("P", bound=msgspec.Struct)


@dataclass(frozen=True)
class Carriable:
    """A certificate that may be carried over, and the work to repeat.

    Attributes:
        origin: id of the certificate.
        before: the record of each open item, by id.
        items: by id.
        ask: repeats an item; the label names the request in the log.
        sign: the certificate for this engine, and its id.
        end: takes the certified thing out of service; gets number and names of differing items.
        more: fields of the result.
    """

    origin: str
    before: Mapping[str, Json]
    items: Mapping[str, Item]
    groups: int
    alpha_micros: int
    ask: Callable[[str, Item], Awaitable[Json]]
    sign: Callable[[], tuple[bytes, str]]
    end: Callable[[int, str], Awaitable[object]]
    more: Mapping[str, float] = field(default_factory=dict)


class CarryOver(ItemJob[P, CertificateCarried]):
    """Repeats open items on the engine that serves.

    Args:
        changed: called once the certificate for this engine is kept.

    Attributes:
        noun: the certificate's subject, in parameters and log.
        action: of the entry in the log.
    """

    malformed = (EvaluationRefused, "evaluation_invalid")
    noun: ClassVar[str]
    action: ClassVar[str]

    def __init__(
        self,
        parts: LookParts,
        certificates: Evaluations | RouteCertificates,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.parts, self.certificates, self._changed = parts, certificates, changed

    def carriable(self, name: str, policy: TrustPolicy) -> Carriable:
        """Raises Refused where none bears the change."""
        raise NotImplementedError

    def title(self, params: P) -> str:
        return str(getattr(params, self.noun))

    def key(self, params: P) -> str | None:
        return f"{self.title(params)} {self.parts.engine}"

    async def run(self, job: Context[P]) -> CertificateCarried:
        """Ask the open items; sign, or take out of service.

        Raises:
            PolicyRefused: nothing can be repeated, or the change is not bounded.
            StateRefused: the dataset is not here.
            EvaluationRefused: `gate_interrupted`.
        """
        name, engine = self.title(job.params), self.parts.engine
        found = await job.in_thread(self._found, name)
        total, label = len(found.before), f"{self.name}-{job.id}"

        async def again(item: Item) -> Json:
            return await found.ask(label, item)

        def report(done: int) -> None:
            job.report(name, done, total)

        asking = replay.flips(again, found.items, found.before, report)
        flips = await job.unless_stopped(asking)
        fields: dict[str, Json] = {
            self.noun: name, "from": found.origin, "engine": engine, "flips": len(flips),
        }  # fmt: skip
        result = CertificateCarried.model_validate({
            self.noun: name, "engine": engine, "items": total, "flips": flips, "certificate": None,
        })  # fmt: skip
        if flips:
            await job.in_thread(self.parts.record, job, self.action, {**fields, "certificate": ""})
            await found.end(len(flips), ", ".join(flips[:_SHOWN]))
            return result
        made = await job.in_thread(self._carried, job, found, fields)
        self._changed()
        change = evaluation.change_micros(found.groups, found.alpha_micros)
        told = {"groups": found.groups, "change": change / MILLION, **found.more}
        return result.having(certificate=made, **told)

    def dev(self, name: str, policy: TrustPolicy) -> tuple[str, dict[str, Item]]:
        """Digest, and open items of `dev` by id."""
        read = datasets.read_artifact
        digest, found = self.parts.store.use(name, "dataset", policy, silent, read)
        return digest, {item.id: item for item in found.splits.get("dev", ())}

    def _found(self, name: str) -> Carriable:
        self.parts.fresh().check_change()
        return self.carriable(name, self.parts.policy())

    def _carried(self, job: Context, found: Carriable, fields: dict[str, Json]) -> str:
        made, named = found.sign()
        self.parts.record(job, self.action, {**fields, "certificate": named})
        return self.certificates.add(made, self.parts.policy()).id
