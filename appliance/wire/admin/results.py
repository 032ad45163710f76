"""Results of jobs, one form for each kind: made by the job, kept in its row, read by people.

Rules: a result is written as it was given, since the log names its digest; a later field has a
default; what has none of these forms is an `UnknownResult`.
"""

from typing import Any, Final, TypeAlias

from pydantic import Field, ValidationError

from appliance.wire.admin.base import Verbatim
from appliance.wire.admin.models import ImportedFile, Verification

Ends: TypeAlias = tuple[float, float]
Estimated: TypeAlias = tuple[float, float, float]
"""A value and its interval."""


class UnknownResult(Verbatim):
    """A result of another version, of which only its document is known."""


class LogVerified(Verification, Verbatim):
    """The findings of a verification of the log, by the names of the fields."""


class LogExported(Verbatim):
    """Entries that left the log."""

    format: str
    out: str
    entries: int


class AnswerReplayed(Verbatim):
    """An answer that was computed again.

    Attributes:
        seq: of its outcome.
        verdict: same, differs or cannot.
        why: what differs, or why it cannot be computed.
        token: the first that differs, from 0, or null.
        was, now: that token, as recorded and as it came out.
        proved: by the log.
        lasting: it cannot, and will not.
    """

    seq: int
    model: str = ""
    verdict: str
    why: str = ""
    token: int | None = None
    was: str = ""
    now: str = ""
    proved: bool = True
    lasting: bool = False


class AnswersReplayed(Verbatim):
    """Recorded answers that were computed again.

    Attributes:
        reasons: how many could not be computed, by the reason.
        unproved: those of them that the log does not prove.
        answers: those that were named; of a sample or a file, those that differ.
        written: how many went to a file instead.
    """

    same: int
    differs: int
    cannot: int
    reasons: dict[str, int]
    answers: list[AnswerReplayed]
    unproved: int = 0
    written: int = 0


class ArtifactImported(Verbatim):
    """An imported artifact, with a line for each copied file."""

    id: str
    state: str
    code: str | None = None
    files: list[ImportedFile] = Field(default=[])


class ModelLoaded(Verbatim):
    """A model that was loaded."""

    model: str
    seconds: float


# datasets


class DatasetProblem(Verbatim):
    """One kind of problem: `level` is "error" or "warning", `count` how often.

    `examples` are ids, or pairs of ids with what is known of them.
    """

    code: str
    level: str
    count: int
    message: str
    examples: tuple[Any, ...] = ()


class DatasetChecked(Verbatim):
    """The report of a check; `datasets.checks` reads its facts."""

    ok: bool
    problems: list[DatasetProblem]


# collections


class Ingested(Verbatim):
    """Counts of documents that were added, changed, unchanged and refused."""

    collection: str
    added: int
    changed: int
    unchanged: int
    refused: int


class RankingMeasured(Verbatim):
    """One ranking of a collection."""

    ranking: str
    ndcg: float
    ndcg_interval: Ends
    recall: float
    recall_interval: Ends


class SearchTuned(Verbatim):
    """The best way to search a collection; `best` is "" where there are too few questions."""

    collection: str
    questions: int
    questions_sha256: str
    rankings: list[RankingMeasured]
    best: str
    before: str
    applied: bool


# evaluations


class CandidateMeasured(Verbatim):
    """One candidate of an evaluation. `failures` counts by code; `outcomes` is a digest.

    `quality` weights groups alike; `wrong` counts items that are not wholly right.
    """

    name: str
    kind: str = ""
    model: str | None = None
    quality: float
    interval: Ends
    groups: int = 0
    wrong: int | None = None
    documents_s: float = 0.0
    p50_s: float = 0.0
    p95_s: float = 0.0
    tokens: int = 0
    memory_bytes: int = 0
    joules: float | None = None
    failures: dict[str, int] = Field(default={})
    slices: dict[str, Estimated] = Field(default={})
    calibration_error: Estimated | float | None = None
    outcomes: str = ""
    adherence: Estimated | None = None
    macro_f1: Estimated | float | None = None
    levels: dict[str, Estimated] = Field(default={})
    fields: dict[str, Estimated] = Field(default={})
    normalised_match: Estimated | None = None
    token_f1: Estimated | None = None
    refusals: int = 0
    evidence: Estimated | None = None
    verified: Estimated | None = None
    citation_precision: Estimated | None = None


