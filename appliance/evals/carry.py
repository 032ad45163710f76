"""A task's certificate, carried over: the candidate's answers must be those that were certified."""

from collections.abc import Awaitable, Callable
from typing import ClassVar

import msgspec

from appliance.datasets.items import Item
from appliance.errors import PolicyRefused, Refused
from appliance.evals.asking import Asking
from appliance.looks import replay
from appliance.looks.carry import Carriable, CarryOver
from appliance.looks.subject import LookParts, needs_engine, task_of
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import evaluation
from appliance.types import Json


class CarriedTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters: the id of the task."""

    task: str


class Carry(CarryOver[CarriedTask]):
    """The job.

    Args:
        suspend: takes a task out of service, with the reason.
    """

    name: ClassVar[str] = "carry"
    noun: ClassVar[str] = "task"
    action: ClassVar[str] = "evaluation_carried"
    form = CarriedTask

    def __init__(
        self, parts: LookParts, suspend: Callable[[str, Refused], Awaitable[object]]
    ) -> None:
        super().__init__(parts, parts.store.evaluations)
        self._suspend = suspend

    def engine(self, params: CarriedTask) -> bool:
        return needs_engine(self.parts, self.title(params))

    def carriable(self, name: str, policy: TrustPolicy) -> Carriable:
        """The newest certificate, and its candidate.

        Raises:
            PolicyRefused: `evaluation_no_replay`, `evaluation_change_unbounded`,
                `evaluation_other_dataset`.
        """
        parts, engine = self.parts, self.parts.engine
        loaded = task_of(parts.store, name, parts.store.inventory.record(name).digest or "", policy)
        facts = parts.store.facts(name, policy)
        envelope, certificate, answers = parts.store.evaluations.carriable(
            loaded.digest, facts, policy
        )
        wanted = certificate.wanted
        digest, dev = self.dev(wanted.dataset, policy)
        if digest != wanted.dataset_digest:
            raise PolicyRefused("evaluation_other_dataset", f"{wanted.dataset} is {digest} here.")
        before = replay.read(answers)
        asked = [item for name, item in dev.items() if name in before]
        unflipped = replay.groups(asked, {"", *wanted.floors})
        evaluation.check_changes(certificate, unflipped)
        inference = parts.inference(parts.tasks(loaded))

        async def ask(label: str, item: Item) -> Json:
            told = await Asking(loaded.task, inference, label).outcome(item)
            replay.check_asked(item, told.failure)
            return replay.digest(told)

        def sign() -> tuple[bytes, str]:
            now, key = parts.clock.wall_us(), parts.evidence()
            made = evaluation.carry(envelope, certificate, engine, unflipped, now, key)
            return made, evaluation.verify(made, parts.policy()).id

        async def end(flips: int, named: str) -> None:
            reason = f"{engine} answers {flips} items otherwise: {named}."
            await self._suspend(name, PolicyRefused(evaluation.OTHER_ENGINE, reason))

        groups, alpha = unflipped[""], wanted.alpha_micros
        return Carriable(certificate.id, before, dev, groups, alpha, ask, sign, end)
