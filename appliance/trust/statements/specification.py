"""The specification of a gate: what will be compared, on which items, and by which terms.

Rules: a person signs it before the split is opened; it holds every number that the verdict depends
on, as integers; one specification takes one look.

Source: in-toto Statement v1 in a DSSE envelope, predicate type of our own (docs/gate.md).
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from appliance.trust.policy.policy import PolicyKey, TrustPolicy
from appliance.trust.statements.statement import NoSha256, Sha256, Statement, Time

MILLION: Final = 1_000_000
UNLABELLED: Final = "unlabelled"
RATERS: Final = 2
Share: TypeAlias = Annotated[int, Meta(gt=0, lt=MILLION)]
"""Between nothing and all, in millionths."""
Floors: TypeAlias = Mapping[str, Share]


class Specification(Statement, frozen=True):
    """Specification of a gate.

    Attributes:
        task, dataset: ids in the store, each with the hex digest of its signature's root.
        split: the sealed split that is opened; `unlabelled`: `raters` label the items on which
            candidate and incumbent differ, and no others.
        margin_micros: how much worse the candidate may be, in millionths.
        alpha_micros: probability that a worse one passes, over all looks, in millionths.
        looks: over how many looks alpha is spread.
        schedule: the share of alpha that each look spends, in millionths; empty: equal shares.
        model, model_digest: what answers for the task.
        incumbent: a baseline (`majority`, `logistic regression`, `none`) or the id of a task.
        incumbent_digest: of that task; "" for a baseline.
        floors: least value of the metric, in millionths, by stratum; "" is the whole.
        packs: least share of a pack's items that the candidate's model must get right by itself, in
            millionths, by pack.
        items: `all`, or `one`: one item of each group, drawn by `seed`.
        seed: chosen at random, so that no specification is signed twice.
        raters: two people who label; none for a split that has its labels.
    """

    KIND: ClassVar = "https://appliance.invalid/gate-specification/v1"
    NOUN: ClassVar = "Specification"
    LIMIT: ClassVar = 256 << 10
    MALFORMED: ClassVar = "specification_invalid"
    UNSIGNED: ClassVar = "specification_signature"
    SUBJECTS: ClassVar = (("task", "task_digest"), ("dataset", "dataset_digest"))
    APART: ClassVar = True
    OPTIONAL: ClassVar = frozenset({"packs", "schedule", "raters"})

    task: str
    task_digest: Sha256
    dataset: str
    dataset_digest: Sha256
    split: Annotated[str, Meta(pattern=r"^(certify|test|unlabelled)\Z")]
    metric: str
    margin_micros: Share
    alpha_micros: Annotated[int, Meta(gt=0, le=MILLION // 5)]
    looks: Annotated[int, Meta(ge=1, le=100)]
    model: str
    model_digest: Sha256
    incumbent: str
    seed: Annotated[str, Meta(min_length=8, max_length=128)]
    name: str
    time: Time
    incumbent_digest: NoSha256 = ""
    floors: Floors = msgspec.field(default_factory=dict)
    packs: Floors = msgspec.field(default_factory=dict)
    items: Literal["all", "one"] = "all"
    schedule: tuple[Annotated[int, Meta(gt=0)], ...] = ()
    raters: tuple[str, ...] = ()

    def alpha_of(self, look: int) -> float:
        """The probability of a wrong pass that one look spends; looks count from 1."""
        if self.schedule:
            return self.alpha_micros * self.schedule[look - 1] / MILLION / MILLION
        return self.alpha_micros / MILLION / self.looks

    def signer(self, hint: str, policy: TrustPolicy) -> PolicyKey:
        return policy.specifier(hint, self.name)

    def check(self) -> None:
        """Check that raters, floors and schedule fit the split, and that names print."""
        unlabelled = self.split == UNLABELLED
        if len(set(self.raters)) != len(self.raters) or len(self.raters) != RATERS * unlabelled:
            raise self.malformed(f"two people label the split {UNLABELLED}, and no other")
        if unlabelled and (self.floors or self.incumbent == "none"):
            raise self.malformed("where two differ shows no floor, and a comparison takes two")
        if self.schedule and (len(self.schedule) != self.looks or sum(self.schedule) > MILLION):
            raise self.malformed("a schedule has a share for each look, and spends alpha once")
        names = (self.task, self.dataset, self.model, self.incumbent, self.name, self.seed)
        for text in (*names, *self.packs, *self.raters):
            if not text.strip() or not text.isprintable() or len(text) > 200:
                raise self.malformed("a name is empty, too long or does not print")
