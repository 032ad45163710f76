"""The tokenizer of a model directory as pairs of a GGUF file. Pure.

Rules:
- Only byte-pair tokenizers whose way of cutting texts has a name in llama.cpp, identified by their
  whole description; any other is refused.
- The chat template is carried unchanged. Ids without a token are filled as llama.cpp does it.

Source: get_vocab_base of conversion/base.py, SpecialVocab of gguf-py and llama-vocab.cpp of
llama.cpp, as of llama-cpp-python 0.3.36.
"""

from collections.abc import Mapping
from typing import Final

from appliance.errors import TuningRefused
from appliance.tuning.conversion.config import refuse_code
from appliance.tuning.conversion.documents import Members
from appliance.tuning.conversion.gguf_file import flag, i32s, text, texts, u32

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
_WORDS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST: Final = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _split(pattern: str) -> object:
    return {
        "type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False,
    }  # fmt: skip


def _bytes(use_regex: bool) -> object:
    return {"type": "ByteLevel", "add_prefix_space": False, "use_regex": use_regex}


KNOWN: Final[Mapping[str, tuple[object, list[object], bool]]] = {
    "smollm": (None, [{"type": "Digits", "individual_digits": True}, _bytes(True)], False),
    "qwen2": ({"type": "NFC"}, [_split(rf"{_WORDS}|\p{{N}}|{_REST}"), _bytes(False)], False),
    "llama-bpe": (None, [_split(rf"{_WORDS}|\p{{N}}{{1,3}}|{_REST}"), _bytes(False)], True),
}
"""By llama.cpp's name: the normaliser, what cuts, and whether whole tokens win over merges."""
_IDS: Final = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


def pairs(
    tokenizer: Members, given: Members, config: Members, vocabulary: int, template: str | None
) -> tuple[str, dict[str, bytes]]:
    """The name of the way of cutting texts, and the header pairs.

    Args:
        template: newer models' separate file; None without one.

    Raises:
        TuningRefused: `convert_tokenizer`, `convert_source`.
    """
    refuse_code(given)
    model = tokenizer.table("model")
    pre = _known(tokenizer, model)
    ids = _ids(model)
    added = _added(tokenizer, ids)
    tokens, kinds = _tokens(ids, added, vocabulary)
    own = "tokenizer.ggml."
    found = {
        own + "model": text("gpt2"),
        own + "pre": text(pre),
        own + "tokens": texts(tokens),
        own + "token_type": i32s(kinds),
        own + "merges": texts(_merges(model, ids)),
    }
    special = _special(given, config, ids | {content: n for n, (content, _) in added.items()})
    for name, number in special.items():
        found[f"{own}{_IDS[name]}_token_id"] = u32(number)
    found[own + "add_bos_token"] = flag(_begins(tokenizer, given, tokens, special.get("bos")))
    if template is None:
        template = _template(given)
    if template is not None:
        found["tokenizer.chat_template"] = text(template)
    return pre, found


def _known(tokenizer: Members, model: Members) -> str:
    if model.get("type") != "BPE":
        raise _refused(f"it is of the type {str(model.get('type'))[:40]}, not BPE")
    for key in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key) not in (None, ""):
            raise _refused(f"it uses {key}")
    if model.get("byte_fallback") or model.get("fuse_unk"):
        raise _refused("it falls back to bytes, as those of SentencePiece do")
    whole = bool(model.get("ignore_merges"))
    normaliser = tokenizer.get("normalizer")
    cutter = tokenizer.get("pre_tokenizer")
    cutter = cutter if isinstance(cutter, dict) else {}
    parts = cutter.get("pretokenizers")
    if isinstance(parts, list) and all(isinstance(part, dict) for part in parts):
        # where a token lies in the text is not asked of llama.cpp
        plain = [{k: v for k, v in part.items() if k != "trim_offsets"} for part in parts]
        for name, known in KNOWN.items():
            if (normaliser, plain, whole) == known and cutter.get("type") == "Sequence":
                return name
    raise _refused(f"its way of cutting texts is none of {', '.join(KNOWN)}")


def _ids(model: Members) -> dict[str, int]:
    found = model.member("vocab", dict)
    if not all(type(number) is int for number in found.values()):
        raise _refused("its vocabulary has an id that is no number")
    if len(set(found.values())) != len(found):
        raise _refused("two of its tokens have the same id")
    return found


