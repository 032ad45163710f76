"""Structure-aware mutants of tiny models: those that the vetting accepts and llama.cpp dies of.

usage: python -m tests.fuzz.model_mutants [--count N] [--seed N] [--model NAME] [--show]
           [--as-before]

Each mutant is a valid model with one to three changes of its hyperparameters, tensor types,
shapes, names, numbers, vocabulary or alignment. An accepted one is loaded and computed with, as the
worker would, in a child of its own with limits of memory and processor time. It prints how many
were accepted, loaded, refused by llama.cpp, and how many aborted, crashed or hung. A seed gives the
same mutants; `--as-before` leaves out the checks of `computable`, for comparison.
"""

import argparse
import contextlib
import os
import random
import resource
import signal
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import Chunk
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.errors import ApplianceError, GgufRejected
from appliance.trust.gguf import gguf
from appliance.trust.gguf.gguf import GgufFacts, vet
from appliance.trust.gguf.reader import Kind
from appliance.trust.gguf.tensors import TYPES
from appliance.types import Sampling
from appliance.workers.cpu_variants import HostVariant
from tests.fuzz.tiny_models import LATER, MODELS, f32, size_of
from tests.trust.forge import Gguf, array, scalar, string, u32

_CPU_S, _WALL_S, _ADDRESS = 5, 30, 3 << 30
Change = Callable[[random.Random, Gguf, str], None]

