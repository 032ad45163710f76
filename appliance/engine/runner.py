"""Calls llama.cpp, as only `quantizer` does besides.

Rules: one thread owns the context (`forward`, `follow`); the vocabulary is read-only and may be
used from another thread (`tokenize`, `piece`). The model comes as a descriptor and is read through
a C FILE; it is copied, and not mapped, unless it is too large for that. `Library` makes the
callbacks of ctypes, before the confinement makes their page read-only.
"""

import contextlib
import ctypes
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as ReadOnly
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import llguidance.llamacpp
import numpy as np
from numpy.typing import NDArray

from appliance.engine import effort, heap, threadpool, watchdog
from appliance.engine.batch import Batch, slot_of
from appliance.engine.cells import BRANCHES, SCORED
from appliance.engine.cfile import reading
from appliance.engine.prefixes import CopyCells, Operation
from appliance.engine.scheduler import Chunk
from appliance.engine.text.runs import recurses
from appliance.engine.text.specials import Special, Specials
from appliance.errors import BadRequest, StateRefused

MOST_SEQUENCES = 256  # LLAMA_MAX_SEQ
_COPIED, _MAPPED = 0, 1  # llama_load_mode
_LEAST = 64  # shorter prompts take longer with tiles than without
_LAST = 2  # tokens of a prompt that are computed together with answers


@dataclass(frozen=True)
class RunnerConfig:
    """Shapes of the context.

    Attributes:
        n_ctx: KV cells in tokens: of the cache (unified) or of each stream (reproducible).
        pooled: one vector a text instead of logits; no cache is kept from step to step.
        mapped: weights that no kernel wants in another order stay pages of the file.
    """

    n_ctx: int
    slots: int
    threads: int
    n_batch: int
    reproducible: bool = False
    pooled: bool = False
    kept: int = 0
    split: tuple[int, ...] = ()
    mapped: bool = False
    patience: float = 1.0


class Library:
    """llama.cpp, loaded with one CPU variant by absolute path, before anything else uses it.

    Args:
        loading: gets the loaded share of a model, in percent.
        tiles: the processor has tiles for prompts, and this process may use them.
    """

    def __init__(self, variant: Path, refused: int = 0) -> None:
        self.variant = variant
        self.log: deque[str] = deque(maxlen=20)
        self.loading: Callable[[int], None] = lambda percent: None
        # The callback objects must live as long as the library can call them.
        self._callback = llama.llama_log_callback(self._on_log)
        self.progress = llama.llama_progress_callback(self._on_progress)
        llama.llama_log_set(self._callback, ctypes.c_void_p(0))
        ggml = ctypes.CDLL(str(variant.parent / "libggml.so"), mode=ctypes.RTLD_GLOBAL)
        ggml.ggml_backend_load.restype = ctypes.c_void_p
        ggml.ggml_backend_load.argtypes = [ctypes.c_char_p]
        # With no backend registered, llama_backend_init would search the working directory.
        if not ggml.ggml_backend_load(str(variant).encode()):
            llama.llama_log_set(llama.llama_log_callback(), ctypes.c_void_p(0))  # ours goes now
            raise StateRefused("model_load_failed", f"The CPU backend {variant.name} did not load.")
        kernels = ctypes.CDLL(str(variant))
        if refused:
            kernels.kernels_refuse(ctypes.c_uint(refused))
        self._prompt = getattr(kernels, "kernels_prompt", lambda _on: 0)
        with self.prompt() as self.tiles:
            pass
        llama.llama_backend_init()

    @contextlib.contextmanager
    def prompt(self) -> Iterator[bool]:
        """Let tiles multiply meanwhile; whether they do."""
        try:
            yield bool(self._prompt(1))
        finally:
            self._prompt(0)

    def _on_progress(self, share: float, _data: object) -> bool:
        self.loading(int(share * 100))
        return True  # else llama.cpp gives up

    def _on_log(self, level: int, text: bytes, _data: object) -> None:
        if level in (3, 4):  # warnings and errors; 5 continues a line, such as dots of progress
            self.log.append(text.decode("utf-8", "replace").strip())