def _added(tokenizer: Members, ids: dict[str, int]) -> dict[int, tuple[str, int]]:
    """Tokens next to the vocabulary and their kinds, by id; shared ones must agree."""
    found: dict[int, tuple[str, int]] = {}
    taken, seen = {number: content for content, number in ids.items()}, set()
    for one in tokenizer.member("added_tokens", list, []):
        if not isinstance(one, dict):
            raise _refused("an added token is no object")
        entry = Members(tokenizer.file, one)
        content, number = entry.member("content", str), entry.member("id", int)
        for key in ("lstrip", "rstrip", "single_word"):
            if entry.get(key):
                raise _refused(f"its token {content[:40]!r} takes its neighbours ({key})")
        same = ids.get(content, number) == number and taken.get(number, content) == content
        if not same or number in found or content in seen:
            raise _refused(f"its token {content[:40]!r} has two ids, or shares one")
        seen.add(content)
        special = bool(entry.get("special")) or _looks_special(content)
        found[number] = (content, _CONTROL if special else _USER_DEFINED)
    return found


def _looks_special(content: str) -> bool:
    """As llama.cpp's converter judges an unmarked token."""
    return content in ("<pad>", "<mask>") or (content.startswith("<|") and content.endswith("|>"))


def _tokens(
    ids: dict[str, int], added: dict[int, tuple[str, int]], vocabulary: int
) -> tuple[list[str], list[int]]:
    every = {number: (content, _NORMAL) for content, number in ids.items()} | added
    if not every or min(every) < 0 or max(every) >= vocabulary:
        raise _refused(f"its ids are not those of {vocabulary} tokens")
    filled = [every.get(n, (f"[PAD{n}]", _UNUSED)) for n in range(vocabulary)]
    return [content for content, _ in filled], [kind for _, kind in filled]


def _merges(model: Members, ids: dict[str, int]) -> list[str]:
    found = []
    for entry in model.member("merges", list):
        pair = entry.split(" ") if isinstance(entry, str) else entry
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(p) is str for p in pair):
            raise _refused("a merge is no pair of tokens")
        left, right = pair
        if left not in ids or right not in ids or left + right not in ids:
            raise _refused(f"it merges {left[:20]!r} and {right[:20]!r}, of which one is no token")
        found.append(f"{left} {right}")
    return found


def _special(given: Members, config: Members, ids: dict[str, int]) -> dict[str, int]:
    found = {}
    for name in _IDS:
        named = given.get(f"{name}_token")
        content = named.get("content") if isinstance(named, dict) else named
        number = config.get(f"{name}_token_id")
        if content is not None:
            if not isinstance(content, str) or content not in ids:
                raise _refused(f"its {name}_token {str(content)[:40]!r} is no token")
            found[name] = ids[content]
        elif type(number) is int and number in ids.values():
            found[name] = number
    if "eos" not in found:
        raise _refused("no token ends its texts (eos_token)")
    return found


def _begins(tokenizer: Members, given: Members, tokens: list[str], bos: int | None) -> bool:
    """By the tokenizer's last step."""
    last = tokenizer.get("post_processor")
    given_steps = last.get("processors", [last]) if isinstance(last, dict) else []
    begins = False
    for given_step in given_steps if isinstance(given_steps, list) else [None]:
        step = given_step if isinstance(given_step, dict) else {}
        kind = step.get("type")
        if kind == "ByteLevel":
            continue
        if kind != "TemplateProcessing":
            raise _refused(f"it ends with a step {str(kind)[:40]} that llama.cpp does not have")
        wanted = [{"SpecialToken": {"id": tokens[bos], "type_id": 0}}] if bos is not None else []
        if step.get("single") != [*wanted, {"Sequence": {"id": "A", "type_id": 0}}] or not wanted:
            raise _refused("it puts other tokens around a text than one that begins it")
        begins = True
    if given.get("add_bos_token") and not begins:
        raise _refused("add_bos_token is set, and the tokenizer adds none")
    if given.get("add_eos_token"):
        raise _refused("it ends each text with a token (add_eos_token)")
    return begins


def _template(given: Members) -> str | None:
    found = given.get("chat_template")
    if found is not None and not isinstance(found, str):
        raise _refused("it has several chat templates; keep the one to be served")
    return found


_refused: Final = TuningRefused.of("convert_tokenizer", "The tokenizer cannot be converted")
