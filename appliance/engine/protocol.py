"""Messages on the socket between the server and a worker; nothing else crosses it.

A frame is a four-byte little-endian length and a msgpack body. The worker is not trusted: the
server bounds every frame that it reads. Order of a request: `Prepare` → `Prepared` or `Rejected`;
then `Run` → rows in `Step`, the last one with a finish reason. `Cancel` may come at any time; a
running request answers it by a last row "cancelled". A request of several choices takes as many
consecutive ids: `Prepare` and `Run` name the first one and stand for all; rows and `Cancel` are
about one choice each. `Tokenize` is answered by `Tokens` or `Rejected`. `Attach` comes with a
descriptor on a second socket, which carries nothing else; it and `Detach` are answered by
`Adapters` or `Rejected`.
"""

import struct
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec

from appliance.engine.text.reasoning import Thinking
from appliance.engine.text.reply import Dialect
from appliance.errors import BadRequest
from appliance.types import Constraint, Decision, GenerationRequest, ModelKind, TokenLogprob

T = TypeVar("T")
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
Finish: TypeAlias = Literal["stop", "length", "cancelled", "invalid", "detached"]
HEADER = struct.Struct("<I")
LARGEST_FRAME = 16 << 20
SMALL = 32 << 10  # most bytes of the frame of a small request, which never waits for a large one


class LoadOnGpu(msgspec.Struct, frozen=True):
    """A worker's use of GPUs.

    Attributes:
        backend: absolute path of the library.
        layers: on GPUs, the output included.
        split: layers on each GPU.
    """

    backend: str
    devices: tuple[str, ...]
    layers: int
    split: tuple[int, ...]


class Load(msgspec.Struct, tag="load", frozen=True):
    """The first message: how to load the model whose descriptor comes on the second socket.

    Attributes:
        variant: absolute path of the CPU backend library.
        refused: its kernels that are not to be used, a bit for each.
        n_ctx: KV cells in tokens; also the longest context of one request, or the longest text of a
            model that embeds or reranks.
        reproducible: separate KV streams and fixed batch shapes.
        gap_ms: target gap between two tokens of a running answer.
        kept: runs of tokens that the KV cache keeps for later requests.
        prefixes: texts of prompts that all apps may share the beginning of.
        memory_bytes: as of `confine.drop`.
        on_disk: as of `sealed.SealedFile`.
        template: the chat template that was verified; "" leaves it to the model's file.
        patience: how many times the usual limit a step may take before the worker is ended.
    """

    variant: str
    n_ctx: int
    slots: int
    threads: int
    prefill_budget: int
    reproducible: bool
    memory_bytes: int
    max_prepare_bytes: int
    on_disk: bool = False
    kind: ModelKind = "generate"
    gap_ms: int = 60
    kept: int = 0
    prefixes: tuple[str, ...] = ()
    template: str = ""
    grammars: dict[str, Constraint] = {}
    gpu: LoadOnGpu | None = None
    patience: float = 1.0
    refused: int = 0
    batch_after_s: int = 600
    batch_percent: int = 5


class Prepare(msgspec.Struct, tag="prepare", frozen=True):
    """Check a request, without running it.

    A model that embeds takes `texts`, one that reranks `texts` and a `query`, any other one of
    `messages`, `prompt` and `tokens`.

    Attributes:
        asked: with `labels`, the one row of the answer has the logarithm of each in `vector`.
        seed: of the first choice; choice i samples with seed + i.
        echo_from: the token of the prompt that the rows of an echo begin with.
        scope: the app that asks; what is computed for it is reused for it only, and as far as the
            documents that it may read are the same.
        weight: the app's share of a contended engine, relative to others.
        adapter: digest of the adapter to answer with, "" for the model alone.
        fresh: nothing of the cache is reused.
    """

    id: int
    asked: GenerationRequest
    seed: int = 0
    echo_from: int = 0
    scope: str = ""
    weight: int = 1
    adapter: str = ""
    batch: bool = False
    fresh: bool = False


class Tokenize(msgspec.Struct, tag="tokenize", frozen=True):
    """A text, a conversation or token ids to tokenise; nothing will run.

    Attributes:
        special: a text gets the begin token where the model wants one.
        strings: return the bytes of each token, too.
    """

    id: int
    asked: GenerationRequest
    special: bool = True
    strings: bool = False


class Run(msgspec.Struct, tag="run", frozen=True):
    """Start a prepared request: its intent is durable."""

    id: int


class Cancel(msgspec.Struct, tag="cancel", frozen=True):
    """Forget a prepared request, or end a running one at the next step."""

    id: int


class Attach(msgspec.Struct, tag="attach", frozen=True):
    """Load the adapter with this digest, from the next descriptor on the second socket."""

    id: int
    adapter: str


