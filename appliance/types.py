"""Value types that several packages share: plain data, without other modules."""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Json: TypeAlias = "str | int | bool | list[Json] | dict[str, Json] | None"
"""A value of an audit body: no floats (see audit/entry.py)."""

JsonValue: TypeAlias = (
    "str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
"""Anything that JSON can say."""

ModelKind: TypeAlias = Literal["generate", "embed", "rerank"]
"""The use of a model: it writes text, makes a vector of a text, or scores texts for a query."""

ModelUse: TypeAlias = Literal["chat", "task", "route", "embedder", "reranker"]
"""The use that an app makes of an entry of `/v1/models`."""

Report: TypeAlias = Callable[[str, int, int], None]
"""Called with a phase, and how much of how much is done."""

FEWEST_GROUPS: Final = 50
"""Fewer independent groups decide nothing, whoever asks."""

_USES: Final[Mapping[ModelKind, ModelUse]] = {
    "generate": "chat",
    "embed": "embedder",
    "rerank": "reranker",
}


def silent(_phase: str, _done: int, _total: int) -> None:
    """A report without a watcher."""


class Role(enum.StrEnum):
    """Role on the admin socket, from the least right to the most."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


class Priority(enum.StrEnum):
    """Urgency of a request: batch work waits for interactive work."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


@dataclass(frozen=True)
class Limits:
    """Limits of a key; None means without a limit.

    Attributes:
        concurrency: answers that run at once; further requests wait in the queue.
        weight: share of a busy model, in proportion to the weights of the other keys.
        priority: of requests that do not ask for one.
    """

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    weight: int = 1
    priority: Priority = Priority.INTERACTIVE


@dataclass(frozen=True)
class PartLimits(Limits):
    """One appliance's part of the `whole` limits of a site."""

    whole: Limits = Limits()


@dataclass(frozen=True)
class KeyUsage:
    """Use of a key since it was made."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, other: "KeyUsage") -> "KeyUsage":
        return KeyUsage(*map(sum, zip(astuple(self), astuple(other), strict=True)))


UsedBy: TypeAlias = Literal["app", "person", "cost_centre", "task", "model"]
UsedPer: TypeAlias = Literal["hour", "day", "month"]
"""Usage over time: whose sums, and of which periods."""

ContentMode: TypeAlias = Literal["encrypted", "commit-only", "off"]
"""The log keeps of prompts and answers: ciphertexts, commitments only, or nothing."""

Held: TypeAlias = Callable[[], frozenset[str]]
"""Tells what counts for nothing until a person decides, since log and rows disagree about it."""

KeyState: TypeAlias = Literal["valid", "expired", "revoked"]
"""Whether an API key may be used, and if not, why."""


@dataclass(frozen=True)
class Told:
    """One thing that is wrong, as the part that found it tells it.

    Attributes:
        subject: such as the id of a task; "" is the appliance.
        since_us: None where that part does not know.
    """

    subject: str
    message: str
    since_us: int | None = None


CLAIM: Final = "claim"
"""The source of a person whom an app names and nobody has verified."""


PEOPLE: Final = "people:"
"""Begins the name of a group of people where groups of keys, or of the host, may stand, too."""


PERSON: Final = "person|"
"""Begins the name of a person's quotas, which no id of a key has."""


TOKEN_ALGORITHMS: Final[Mapping[str, str]] = {
    "ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "Ed25519": "Ed25519",
    "RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "PS256": "RSA", "PS384": "RSA", "PS512": "RSA",
}  # fmt: skip
"""Signatures of people's tokens that may be pinned, and the curve that a key for each is on."""


@dataclass(frozen=True)
class EndUser:
    """The person for whom an app asks.

    Attributes:
        subject: stable name in its source; of a claim the words of the app, cleaned.
        source: `claim`, `oidc:NAME` or `certificate:NAME`.
        alias: the name in the log: the subject, or a keyed pseudonym of it.
        name: for people to read; "" where the source tells none.
        groups: those of `[groups]`; a claim has none.
        until_us: from then on the person is not known any more; 0 for a claim.
        groups_from: the directory that says the groups, as `ldap:NAME`; "" where the source does.
        cost_centre: where this person's requests are booked; "" for nowhere.
    """

    subject: str
    source: str
    alias: str
    name: str = ""
    groups: frozenset[str] = frozenset()
    until_us: int = 0
    groups_from: str = ""
    cost_centre: str = ""

    @property
    def verified(self) -> bool:
        """A source of people vouches for the person."""
        return self.source != CLAIM

    def fields(self) -> dict[str, Json]:
        said: dict[str, Json] = {"end_user": self.alias, "end_user_from": self.source}
        if self.verified:
            said |= {"end_user_groups": [*sorted(self.groups)], "end_user_until_us": self.until_us}
        if self.groups_from:
            said["end_user_groups_from"] = self.groups_from
        if self.cost_centre:
            said["end_user_cost_centre"] = self.cost_centre
        return said

    def texts(self) -> dict[str, bytes]:
        """The subject, where texts can be erased; nothing where the log has it by itself."""
        return {} if self.alias == self.subject else {"end_user": self.subject.encode()}


@dataclass(frozen=True)
class Principal:
    """The app behind an API key.

    Attributes:
        key_id: public id, in every audit record of the app.
        models: ids that it may use; empty means all.
        content: what the log keeps of its texts; None is the log's own rule.
        tasks_only: it may use no model by itself.
        answers: people behind it answer what waits in the queue.
        padded: the log tells sizes and times of its requests by coarse steps only, so that they do
            not tell what was answered.
        for_people: it is answered only for verified people.
        granted: models that this person's groups give; None where nothing limits the person.
        person_limits: of each verified person, through all keys together.
    """

    key_id: str
    name: str
    models: frozenset[str] = frozenset()
    limits: Limits = Limits()
    content: ContentMode | None = None
    tasks_only: bool = False
    answers: bool = False
    padded: bool = False
    for_people: bool = False
    person: EndUser | None = None
    granted: frozenset[str] | None = None
    person_limits: Limits = Limits()

    @property
    def known(self) -> EndUser | None:
        """None for a mere claim."""
        return self.person if self.person is not None and self.person.verified else None

    @property
    def owner(self) -> tuple[bytes, ...]:
        """Owner of the answers: the key, and for a verified person that person alone."""
        key, person = self.key_id.encode(), self.known
        return (key,) if person is None else (key, f"{person.source}|{person.subject}".encode())

    @property
    def accounts(self) -> tuple[tuple[str, Limits], ...]:
        key, person = (self.key_id, self.limits), self.known
        if person is None:
            return (key,)
        return key, (f"{PERSON}{person.source}|{person.subject}", self.person_limits)

    def step(self, number: int, step: int) -> int:
        """For the log: as it is, or up to the next step."""
        return max(1, -(-number // step)) * step if self.padded else number

    def may_use(self, model: str) -> bool:
        granted = self.granted is None or model in self.granted
        return granted and (not self.models or model in self.models)

    def may_answer(self, card: "ModelCard") -> bool:
        return self.may_use(card.id) and (bool(card.form) or not self.tasks_only)


@dataclass(frozen=True)
class Receipt:
    """Where an audit entry is in the log: evidence that the client may keep.

    Attributes:
        leaf: RFC 6962 leaf hash of the entry, 32 bytes.
        size: tree size of the signed checkpoint that covers it.
    """

    seq: int
    leaf: bytes
    size: int

    def header(self) -> str:
        """The value of `x-appliance-receipt`."""
        return f"{self.seq} {self.leaf.hex()} {self.size}"


@dataclass(frozen=True)
class Sampling:
    """Rule that turns a row of logits into a token.

    Attributes:
        temperature: 0 is greedy.
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: nucleus mass in (0, 1].
        min_p: drop tokens below this share of the most likely one, in [0, 1].
        seed: with the step number, all that the random stream depends on.
        typical_p: mass of the locally typical tokens in (0, 1]; 1 keeps all.
        presence_penalty: taken once from the logit of each token that was generated.
        frequency_penalty: taken from it as often as the token was generated.
        repetition_penalty: divides positive and multiplies negative logits of tokens of the
            prompt and the answer; 1 changes nothing.
        logit_bias: token ids and what is added to their logits.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    typical_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()


class TokenLogprob(NamedTuple):
    """Log-probability of one token, without any setting of the request.

    Attributes:
        token: its bytes; the name of a control token.
        logprob: natural logarithm; None where nothing comes before it.
        top: the most likely tokens at this place and their values, best first.
        offset: where its text begins in the answer, in characters.
    """

    token: bytes
    logprob: float | None
    top: tuple[tuple[bytes, float], ...]
    offset: int


class Decision(NamedTuple):
    """Confidence of the model in a token where the form of the answer left it a choice.

    Raw values, before any setting of the request; logarithms are natural.

    Attributes:
        offset: where the token begins in the answer, in bytes.
        margin: logarithm of how many times the second token's probability the likeliest one has, of
            those that may come.
        entropy: over the tokens that may come, in nats.
        mass: logarithm of the probability that these have together; the rest is masked.
    """

    offset: int
    logprob: float
    margin: float
    entropy: float
    mass: float


@dataclass(frozen=True)
class Decided:
    """The decisions of one field of an answer.

    Attributes:
        least, mean: of the logarithms of their probabilities.
        quantiles: of the same, at 10, 25 and 50 %.
        margin: the smallest.
        entropy: the largest.
        mass: the smallest.
        alike: logarithm of the probability that a sample at temperature 1, held to the same form,
            makes the same decisions.
    """

    name: str
    tokens: int
    least: float
    mean: float
    quantiles: tuple[float, float, float]
    margin: float
    entropy: float
    mass: float
    alike: float


@dataclass(frozen=True)
class Constraint:
    """A form that an answer must have.

    Attributes:
        kind: json_schema, json_object, regex, choice, or grammar for one that was signed with the
            model. Of a signed one: json_schema or lark. In the worker also calls, and either.
        source: the schema as JSON text, "" for json_object, the expression, the choices as a JSON
            list, the name of the grammar, or its text.
    """

    kind: str
    source: str = ""


@dataclass(frozen=True)
class Tools:
    """Functions that a model may ask its client to call.

    Attributes:
        functions: each with name, description and parameters (a JSON schema of an object).
        forced: names of which one must be called; empty lets the model decide.
        parallel: one answer may hold several calls.
    """

    functions: tuple[dict[str, Any], ...]
    forced: tuple[str, ...] = ()
    parallel: bool = True


@dataclass(frozen=True)
class Unscored:
    """Labels of a request that may stay unscored.

    Attributes:
        tolerance: largest share of all that may, and largest part of the model's probability of all
            labels together; no label's share is then wrong by more.
        power, prior: a label's share is its probability to this power, times the exponential of
            its prior. Without a prior the shares are the model's probabilities.
    """

    tolerance: float
    power: float = 1.0
    prior: tuple[float, ...] = ()


@dataclass(frozen=True)
class TaskNeeds:
    """Needs of tasks and routes, which no app names by itself.

    Attributes:
        labels: texts whose probabilities after the prompt are wanted in place of an answer.
        unscored: labels that may stay so, to save tokens; None scores all of each.
        distribution: the probabilities of a task's labels are wanted; no other answer will do.
        decisions: the model's certainty at each choice is wanted.
        p_true: with `decisions`, the model is also asked if its answer is right.
        common: leading messages that are a signed task's own, the same for every app.
        readable: digest of the documents that the caller may read, where their passages are in the
            messages: results of such a prompt are reused for the same digest only.
    """

    labels: tuple[str, ...] = ()
    unscored: Unscored | None = None
    distribution: bool = False
    decisions: bool = False
    p_true: bool = False
    common: int = 0
    readable: str = ""


@dataclass(frozen=True)
class GenerationRequest:
    """One request for text, vectors or scores, as the API hands it to the use-case.

    Exactly one of `messages` (chat: rendered by the model's template), `prompt` (text), `tokens`
    (ids) and `texts` is set.

    Attributes:
        messages: role and content; calls in a history have their arguments as an object.
        texts: one vector each is wanted; with `query` one score each for it.
        max_tokens: None means as many as the context leaves.
        sampling: its seed is not used: see `seed`.
        seed: None lets the use-case draw one; the effective seed is in the audit record. Choice i
            draws from seed + i.
        min_tokens: tokens before an end-of-generation token or a stop string may end the text.
        priority: None takes that of the key.
        best_of: choices to generate, of which the n likeliest are the answer; None is n.
        logprobs: alternatives to tell with each token's log-probability; None tells nothing.
        echo: the answer begins with the prompt, and its log-probabilities if any.
        tools: with `messages` only.
        thinking: None leaves it to the template.
        clock_s: the date for the chat template, in seconds since the epoch; None is today.
        request_id: the request in the log, as the use-case sets it.
    """

    model: str
    messages: tuple[dict[str, Any], ...] | None = None
    prompt: str | None = None
    tokens: tuple[int, ...] | None = None
    texts: tuple[str, ...] | None = None
    query: str | None = None
    max_tokens: int | None = None
    sampling: Sampling = Sampling()
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    min_tokens: int = 0
    constraint: Constraint | None = None
    priority: Priority | None = None
    n: int = 1
    best_of: int | None = None
    logprobs: int | None = None
    echo: bool = False
    tools: Tools | None = None
    thinking: bool | None = None
    clock_s: int | None = None
    task: TaskNeeds = TaskNeeds()
    request_id: str = ""

    def needing(self, **changes: Any) -> "GenerationRequest":
        return replace(self, task=replace(self.task, **changes))

    @property
    def choices(self) -> int:
        return self.best_of or self.n

    @property
    def kind(self) -> ModelKind:
        if self.texts is None:
            return "generate"
        return "embed" if self.query is None else "rerank"


@dataclass(frozen=True)
class Hop:
    """One stage of a route that is asked for a request; goes into the audit record as it is.

    Attributes:
        route, digest: of the route.
        number: of the hop in the request, from 1.
        certificate: what lets the first stage answer; "" where nothing does.
        before: why the stage before did not answer; "" for the first.
    """

    route: str
    digest: str
    stage: str
    number: int
    certificate: str = ""
    before: str = ""


@dataclass(frozen=True)
class ClientIds:
    """The names that others gave a request: its client, a proxy before us, its trace; "" without
    the header.
    """

    x_request_id: str = ""
    x_client_request_id: str = ""
    traceparent: str = ""

    @property
    def newest(self) -> str:
        """The id that the client looks for: its own before that of a proxy."""
        return self.x_client_request_id or self.x_request_id

    def fields(self) -> dict[str, Json]:
        return {name: value for name, value in vars(self).items() if value}


@dataclass(frozen=True)
class Caller:
    """The caller and their address; goes into the audit record as it is.

    Attributes:
        request_id: the id that the client sees as `x-request-id`.
        retry: value of `x-stainless-retry-count`, 0 when absent.
    """

    principal: Principal
    request_id: str
    ip: str
    route: str
    retry: int = 0
    hop: Hop | None = None
    client: ClientIds = ClientIds()

    def named(self) -> dict[str, Json]:
        return {} if self.principal.person is None else self.principal.person.fields()

    def texts(self) -> dict[str, bytes]:
        return {} if self.principal.person is None else self.principal.person.texts()


@dataclass(frozen=True)
class Routed:
    """The route of an answer, for its app.

    Attributes:
        certificate: what let the first stage answer; "" for a later one.
        hops: how many stages were asked.
    """

    route: str
    version: int
    digest: str
    stage: str
    certificate: str
    hops: int


@dataclass(frozen=True)
class Passage:
    """A chunk that was found.

    Attributes:
        id: stable name of the span: version digest, begin, end.
        start, end: bytes of the text of the version.
        text_sha256: digest of the text that it is a span of.
    """

    id: str
    document: str
    version: int
    title: str
    page: int
    heading: str
    start: int
    end: int
    sha256: str
    text_sha256: str
    score: float
    text: str


@dataclass(frozen=True)
class Citation:
    """A verified quotation of an answer.

    Attributes:
        number: of the passage among those that were given, from 1.
        start, end: bytes of the text with the digest `text_sha256`.
        sha256: digest of these bytes.
        quote: the text at that span, as it is in the document.
        at, until: characters of the answer.
    """

    number: int
    passage: str
    document: str
    title: str
    page: int
    start: int
    end: int
    text_sha256: str
    sha256: str
    quote: str
    at: int
    until: int


@dataclass(frozen=True)
class CitedFrom:
    """Proof of an answer's source.

    Attributes:
        generation: the searched state of the collection.
        passages: how many the model was given.
        removed: quotations and marks that were taken out, since they are in none of these.
        refused: the answer is a refusal, because nothing in it was proven.
        nonce: opens what the log says of passages and citations; the app keeps it.
        commitments: what the log says of the citations, in their order.
    """

    collection: str
    generation: int
    passages: int
    citations: tuple[Citation, ...]
    removed: int
    refused: bool
    nonce: str = ""
    commitments: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskAnswer:
    """An answer's facts, for its app.

    Attributes:
        kind: of the candidate: model, classifier or blend.
        candidate: digest of the model that answered, else of the classifier's coefficients.
        confidence: probability of the answer in the distribution; None where the form has none.
        cited: proof; None where the task has no collection.
        mass: logarithm of the raw probability that all labels had together in the model; None where
            no model answered.
        decided: of an answer in fields, the model's certainty of each, where it was asked for.
        p_true: the probability that the model gives to its answer being right, where it was asked.
        unused: fields of the app that the task does not use.
    """

    task: str
    version: int
    digest: str
    stage: str
    kind: str = "model"
    candidate: str = ""
    confidence: float | None = None
    distribution: tuple[tuple[str, float], ...] = ()
    cited: CitedFrom | None = None
    mass: float | None = None
    decided: tuple[Decided, ...] = ()
    p_true: float | None = None
    routed: Routed | None = None
    unused: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The value of `x_appliance` in an answer."""
        shown: dict[str, Any] = {
            "task": self.task,
            "version": self.version,
            "digest": self.digest,
            "stage": self.stage,
            "candidate": {"kind": self.kind, "digest": self.candidate},
        }
        if self.confidence is not None:
            shown["confidence"] = round(self.confidence, 6)
        if self.distribution:
            shown["distribution"] = {name: round(share, 6) for name, share in self.distribution}
        if self.decided:
            shown["fields"] = {
                field.name: {
                    "tokens": field.tokens,
                    "least": round(field.least, 6),
                    "mean": round(field.mean, 6),
                    "quantiles": [round(value, 6) for value in field.quantiles],
                }
                for field in self.decided
            }
        if self.p_true is not None:
            shown["p_true"] = round(self.p_true, 6)
        if self.cited is not None:
            shown |= {k: v for k, v in vars(self.cited).items() if k != "commitments"}
            shown["citations"] = [dict(vars(citation)) for citation in self.cited.citations]
        if self.unused:
            shown["unused"] = list(self.unused)
        if self.routed is not None:
            shown["route"] = vars(self.routed)
        return shown


@dataclass(frozen=True)
class PeerReceipt:
    """Another appliance's receipt for its answer.

    Attributes:
        seq, leaf, size: as of `Receipt`, the leaf in hex.
        origin: of that log, once a proof of the entry was checked with its first key; "" before.
    """

    seq: int
    leaf: str
    size: int
    origin: str = ""

    def fields(self) -> dict[str, Json]:
        """For the log: `standing` is `checked`, or `kept` where nobody has."""
        found: dict[str, Json] = {"seq": self.seq, "leaf": self.leaf, "size": self.size}
        if self.origin:
            return {**found, "standing": "checked", "origin": self.origin}
        return {**found, "standing": "kept"}


@dataclass(frozen=True)
class Answerer:
    """A host on the network that answers.

    Attributes:
        host: its URL.
        receipt: of its own, where it is an appliance.
    """

    upstream: str
    host: str
    digest: str
    receipt: PeerReceipt | None = None

    def fields(self) -> dict[str, Json]:
        found: dict[str, Json] = {
            "upstream": self.upstream, "host": self.host, "digest": self.digest
        }  # fmt: skip
        return found if self.receipt is None else {**found, "receipt": self.receipt.fields()}


@dataclass(frozen=True)
class Delta:
    """A piece of an answer: text that will not change any more, or the result for one text.

    Attributes:
        tokens: how many were generated for it.
        finish_reason: set on the last piece of each choice only: "stop" or "length"; "cancelled"
            where no client waits for the answer.
        index: number of its choice.
        vector: little-endian 32-bit floats: an embedding, one score, or the logarithm of each
            label's probability.
        cached: tokens of the prompt whose KV entries were reused.
        about: on the last piece of a task's answer.
        prompt: tokens of the prompt, on the last piece of what could not count them before.
        decided: the model's certainty of its tokens, where it was asked for.
        stopped: on the last piece, the stop text that ended it, or "".
    """

    text: str
    tokens: int
    finish_reason: str | None = None
    index: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    vector: bytes = b""
    cached: int = 0
    about: TaskAnswer | None = None
    prompt: int = 0
    decided: tuple[Decision, ...] = ()
    by: Answerer | None = None
    stopped: str = ""


@dataclass(frozen=True)
class ModelCard:
    """The API's facts about a model that is being served, or would be loaded for a request.

    Attributes:
        digest: of the artifact: the adapter's, if it is one.
        n_embd: numbers in a vector of a model that embeds.
        parent, base_digest: of the base, of an adapter.
        fewest: tokens that a message takes at least; 0 where that is unknown.
        form: of a task's answers: labels, fields or text; "" for a model.
        worker: of a task, id of the model whose worker answers.
        stages: of a route, the tasks and upstreams that it asks.
        upstream: the kind of the engine on another host that answers; "" where it is here.
        citations: of a task, its answers cite documents; None where that is unknown.
    """

    id: str
    digest: str
    n_ctx: int
    created: int
    kind: ModelKind = "generate"
    n_embd: int = 0
    parent: str | None = None
    base_digest: str = ""
    loaded: bool = True
    fewest: int = 0
    form: str = ""
    worker: str = ""
    stages: tuple[str, ...] = ()
    upstream: str = ""
    tools: bool = True
    json_schema: bool = True
    licence: str = ""
    citations: bool | None = False

    @property
    def use(self) -> ModelUse:
        if self.stages:
            return "route"
        return "task" if self.form else _USES[self.kind]

    @property
    def engine(self) -> str:
        """The model whose worker answers: its own, the base's, or the one of a task."""
        return self.worker or self.parent or self.id

    @property
    def computed_here(self) -> bool:
        """A worker of this host answers, which sets batch work aside for other work."""
        return not self.upstream and (bool(self.worker) or not self.form)

    @property
    def fingerprint(self) -> str:
        """Of the model's and its adapter's digests, as answers carry it."""
        digests = [self.base_digest, self.digest] if self.parent else [self.digest]
        return "_".join(["fp", *(digest[:16] for digest in digests)])