class ModelRunner:
    """A model and its context."""

    def __init__(self, library: Library, fd: int, config: RunnerConfig) -> None:
        self._library = library
        self._recurrent = False
        self.tiles = library.tiles and not config.split
        params = llama.llama_model_default_params()
        params.load_mode = _MAPPED if config.mapped else _COPIED
        params.progress_callback = library.progress
        params.n_gpu_layers = sum(config.split)
        if config.split:  # the array is read while the model is loaded, not later
            room = max(int(llama.llama_max_devices()), len(config.split))
            params.tensor_split = (ctypes.c_float * room)(*config.split)
        with reading(fd) as file:
            self._model = llama.llama_model_load_from_file_ptr(file, params)
        if not self._model:
            raise self._failure("llama.cpp did not load the model")
        if llama.llama_model_is_recurrent(self._model) or llama.llama_model_is_hybrid(self._model):
            config = replace(config, kept=0)  # a state is no run of cells that can be shared
            self._recurrent = True
        self.config = config
        shared = not (config.reproducible or config.pooled or self._recurrent)
        self._branches = shared and config.slots + config.kept + BRANCHES <= MOST_SEQUENCES
        self._vocab = llama.llama_model_get_vocab(self._model)
        self.n_vocab = int(llama.llama_vocab_n_tokens(self._vocab))
        self._context = self._make_context(config)
        self._memory = llama.llama_get_memory(self._context)
        self._batch = Batch(config.n_batch, llama.llama_batch())
        marked = self._find_marked()
        ends = (t for t in marked if llama.llama_vocab_is_eog(self._vocab, t))
        self.ends = frozenset(ends)
        splits = llama.llama_vocab_type(self._vocab) == llama.LLAMA_VOCAB_TYPE_BPE
        bounded = splits and recurses(self.meta("tokenizer.ggml.pre"))
        self._specials = Specials(self._find_specials(marked), bounded=bounded)
        self._frame = self._find_frame()
        self._pieces: dict[int, bytes] = {}
        self._labels: dict[int, bytes] = {}
        self._adapters: dict[str, Any] = {}
        self._adapter = ""  # the one in use
        ranks = llama.llama_pooling_type(self._context) == llama.LLAMA_POOLING_TYPE_RANK
        size = llama.llama_model_n_cls_out if ranks else llama.llama_model_n_embd_out
        self.width = int(size(self._model))

    def _make_context(self, config: RunnerConfig) -> Any:
        params = llama.llama_context_default_params()
        params.n_ctx = config.n_ctx * (config.slots if config.reproducible else 1)
        params.n_batch = config.n_batch
        params.n_ubatch = min(config.n_batch, 512)
        params.n_seq_max = config.slots + config.kept + BRANCHES * self._branches
        # Else logits for a whole batch are reserved: every sequence samples, some are scored.
        params.n_outputs_max = max(config.slots + SCORED, params.n_seq_max)
        params.n_threads = params.n_threads_batch = config.threads
        params.kv_unified = not config.reproducible
        params.swa_full = True
        params.no_perf = True
        if config.pooled:  # a whole text must be in one micro-batch to be pooled
            params.embeddings = True
            params.n_ubatch = config.n_batch
            params.n_outputs_max = config.n_batch
        context = llama.llama_init_from_model(self._model, params)
        if not context:
            raise self._failure("llama.cpp made no context")
        threadpool.attach(self._library.variant, context, config.threads)
        return context

    def _failure(self, what: str) -> StateRefused:
        reason = "; ".join(list(self._library.log)[-3:]) or "no reason given"
        return StateRefused("model_load_failed", f"{what}: {reason}")

    def meta(self, key: str) -> str | None:
        size = 1 << 20
        buffer = ctypes.create_string_buffer(size)
        count = llama.llama_model_meta_val_str(self._model, key.encode(), buffer, size)
        return buffer.raw[:count].decode("utf-8", "replace") if 0 <= count < size else None

    def token_text(self, which: str) -> str:
        """The text of the "bos", "eos" or "pad" token, "" if the model has none."""
        get = {
            "bos": llama.llama_vocab_bos,
            "eos": llama.llama_vocab_eos,
            "pad": llama.llama_vocab_pad,
        }[which]
        token = int(get(self._vocab))
        return self._piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    def tokenize(
        self, text: str, *, add_special: bool, parse_special: bool, most: int | None = None
    ) -> list[int]:
        """Token ids of a text, in time linear in its length (`invalid_value`).

        Args:
            add_special: add the begin token where the model wants one, and likewise its end.
            parse_special: read control tokens in the text as such.
        """
        raw = text.encode("utf-8", "surrogatepass")
        begin, end = self._frame if add_special else ([], [])
        tokens = list(begin)
        for piece in self._specials.cut(raw, control=parse_special):
            effort.check()
            if isinstance(piece, int):
                tokens.append(piece)
            else:
                tokens += self._tokens(piece)
            if most is not None and len(tokens) > most:
                return tokens
        return tokens + end

    def _tokens(self, raw: bytes, *, add_special: bool = False) -> list[int]:
        """Token ids of bytes in which no special token is."""
        # A space may be three tokens where the vocabulary has neither it nor its sign, and one
        # more stands in front.
        size = 3 * len(raw) + 8
        buffer = (llama.llama_token * size)()
        count = llama.llama_tokenize(self._vocab, raw, len(raw), buffer, size, add_special, False)
        if count < 0:
            raise BadRequest("invalid_value", "The prompt cannot be tokenised.", param="prompt")
        return list(buffer[:count])

    def _find_marked(self) -> dict[int, int]:
        """The attributes of tokens that are more than text, and of all that may end an answer."""
        vocab, ordinary = self._vocab, llama.LLAMA_TOKEN_ATTR_NORMAL
        attributes = list(map(llama.llama_vocab_get_attr, repeat(vocab), range(self.n_vocab)))
        marked = {token: marks for token, marks in enumerate(attributes) if marks != ordinary}
        named = [
            llama.llama_vocab_eos, llama.llama_vocab_eot, llama.llama_vocab_fim_pad,
            llama.llama_vocab_fim_rep, llama.llama_vocab_fim_sep,
        ]  # fmt: skip
        others = [int(find(vocab)) for find in named]
        others.append(int(self.meta("tokenizer.ggml.eom_token_id") or -1))
        return marked | {t: attributes[t] for t in others if 0 <= t < self.n_vocab}

    def _find_specials(self, marked: Mapping[int, int]) -> Iterator[Special]:
        """Find the texts that llama.cpp looks for before it tokenises; all of the vocabulary."""
        control = llama.LLAMA_TOKEN_ATTR_CONTROL | llama.LLAMA_TOKEN_ATTR_UNKNOWN
        for token, marks in sorted(marked.items()):
            if marks & (control | llama.LLAMA_TOKEN_ATTR_USER_DEFINED):
                text = llama.llama_vocab_get_text(self._vocab, token)
                left, right = llama.LLAMA_TOKEN_ATTR_LSTRIP, llama.LLAMA_TOKEN_ATTR_RSTRIP
                yield Special(token, text, *(bool(marks & m) for m in (control, left, right)))

    def _find_frame(self) -> tuple[list[int], list[int]]:
        frame = self._tokens(b"", add_special=True)
        closed = llama.llama_vocab_type(self._vocab) == llama.LLAMA_VOCAB_TYPE_WPM
        end = 1 if closed or llama.llama_vocab_get_add_eos(self._vocab) else 0
        return frame[: len(frame) - end], frame[len(frame) - end :]

    def control_texts(self) -> frozenset[str]:
        """The texts of which `parse_special` makes control tokens.

        Others, such as the `<think>` of some models, the tokeniser finds in any text.
        """
        texts = self._specials.control_texts()
        return frozenset(text.decode("utf-8", "surrogateescape") for text in texts)

    def detokenize(self, tokens: ReadOnly[int]) -> str:
        """The text of tokens, control tokens by their names."""
        ids = (llama.llama_token * len(tokens))(*tokens)
        size = 8 * len(tokens) + 8
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = llama.llama_detokenize(self._vocab, ids, len(tokens), buffer, size, False, True)
            if count >= 0:
                return buffer.raw[:count].decode("utf-8", "replace")
            size = -count

    def special(self, which: str) -> int:
        """The id of the "bos" or "sep" token, -1 if the model has none.

        "sep2" is the second separator of a pair of texts, which Unigram vocabularies have.
        """
        unigram = llama.llama_vocab_type(self._vocab) == llama.LLAMA_VOCAB_TYPE_UGM
        if which == "sep2" and not unigram:
            return -1
        get = llama.llama_vocab_bos if which == "bos" else llama.llama_vocab_sep
        return int(get(self._vocab))

    def adds_bos(self) -> bool:
        return bool(llama.llama_vocab_get_add_bos(self._vocab))

    def guidance_tokenizer(self) -> Any:
        """llguidance's view of the vocabulary; takes a few hundred milliseconds."""
        with warnings.catch_warnings():
            # llguidance asks for token attributes by the older of two names.
            warnings.simplefilter("ignore", DeprecationWarning)
            return llguidance.llamacpp.lltokenizer_from_vocab(
                self._vocab, eos_token=sorted(self.ends) or None
            )

    def piece(self, token: int) -> bytes:
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._piece(token, special=False)
        return known

    def label(self, token: int) -> bytes:
        known = self._labels.get(token)
        if known is None:
            known = self._labels[token] = self._piece(token, special=True)
        return known

    def _piece(self, token: int, *, special: bool) -> bytes:
        size = 256
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = llama.llama_token_to_piece(self._vocab, token, buffer, size, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def tiled(self, prompt: int) -> int:
        """Leading tokens of a prompt of this length that tiles multiply."""
        return prompt - _LAST if self.tiles and prompt >= _LEAST else 0

    def forward(self, chunks: ReadOnly[Chunk]) -> NDArray[np.float32]:
        """As `EngineModel.forward`. A view of llama.cpp's buffer: good until the next call."""
        self._use(chunks[0].sequence.adapter)
        paths = any(chunk.paths for chunk in chunks)
        if self.config.reproducible or (paths and not self._branches):
            return self._forward_alone(chunks)
        if not paths:
            return self._decode(chunks)
        with self._branched(chunks) as first:
            return self._decode(chunks, first)

    def _forward_alone(self, chunks: ReadOnly[Chunk]) -> NDArray[np.float32]:
        """One call per sequence, so that no batch shape depends on who else is there."""
        rows: list[NDArray[np.float32]] = []
        for chunk in chunks:
            if chunk.paths:
                rows += self._one_by_one(chunk)
            else:
                rows.append(self._decode([chunk]).copy())
        return np.concatenate(rows)

    @contextlib.contextmanager
    def _branched(self, chunks: ReadOnly[Chunk]) -> Iterator[int]:
        """Share the cells of a chunk's prompt with the sequence ids of its paths, one id a path."""
        first = self.config.slots + self.config.kept
        prompts = [chunk for chunk in chunks for _ in chunk.paths]
        try:
            for branch, chunk in enumerate(prompts, first):
                llama.llama_memory_seq_cp(self._memory, slot_of(chunk), branch, 0, chunk.start)
            yield first
        finally:
            for branch in range(first, first + len(prompts)):
                llama.llama_memory_seq_rm(self._memory, branch, -1, -1)

    def _one_by_one(self, chunk: Chunk) -> Iterator[NDArray[np.float32]]:
        """Paths of labels in the slot of their prompt, where its cells cannot be shared."""
        slot = slot_of(chunk)
        state = _State(self._context, slot) if self._recurrent else None
        for path in chunk.paths:
            alone = Chunk(chunk.sequence, chunk.start, len(path), (path,))
            yield self._decode([alone], slot).copy()
            if state is not None:
                state.restore()
            if not llama.llama_memory_seq_rm(self._memory, slot, chunk.start, -1):
                raise RuntimeError("llama.cpp kept the cells of a path")

    def _decode(self, chunks: ReadOnly[Chunk], branch: int = 0) -> NDArray[np.float32]:
        """First for tiles, then the rest, behind."""
        parts = [chunk.parts for chunk in chunks] if self.tiles else []
        first = [tiled for tiled, _ in parts if tiled]
        if not first:
            return self._computed(chunks, branch)
        with self._library.prompt():
            found = self._computed(first)
        rest = [plain for _, plain in parts if plain]
        if not rest:
            return found
        tiles, others = iter(found.copy()), iter(self._computed(rest, branch))
        rows = [
            next(source)
            for pair in parts
            for source, part in zip((tiles, others), pair, strict=True)
            for _ in range(part.outputs if part else 0)
        ]
        return np.array(rows) if rows else found

    def _computed(self, chunks: ReadOnly[Chunk], branch: int = 0) -> NDArray[np.float32]:
        outputs = self._batch.fill(chunks, branch)
        with self._watched():
            status = llama.llama_decode(self._context, self._batch.struct)
        if status:
            raise RuntimeError(f"llama_decode returned {status}")
        if not outputs:
            return np.empty((0, self.n_vocab), np.float32)
        return np.ctypeslib.as_array(llama.llama_get_logits(self._context), (outputs, self.n_vocab))

    def try_out(self) -> None:
        """Compute one token, so that a model that fails at its first step fails here
        (`model_load_failed`).
        """
        self._batch.fill_whole([[0]])
        with self._watched():
            status = llama.llama_decode(self._context, self._batch.struct)
        llama.llama_memory_clear(self._memory, False)
        if status:
            raise self._failure(f"llama_decode returned {status}")

    def _watched(self) -> AbstractContextManager[None]:
        tokens = self._batch.struct.n_tokens
        seconds = watchdog.limit(tokens, int(llama.llama_model_size(self._model)))
        return watchdog.watched(seconds * self.config.patience)

    def pool(self, texts: ReadOnly[ReadOnly[int]]) -> NDArray[np.float32]:
        """The embeddings as they are, or one score a text, shape (texts, width).

        Args:
            texts: token ids; at most `slots` texts and `n_batch` tokens together.
        """
        self._batch.fill_whole(texts)
        with self._watched():
            if self._memory:
                status = llama.llama_decode(self._context, self._batch.struct)
                llama.llama_memory_clear(self._memory, False)
            else:  # an encoder has no cache
                status = llama.llama_encode(self._context, self._batch.struct)
        if status:
            raise RuntimeError(f"llama.cpp returned {status}")
        rows = [llama.llama_get_embeddings_seq(self._context, i) for i in range(len(texts))]
        return np.stack([np.ctypeslib.as_array(row, (self.width,)) for row in rows])

    def follow(self, operations: ReadOnly[Operation]) -> None:
        for do in operations:
            if isinstance(do, CopyCells):
                llama.llama_memory_seq_cp(self._memory, do.source, do.target, do.start, do.end)
            else:
                llama.llama_memory_seq_rm(self._memory, do.slot, do.start, do.end)

    def attach(self, adapter: str, fd: int) -> None:
        """Load an adapter; takes over its descriptor; `model_load_failed` has the reason."""
        heap.keep_what_is_freed()
        with reading(fd) as file:
            handle = llama.llama_adapter_lora_init_from_file_ptr(self._model, file)
        if not handle:
            raise self._failure("llama.cpp did not load the adapter")
        self._adapters[adapter] = handle

    def detach(self, adapter: str) -> None:
        if self._adapter == adapter:  # the context would go on with what is freed
            self._use("")
        llama.llama_adapter_lora_free(self._adapters.pop(adapter))

    def _use(self, adapter: str) -> None:
        """Compute with this adapter from now on, "" for none; a no-op when nothing changes."""
        if adapter == self._adapter:
            return
        handles = [self._adapters[adapter]] if adapter else []
        count = len(handles)
        pointers = (llama.llama_adapter_lora_p_ctypes * count)(*handles)
        scales = (ctypes.c_float * count)(*[1.0] * count)
        llama.llama_set_adapters_lora(self._context, pointers, count, scales)
        self._adapter = adapter

    def set_threads(self, count: int) -> None:
        llama.llama_set_n_threads(self._context, count, count)


class _State:
    """A saved state of a sequence whose state is more than a run of cells."""

    def __init__(self, context: Any, slot: int) -> None:
        self._where = (slot, llama.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY)
        self._context = context
        self._size = llama.llama_state_seq_get_size_ext(context, *self._where)
        self._bytes = (ctypes.c_uint8 * self._size)()
        llama.llama_state_seq_get_data_ext(context, self._bytes, self._size, *self._where)

    def restore(self) -> None:
        llama.llama_state_seq_set_data_ext(self._context, self._bytes, self._size, *self._where)