class Detach(msgspec.Struct, tag="detach", frozen=True):
    """Free an adapter and end the requests that use it."""

    id: int
    adapter: str


class Vocabulary(msgspec.Struct, frozen=True):
    """A text model's facts about its tokens.

    Attributes:
        bos: text of the begin token, "" if there is none; likewise for the end and for padding.
        adds_bos: a text gets the begin token.
    """

    bos: str
    eos: str
    pad: str
    adds_bos: bool
    template: str


class Loading(msgspec.Struct, tag="loading", frozen=True):
    """Loaded share of the model, in percent; no message says less than the last."""

    percent: Count


class WorkerReady(msgspec.Struct, tag="ready", frozen=True):
    """The model is loaded.

    Attributes:
        confinement: what is in force.
        inodes: the model's, and those of all files that were mapped while it was loaded.
        vocabulary: None for a model that embeds or reranks.
        fewest: tokens that one message of a conversation takes at least; 0 where unknown.
    """

    n_ctx: Count
    n_vocab: Count
    confinement: dict[str, bool | int | str]
    load_ms: Count
    inodes: list[int] = []
    vocabulary: Vocabulary | None = None
    fewest: Count = 0


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The model could not be loaded; the worker ends."""

    code: str
    message: str


class Prepared(msgspec.Struct, tag="prepared", frozen=True):
    """Facts for the audit record and the quota before anything runs.

    Attributes:
        max_tokens: the limit in force: what was asked, or what the context leaves.
        dialect: how the answer writes calls, "" when no functions are on offer.
        prompt: SHA-256 of its token ids, 32 bits each; of several texts, of all in turn.
        clock_s: as of the request; None where the template asks for no date.
    """

    id: int
    prompt_tokens: Count
    max_tokens: Count
    template_sha256: str
    dialect: Dialect = ""
    thinking: Thinking = ""
    prompt: bytes = b""
    clock_s: int | None = None


class Tokens(msgspec.Struct, tag="tokens", frozen=True):
    """The answer to `Tokenize`.

    Attributes:
        text: what they spell, if ids were given; "" else.
    """

    id: int
    tokens: list[Count]
    text: str = ""
    strings: list[bytes] = []


class Adapters(msgspec.Struct, tag="adapters", frozen=True):
    """The adapters that are there now."""

    id: int
    adapters: list[str]


class Rejected(msgspec.Struct, tag="rejected", frozen=True):
    """The request cannot run; the code is one of `errors.CODES`."""

    id: int
    code: str
    message: str
    param: str | None = None


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One step's addition to one request.

    Attributes:
        text: final; may be empty while a stop string may begin.
        tokens: tokens generated in this step.
        finish: "stop", "length" or "cancelled" on the last row; "invalid" when no token may come
            next, or a constrained answer came out wrong in spite of its grammar; "detached" when
            its adapter is gone.
        logprobs: one for each of the tokens, if asked for; for each echoed one, too.
        vector: little-endian 32-bit floats: an embedding, the score of one text, or the logarithm
            of each label's probability.
        decided: how sure the model was of the token that it chose, if asked for.
        chosen: a `logprobs.CHOSEN` for each of the tokens.
        stopped: the stop text that ended it; "" where none did.
    """

    id: int
    text: str
    tokens: Count
    finish: Finish | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    vector: bytes = b""
    reused: Count = 0
    decided: tuple[Decision, ...] = ()
    chosen: bytes = b""
    stopped: str = ""


class Step(msgspec.Struct, tag="step", frozen=True):
    """One engine step for all requests together, and the engine's state after it."""

    rows: list[Row]
    running: Count
    waiting: Count
    cells_used: Count
    cells_kept: Count = 0
    threads: Count = 0


ToWorker = Load | Prepare | Tokenize | Run | Cancel | Attach | Detach
FromWorker = Loading | WorkerReady | Failed | Prepared | Tokens | Adapters | Rejected | Step

_encoder = msgspec.msgpack.Encoder()
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


def frame(message: ToWorker | FromWorker) -> bytes:
    """The bytes of one message; `invalid_value` for an integer of a request beyond 64 bits."""
    try:
        body = _encoder.encode(message)
    except OverflowError as error:
        why = "An integer of the request has more than 64 bits; send it as a text."
        raise BadRequest("invalid_value", why) from error
    return HEADER.pack(len(body)) + body


def decode_to_worker(body: bytes) -> ToWorker:
    """Decode a frame's body; msgspec.DecodeError if it is no message."""
    return _decode(_to_worker, body)


def decode_from_worker(body: bytes) -> FromWorker:
    """Decode a frame's body; after msgspec.DecodeError the caller ends the worker."""
    return _decode(_from_worker, body)


def _decode(decoder: msgspec.msgpack.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except UnicodeDecodeError as error:  # the one error of the decoder that is not its own
        raise msgspec.DecodeError("text that is not UTF-8") from error