class CandidatesCompared(Verbatim):
    """A candidate minus the baseline."""

    candidate: str
    baseline: str = ""
    difference: float
    interval: Ends
    confidence: float = 0.95
    gained: int
    lost: int
    gained_items: list[str] = Field(default=[])
    lost_items: list[str] = Field(default=[])


class PackMeasured(Verbatim):
    """A model on a pack."""

    items: int
    quality: float
    interval: Ends


class TextLikelihood(Verbatim):
    """A model on a frozen text."""

    nats_per_token: float


class PacksMeasured(Verbatim):
    """A model on each pack; `frozen` is by language."""

    general: PackMeasured
    refusals: PackMeasured
    frozen: dict[str, TextLikelihood]


class SearchMeasured(Verbatim):
    """The worth of a task's search."""

    collection: str
    ranking: str
    generation: int = 0
    passages: int
    questions: int
    ndcg_10: Estimated
    recall_10: Estimated
    recall_given: Estimated


class EvaluationResult(Verbatim):
    """The worth of each candidate, and the conclusion.

    `digests` names what was measured; `label_agreement` is null where no text has two labels.
    """

    task: str = ""
    version: int = 0
    metric: str = ""
    data: str = ""
    split: str = ""
    items: int = 0
    answer: str = ""
    baseline: str = ""
    candidate: str | None = None
    drafts: list[str] = Field(default=[])
    label_agreement: float | None = None
    candidates: list[CandidateMeasured]
    comparisons: list[CandidatesCompared] = Field(default=[])
    packs: dict[str, PacksMeasured] = Field(default={})
    notes: list[str] = Field(default=[])
    retrieval: SearchMeasured | None = None
    digests: dict[str, str] = Field(default={})


class PackJudged(Verbatim):
    """A pack of a gate; `floor` in millionths."""

    right: int
    items: int
    floor: int
    interval: Ends = (0.0, 1.0)
    verdict: str


class LookJudged(Verbatim):
    """The verdict of a look, in words, too; the looks are counted at its end."""

    verdict: str
    answer: str = ""
    certificate: str | None = None
    looks: int = 0
    looks_left: int = 0


class GateResult(LookJudged):
    """The verdict of a gate, with the coarse interval, floors and packs."""

    difference: float
    interval: Ends
    margin: float
    groups: int
    agreed: int | None = None
    floors: dict[str, str] = Field(default={})
    packs: dict[str, PackJudged] = Field(default={})
    advice: float | None = None


class CertificateCarried(Verbatim):
    """A certificate that was carried over to this engine, or the items that differ.

    `coverage`, `coverage_before`: shares that a route's first stage answers now and before; null
    for a task.
    """

    task: str = ""
    route: str = ""
    engine: str
    items: int
    flips: list[str]
    certificate: str | None
    groups: int = 0
    change: float = 0.0
    coverage: float | None = None
    coverage_before: float | None = None


class CalibrationResult(LookJudged):
    """The verdict of a calibration; `reason` says why nothing is certified.

    `curve` has a threshold in millionths, coverage, error, low, high; `difference` and `avoided`
    are null where no larger stage was asked.
    """

    route: str
    reason: str = ""
    alpha: float = 0.0
    delta: float = 0.0
    groups: int = 0
    coverage: float = 0.0
    reach: float | None = None
    effective: int | None = None
    noise: float = 0.0
    unclaimed: list[str] = Field(default=[])
    company: bool = False
    weight: str = "groups"
    group_from: str = ""
    ablation: dict[str, float] = Field(default={})
    threshold: float | None = None
    larger: str | None = None
    doubtful: str | None = None
    difference: Estimated | None = None
    avoided: Estimated | None = None
    curve: list[tuple[float, float, float, float, float]] = Field(default=[])


class DriftFinding(Verbatim):
    """One look at one window of weeks; `rank` is an exact p-value."""

    week: int
    window: int
    statistic: str
    size: float
    difference: float
    rank: float
    level: float
    alarm: bool = False


