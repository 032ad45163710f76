"""Schemas of the gate: seals, specifications, looks, certificates."""

from typing import Annotated, Any, Literal

from pydantic import Field

from appliance.wire.admin.base import Reply, Request, Verbatim
from appliance.wire.admin.endpoint import admins, operators, viewers

ArtifactId = Annotated[str, Field(min_length=1, max_length=129)]


class SealingKey(Reply):
    """A fresh key for one seal, and as it is stored, and the site's key of marks; base64."""

    id: str
    key: str
    wrapped: str
    kek: str
    marks: str


class Marks(Request):
    """The marks of a split that is to be sealed."""

    names: list[str]
    contents: list[str]
    items: list[str]


class Known(Reply):
    """The ledger's entries on a split: inherited looks, and marks of items seen by other looks."""

    looks: int
    items: list[str]


class PlanWanted(Request):
    """`incumbent`: a baseline or a task's id; by default the task's own."""

    task: ArtifactId
    dataset: ArtifactId
    split: Literal["certify", "test", "unlabelled"] = "test"
    incumbent: ArtifactId | None = None


class Plan(Reply):
    """The terms that the stored task and dataset give to a specification.

    Attributes:
        schedule: each look's share of alpha, in millionths; empty: equal shares.
    """

    task: str
    task_digest: str
    dataset: str
    dataset_digest: str
    split: str
    metric: str
    margin_micros: int
    alpha_micros: int
    floor_micros: int
    looks: int
    looks_left: int
    schedule: list[int]
    model: str
    model_digest: str
    incumbent: str
    incumbent_digest: str
    groups: int
    items: int


class LookTold(Verbatim):
    """A look at a sealed split; `verdict` is "" while it is under way."""

    job: int = 0
    task: str
    task_digest: str = ""
    dataset: str = "-"
    person: str = "-"
    taken: str = "-"
    verdict: str = ""


class LedgerSplit(Reply):
    """One sealed split; the looks that are `left` are those of the task `only`, where it passed."""

    split: str
    groups: int
    left: int
    only: str = ""
    looks: list[LookTold]


class Ledger(Reply):
    """The looks at the sealed splits of a dataset, inherited ones too."""

    dataset: str
    splits: list[LedgerSplit]


class LedgerList(Reply):
    """The ledgers of all stored sealed datasets, by name."""

    ledgers: list[Ledger]


class EvidenceKey(Reply):
    """The key that signs evaluations, and whether the trust policy lists it."""

    hint: str
    pem: str
    listed: bool


class CertificateUpload(Request):
    """A certificate as it was signed."""

    envelope: Annotated[str, Field(max_length=1 << 20)]


class Certificate(Reply):
    """A certificate, and whether its task may be approved now.

    Attributes:
        interval: how that of its difference was made; "" for the one of older versions, which is
            too short below 350 groups.
        doubtful: an older version decided, by intervals that err more often than they say, or
            carried it over without a bound of what the engine changes. Routes can be, too.
        today: of a doubtful one, the verdict of its outcomes by today's interval; "" where they are
            not here.
    """

    id: str
    task: str
    task_digest: str
    dataset: str
    verdict: str
    metric: str
    incumbent: str
    groups: int
    interval: str
    issued: str
    valid_until: str
    usable: bool
    why: str
    envelope: str = ""
    today: str = ""
    doubtful: bool = False


class CertificateList(Reply):
    """The certificates, the oldest first."""

    certificates: list[Certificate]


class Outcomes(Reply):
    """Outcomes, one line of JSON for each item; of one item with its proof."""

    lines: list[str]
    proof: dict[str, Any] | None = None


SEALING_KEY = operators.post("/admin/gates/sealing-key", SealingKey)
SPLIT_KNOWN = operators.post("/admin/gates/known", Marks, Known, slow=True)
GATE_PLAN = viewers.post("/admin/gates/plan", PlanWanted, Plan)
LEDGERS = viewers.get("/admin/gates/ledger", LedgerList)
LEDGER = viewers.get("/admin/gates/ledger/{dataset}", Ledger)
EVIDENCE_KEY = viewers.get("/admin/gates/evidence-key", EvidenceKey)
CERTIFICATES = viewers.get("/admin/gates/certificates{?doubtful}", CertificateList)
CERTIFICATE = viewers.get("/admin/gates/certificates/{certificate_id}", Certificate)
CERTIFICATE_KEEP = operators.post("/admin/gates/certificates", CertificateUpload, Certificate)
OUTCOMES = admins.post("/admin/gates/{job_id}/outcomes{?item,end_looks}", Outcomes, slow=True)