_NUMBERS: Final = (
    0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 96, 127, 128, 129, 255, 256, 257, 512,
    1024, 4096, 65535, 65536, 2**20, 2**31 - 1, 2**31, 2**32 - 1,
)  # fmt: skip
_FLOATS: Final = (
    0.0, -0.0, -1.0, -1e-6, 1e-30, 1e-6, 1e-5, 0.5, 1.0, 2.0, 1e4, 1e30,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
_KEYS: Final = (
    "context_length", "block_count", "embedding_length", "feed_forward_length", "vocab_size",
    "attention.head_count", "attention.head_count_kv", "attention.key_length",
    "attention.value_length", "attention.key_length_mla", "attention.value_length_mla",
    "attention.key_length_swa", "attention.value_length_swa", "attention.sliding_window",
    "attention.sliding_window_pattern", "attention.causal", "attention.kv_lora_rank",
    "attention.max_alibi_bias", "attention.clamp_kqv", "attention.scale",
    "attention.group_norm_groups", "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon", "attention.shared_kv_layers",
    "rope.dimension_count", "rope.dimension_count_swa", "rope.freq_base", "rope.freq_base_swa",
    "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length",
    "rope.scaling.attn_factor", "rope.scaling.yarn_log_multiplier", "rope.dimension_sections",
    "expert_count", "expert_used_count", "expert_shared_count", "expert_feed_forward_length",
    "expert_group_count", "expert_gating_func", "expert_weights_scale", "leading_dense_block_count",
    "interleave_moe_layer_step", "nextn_predict_layers", "logit_scale", "residual_scale",
    "embedding_scale", "final_logit_softcapping", "attn_logit_softcapping", "pooling_type",
    "tensor_data_layout", "use_parallel_residual", "decoder_block_count",
    "classifier.output_labels", "embedding_length_out", "token_shift_count",
    "moe_every_n_layers", "full_attention_interval",
)  # fmt: skip
_PRE: Final = (
    "default", "llama-bpe", "gpt-2", "qwen2", "gpt-4o", "tekken", "deepseek-llm", "smollm",
    "exaone", "falcon", "superbpe", "nothing", "", "chameleon", "bailingmoe", "llama4", "dbrx",
    "jina-v2-zh",
)  # fmt: skip


def _value(chance: random.Random) -> bytes:
    """Of any type, mostly a number at an edge."""
    how = chance.randrange(10)
    if how < 4:
        return u32(chance.choice(_NUMBERS))
    if how < 7:
        return f32(chance.choice(_FLOATS))
    number = chance.choice(_NUMBERS)
    return [
        lambda: scalar(Kind.INT32, -number % 2**31 * -1),
        lambda: scalar(Kind.UINT64, number),
        lambda: scalar(Kind.BOOL, number & 1),
        lambda: scalar(Kind.UINT8, number & 255),
        lambda: string(chance.choice(("", "none", "linear", "yarn", "longrope", "x"))),
        lambda: array(Kind.INT32, [chance.choice(_NUMBERS) % 2**31 for _ in range(number % 5)]),
        lambda: array(Kind.UINT32, [chance.choice(_NUMBERS[:20]) for _ in range(2)]),
        lambda: array(Kind.FLOAT32, [chance.choice(_FLOATS) for _ in range(2)]),
        lambda: array(Kind.BOOL, [0, 1]),
    ][chance.randrange(9)]()


def _hyperparameter(chance: random.Random, made: Gguf, architecture: str) -> None:
    own = [k for k in made.pairs if isinstance(k, str) and k.startswith(f"{architecture}.")]
    key = chance.choice(own) if chance.random() < 0.6 else f"{architecture}.{chance.choice(_KEYS)}"
    before = made.pairs.get(key)
    if before is not None and chance.random() < 0.1:
        del made.pairs[key]
    elif before is not None and chance.random() < 0.7:  # another value of the same type
        (kind,) = struct.unpack_from("<I", before)
        made.pairs[key] = (
            f32(chance.choice(_FLOATS)) if kind == Kind.FLOAT32 else u32(chance.choice(_NUMBERS))
        )
    else:
        made.pairs[key] = _value(chance)


def _type(chance: random.Random, made: Gguf, _: str) -> None:
    picked = chance.choice(made.tensors)
    kind = chance.choice(list(TYPES))
    same = [t for t in made.tensors if t is picked or chance.random() < 0.1]
    for one in same:
        one.type, one.bytes = kind, size_of(one.shape, kind)


def _shape(chance: random.Random, made: Gguf, _: str) -> None:
    picked = chance.choice(made.tensors)
    shape = list(picked.shape)
    at = chance.randrange(len(shape))
    how = chance.randrange(6)
    if how == 0:
        shape[at] = max(1, shape[at] + chance.choice((-32, -1, 1, 32)))
    elif how == 1:
        shape[at] = shape[at] * 2
    elif how == 2:
        shape[at] = max(1, shape[at] // 2)
    elif how == 3:
        shape.reverse()
    elif how == 4 and len(shape) < 4:
        shape.append(chance.choice((1, 2)))
    else:
        shape[at] = 1
    picked.shape, picked.bytes = tuple(shape), size_of(tuple(shape), picked.type)


def _presence(chance: random.Random, made: Gguf, _: str) -> None:
    picked = chance.choice(made.tensors)
    how = chance.randrange(4)
    if how == 0 and len(made.tensors) > 1:
        made.tensors.remove(picked)
    elif how == 1:
        names = [str(t.name) for t in made.tensors]
        picked.name = chance.choice(names).replace("blk.0", "blk.7")
    elif how == 2:
        other = chance.choice(made.tensors)
        picked.name, other.name = other.name, picked.name
    else:
        chance.shuffle(made.tensors)


def _vocabulary(chance: random.Random, made: Gguf, _: str) -> None:
    own = [k for k in made.pairs if isinstance(k, str) and k.startswith("tokenizer.ggml.")]
    key = chance.choice(own)
    how = chance.randrange(6)
    if how == 0:
        del made.pairs[key]
    elif how == 1:
        made.pairs["tokenizer.ggml.pre"] = string(chance.choice(_PRE))
    elif how == 2:
        name = chance.choice(
            ("bos", "eos", "unknown", "seperator", "padding", "mask", "eot", "fim_pre")
        )
        made.pairs[f"tokenizer.ggml.{name}_token_id"] = u32(chance.choice(_NUMBERS))
    elif how == 3:
        name = chance.choice(
            (
                "add_bos_token",
                "add_eos_token",
                "add_space_prefix",
                "add_sep_token",
                "remove_extra_whitespaces",
            )
        )
        made.pairs[f"tokenizer.ggml.{name}"] = scalar(Kind.BOOL, chance.randrange(2))
    elif how == 4:
        made.pairs["tokenizer.ggml.model"] = string(
            chance.choice(("llama", "gpt2", "bert", "gemma4"))
        )
    else:
        made.pairs[key] = _value(chance)


def _alignment(chance: random.Random, made: Gguf, _: str) -> None:
    made.alignment = chance.choice((1, 2, 4, 8, 16, 32, 64, 128, 4096))
    made.pairs["general.alignment"] = u32(made.alignment)


def _numbers(chance: random.Random, made: Gguf, _: str) -> None:
    made.fill = chance.choice((b"\xff", b"\x00", b"\x7f\x80", b"\x00\x00\x80\x7f", b"\x00\x7c"))  # type: ignore[attr-defined]


CHANGES: Final[tuple[tuple[Change, int], ...]] = (
    (_hyperparameter, 10), (_type, 6), (_shape, 4), (_presence, 2), (_vocabulary, 4),
    (_alignment, 1), (_numbers, 1),
)  # fmt: skip


def mutants(
    seed: int, count: int, models: tuple[str, ...] = tuple(MODELS)
) -> Iterator[tuple[str, bytes]]:
    """The change, and the file."""
    makers = {**MODELS, **LATER}
    changes, weights = zip(*CHANGES, strict=True)
    for number in range(count):
        chance = random.Random(seed * 1_000_003 + number)
        architecture = chance.choice(models)
        made = makers[architecture]()
        picked = chance.choices(changes, weights, k=chance.choice((1, 1, 1, 2, 3)))
        for change in picked:
            change(chance, made, architecture)
        names = "+".join(c.__name__.strip("_") for c in picked)
        yield f"{number} {architecture} {names}", build(made)


def build(made: Gguf) -> bytes:
    """Each tensor filled with small numbers of its type, or with what was chosen."""
    head = made.table()
    parts = [head, bytes(-len(head) % made.alignment)]
    fill: bytes = getattr(made, "fill", b"")
    for one in made.tensors:
        size = min(max(one.bytes, 0), 1 << 24)
        pattern = fill or (b"\x00\x00\x80\x3c" if one.type in (0,) else b"\x01\x1c")
        data = (pattern * (size // len(pattern) + 1))[:size]
        parts += [data, bytes(-size % made.alignment)]
    return b"".join(parts)


@dataclass
class Outcome:
    """End of a mutant: refused, unloaded, uncomputed, ran, or the name of what killed it."""

    end: str
    words: str = ""


def compute(library: Library, data: bytes, facts: GgufFacts) -> None:
    """As the worker does; raises what the worker would report."""
    fd = os.memfd_create("mutant")
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    pooled = facts.kind != "generate"
    config = RunnerConfig(n_ctx=64, slots=2, threads=1, n_batch=64, pooled=pooled)
    runner = ModelRunner(library, fd, config)
    text = "the head th \n"
    tokens = runner.tokenize(text, add_special=True, parse_special=not pooled)[:40] or [0]
    runner.control_texts()
    if pooled:
        runner.pool([tokens, tokens[:3]])
        return
    runner.guidance_tokenizer()
    sequence = Sequence(
        id=1, tokens=tokens, sampling=Sampling(), max_tokens=4, stream=TextStream(())
    )
    sequence.slot = 0
    done = 0
    for _ in range(3):
        count = len(sequence.tokens) - done
        logits = runner.forward([Chunk(sequence, done, count)])
        done += count
        sequence.tokens.append(int(logits[-1].argmax()))
        runner.piece(sequence.tokens[-1])


def attempt(library: Library, data: bytes) -> Outcome:
    """Vet a mutant, and compute with it in a child if it is accepted."""
    try:
        facts = vet(data)
    except GgufRejected as error:
        return Outcome("refused", str(error))
    read, write = os.pipe()
    child = os.fork()
    if not child:
        status = 9
        try:
            os.dup2(write, 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
            resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS, _ADDRESS))
            signal.alarm(_WALL_S)
            compute(library, data, facts)
            status = 0
        except ApplianceError as error:
            sys.stderr.write(str(error))
            status = 1
        except BaseException as error:
            sys.stderr.write(repr(error))
            status = 2
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as errors:
        words = errors.read()[-600:].decode("utf-8", "replace")
    _, raw = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(raw)
    if code >= 0:
        return Outcome({0: "ran", 1: "unloaded"}.get(code, "uncomputed"), words)
    name = signal.Signals(-code).name
    return Outcome("hang" if name in ("SIGALRM", "SIGXCPU", "SIGKILL") else name, words)


def prepared() -> Library:
    """Loaded once; children inherit it."""
    os.environ["GGML_NO_BACKTRACE"] = "1"
    return Library(HostVariant().get().path)


DIED: Final = frozenset({"SIGABRT", "SIGSEGV", "SIGFPE", "SIGBUS", "SIGILL", "hang"})


def survey(
    seed: int, count: int, models: tuple[str, ...], show: Callable[[str, Outcome], Any]
) -> Counter[str]:
    """Run mutants; counts by outcome."""
    library, ends = prepared(), Counter[str]()
    for name, data in mutants(seed, count, models):
        outcome = attempt(library, data)
        ends[outcome.end] += 1
        show(name, outcome)
    return ends


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=6801)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", choices=[*MODELS, *LATER], help="mutants of this one alone")
    parser.add_argument("--show", action="store_true", help="what each that died said")
    parser.add_argument("--as-before", action="store_true")
    options = parser.parse_args()
    if options.as_before:
        for check in ("check_types", "check_numbers"):
            setattr(gguf, check, lambda *_: None)

    def show(name: str, outcome: Outcome) -> None:
        if options.show and outcome.end in DIED:
            last = [line for line in outcome.words.splitlines() if line.strip()]
            sys.stdout.write(f"{outcome.end} {name}: {' | '.join(last[-2:])}\n")

    models = (options.model,) if options.model else tuple(MODELS)
    ends = survey(options.seed, options.count, models, show)
    accepted = sum(ends.values()) - ends["refused"]
    died = sum(ends[end] for end in DIED)
    sys.stdout.write(f"{dict(ends)}\naccepted {accepted}, died {died}\n")
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