class DriftResult(Verbatim):
    """The weeks of a task; `state` is "learning", "watching" or "alarm"."""

    task: str
    state: str
    answer: str
    weeks: int
    last_week: int | None
    findings: list[DriftFinding]
    alarm: DriftFinding | None
    statistics: list[str]


# tuning


class BaseNamed(Verbatim):
    """The model that an adapter is for."""

    id: str
    oms_root: str
    gguf_sha256: str


class TaskNamed(Verbatim):
    """A task by its digest."""

    id: str
    version: int = 0
    digest: str
    margin: float = 0.0


class RowsLearned(Verbatim):
    """Rows that were learned and that judged."""

    digest: str
    draft: bool = False
    train: int
    dev: int
    taught: int = 0
    teachers: list[str] = Field(default=[])
    dev_seen: int = 0
    judged_seen: int = 0
    rows_sha256: str
    dev_sha256: str


class LossPoint(Verbatim):
    """The loss of a step, and on dev where it was measured."""

    step: int
    loss: float
    dev: float | None = None


class SeedTrained(Verbatim):
    """One seed; `dev_nats` a token."""

    seed: int
    dev_nats: float
    best_step: int
    steps: int
    train_seconds: float
    losses: list[LossPoint]


class DevQuality(Verbatim):
    """The metric on dev."""

    metric: str
    value: float
    interval: Ends
    groups: int


class FieldRight(Verbatim):
    """A field's share right, on all items and on those that state it."""

    field: str
    value: float
    interval: Ends
    stated: int = 0
    stated_value: float | None = None
    stated_interval: Ends | None = None
    untuned: float | None = None


class TuningChecks(Verbatim):
    """Measurements of the proof, nats a token; records of before have no texts."""

    token_ids: bool = True
    nll_gap: float
    nll_gap_most: float
    nll_gap_error: float = 0.0
    nll_trained: float
    nll_served: float
    greedy_places: int
    stop_token: float
    base_nll_gap: float
    texts: int = 0
    texts_untuned: float = 0.0
    texts_tuned: float = 0.0
    forgotten: float | None = None
    forgotten_interval: Ends | None = None
    forgotten_most: float = 0.0


class CurvePoint(Verbatim):
    """One point of a learning curve."""

    share: float
    rows: int
    metric: float
    interval: Ends


class RowsDoubled(Verbatim):
    """The gain from twice the rows; without `groups` it was not measured."""

    doubling: float = 0.0
    interval: Ends = (0.0, 0.0)
    groups: int = 0


class TunedCandidate(Verbatim):
    """A candidate; the first is compared with nothing."""

    kind: str
    value: float
    interval: Ends
    plain: float | None = None
    weight: float | None = None
    against: str | None = None
    difference: float = 0.0
    difference_interval: Ends = (0.0, 0.0)
    p_value: float = 1.0

    @property
    def paired(self) -> bool:
        return "difference" in self.model_fields_set


class TrainingSources(Verbatim):
    """All that an adapter follows from, by digest or value, and the losses of each seed."""

    base: BaseNamed
    task: TaskNamed
    data: RowsLearned
    settings: dict[str, Any]
    seeds: list[SeedTrained]
    seed: int
    spread_nats: float


class TrainingRecord(TrainingSources):
    """The making of an adapter, and what was measured."""

    dev: DevQuality
    fields: list[FieldRight] = Field(default=[])
    checks: TuningChecks
    curve: list[CurvePoint]
    more_data_helps: str
    doubling: RowsDoubled
    candidates: list[TunedCandidate]
    best: str
    threads: int
    versions: dict[str, str]
    trained: str
    seconds: float
    joules: float | None
    peak_mib: int
    adapter_sha256: str
    outcomes_sha256: str | None = None

    @property
    def chosen(self) -> TunedCandidate:
        """The candidate that is best on dev."""
        return next(one for one in self.candidates if one.kind == self.best)


class AdapterTuned(TrainingRecord):
    """An adapter that is proved, in its directory on the host."""

    answer: str = ""
    adapter: str


class TuningPlanned(Verbatim):
    """The cost of a tuning."""

    rows: int
    dev: int
    steps: int
    tokens: int
    longest: int
    seconds: float
    pace: dict[str, float] = Field(default={})
    memory_mib: int = 0
    server_mib: int = 0
    memory: str
    trainer_peak_mib: int = 0
    settings: dict[str, Any] = Field(default={})


class TeacherNamed(Verbatim):
    """A model that taught, with the solved items of its prompt."""

    id: str
    digest: str
    shots: int


class TeacherAgreement(Verbatim):
    """The share of items on which a teacher agrees with people."""

    value: float
    interval: Ends
    items: int
    groups: int


class DatasetTaught(Verbatim):
    """A dataset whose unlabelled items a teacher answered; `dropped` counts by reason."""

    teacher: TeacherNamed
    licence: str
    task: TaskNamed
    data: dict[str, Any] = Field(default={})
    agreement: TeacherAgreement
    asked: int
    taken: int
    dropped: dict[str, int]
    share_dropped: float
    taught: str = ""
    seconds: float = 0.0
    dataset: str = ""


class TypeMeasured(Verbatim):
    """A file in smaller types; `rank` is null within the noise, `kld` in nats a token."""

    type: str
    mib: float
    tokens_s: float
    importance: bool = False
    kld: float
    kld_plain: float | None
    noise_kld: float = 0.0
    rank: int | None
    nats: float = 0.0
    source_nats: float = 0.0
    same_top: float
    flips: float
    metric: float
    difference: float
    interval: Ends
    groups: int = 0
    groups_missing: int | None = None
    verdict: str
    reason: str


class MatrixMade(Verbatim):
    """An importance matrix, by its rows of train."""

    split: str = "train"
    rows: int
    tokens: int
    rows_sha256: str = ""
    weights: int = 0
    sha256: str = ""


class SourceMeasured(BaseNamed):
    """The model that smaller files were made of, on the same items."""

    mib: float = 0.0
    metric: float = 0.0


class ModelQuantized(Verbatim):
    """The files that were made; `recommended` is null where none passes."""

    rows: list[TypeMeasured]
    recommended: str | None
    source: SourceMeasured
    task: TaskNamed
    data: dict[str, Any] = Field(default={})
    importance_matrix: MatrixMade | None
    engine: str = ""
    made: str = ""
    seconds: float = 0.0
    adapters: list[str]
    file_sha256: str = ""
    same_sha256: str = ""
    directory: str = ""


class BatchEnded(Verbatim):
    """An app's batch that has ended.

    Attributes:
        status: completed, failed, expired or cancelled.
        completed, failed: lines with an answer, and with a refusal or none.
    """

    batch: str
    status: str
    completed: int
    failed: int


JobResult: TypeAlias = (
    LogVerified
    | LogExported
    | AnswersReplayed
    | ArtifactImported
    | ModelLoaded
    | DatasetChecked
    | Ingested
    | SearchTuned
    | EvaluationResult
    | GateResult
    | CertificateCarried
    | CalibrationResult
    | DriftResult
    | AdapterTuned
    | TuningPlanned
    | DatasetTaught
    | ModelQuantized
    | BatchEnded
    | UnknownResult
)
FORMS: Final[dict[str, tuple[type[JobResult], ...]]] = {
    "verify": (LogVerified,),
    "export": (LogExported,),
    "replay": (AnswersReplayed,),
    "import": (ArtifactImported,),
    "load": (ModelLoaded,),
    "dataset-check": (DatasetChecked,),
    "ingest": (Ingested,),
    "tune-search": (SearchTuned,),
    "evaluation": (EvaluationResult,),
    "gate": (GateResult,),
    "carry": (CertificateCarried,),
    "route": (CalibrationResult,),
    "route-carry": (CertificateCarried,),
    "drift": (DriftResult,),
    "tune": (AdapterTuned, TuningPlanned),
    "teach": (DatasetTaught,),
    "quantize": (ModelQuantized,),
    "batch": (BatchEnded,),
}
"""The forms of each kind, by the name of the kind; the first that fits."""


def read(kind: str, document: dict[str, Any]) -> JobResult:
    """The result of a job of a kind."""
    for form in FORMS.get(kind, ()):
        try:
            return form.model_validate(document)
        except ValidationError:
            continue
    return UnknownResult.model_validate(document)
