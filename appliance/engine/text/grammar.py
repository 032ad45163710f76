"""Structured output: which tokens may come next, and which must.

Rules: masks come from llguidance over the whole vocabulary; forced tokens are appended without
asking the model. White space between JSON tokens is the compact form. A schema keyword that cannot
be enforced is refused, never ignored; an independent validator checks the finished text once more.
Sources are bounded, and compile off the decode thread. Grammars that were signed with the model
compile before it serves; only these may be Lark, and only masks hold an answer to them.
"""

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import llguidance
import llguidance.numpy as masks
import numpy as np
from numpy.typing import NDArray

from appliance.engine.text.calls import ForcedCalls
from appliance.engine.text.enforceable import enforceable
from appliance.engine.text.json_completion import STRUCTURE, Endings
from appliance.engine.text.json_scanner import JsonText, repeating
from appliance.engine.text.numbers import Growing
from appliance.engine.text.phrases import endings as ends_of
from appliance.engine.text.phrases import expressions, formats
from appliance.engine.text.reply import beginnings
from appliance.engine.text.schemas import (
    COMPACT,
    MAX_BYTES,
    check_expression,
    checked_schema,
    json_validator,
    refused,
)
from appliance.errors import BadRequest, StateRefused
from appliance.types import Constraint, JsonValue

Validator: TypeAlias = Callable[[str], bool] | None
"""Whether a finished text is accepted; None where the mask alone decides."""
Phrases: TypeAlias = list[list[int]]
Ready: TypeAlias = tuple[Any, Validator, Phrases, int | None]
"""A matcher at its start, the validator, the tokens that may end a string, and how many tokens the
shortest JSON document has."""
_FARTHEST: Final = 512
_SLACK: Final = 8  # tokens that what has no structure can move the end by
MAX_CHOICES = 1024
MAX_RULES: Final = 1000
"""Lines of a Lark grammar, and so its rules: llguidance follows them recursively, and 3,000 in a
chain overran the stack."""
_UNKNOWN_ATTRIBUTE: Final = re.compile(r"^[?!\s]*\w+\s*\[[^\]]*\btemperature\b", re.MULTILINE)
_CACHED = 64
_MOST_PHRASES: Final = 256
_ANSWER: Final = "answer"
_OBJECT = '{"type":"object"}'


class Guide:
    """The state of one answer under a constraint. Not shared between requests.

    Args:
        end: keeps the end of such an answer within reach.
        one_by_one: the model computes forced tokens, too, since their log-probabilities are wanted.
    """

    def __init__(
        self,
        matcher: Any,
        mask: NDArray[np.int32],
        validator: Any | None,
        limits: "JsonLimits | None" = None,
        end: "Within | None" = None,
        *,
        one_by_one: bool = False,
    ) -> None:
        self._matcher = matcher
        self._limits = limits
        self._end = end
        self._one_by_one = one_by_one
        self._ahead: list[int] = []  # forced tokens that the matcher has consumed already
        self._mask = mask
        self._validator = validator
        self._text = ""

    def restrict(self, logits: NDArray[np.float32]) -> None:
        """Set the logits of tokens that may not come next, shape (n_vocab,), to minus infinity, in
        place.
        """
        if self._ahead:
            logits[:] = -np.inf
            logits[self._ahead[0]] = 0
            return
        masks.fill_next_token_bitmask(self._matcher, self._mask, 0)
        masks.apply_token_bitmask_inplace(logits.reshape(1, -1), self._mask)
        if self._limits is not None:
            self._limits.restrict(logits)

    def within(self, token: int, left: int) -> int:
        """The token, or another one if the answer would be cut off with it; `left` tokens may still
        come.
        """
        if self._end is None or self._limits is None or self._ahead:
            return token
        return self._end.within(self._matcher, self._limits, token, left)

    def accept(self, token: int) -> list[int] | None:
        """Append a sampled token; the tokens that must follow it, None if it may not come."""
        if self._ahead:
            return [] if token == self._ahead.pop(0) else None
        if not self._matcher.consume_token(token):
            return None
        if self._matcher.is_stopped():
            return []
        forced: list[int] = self._matcher.compute_ff_tokens()
        if forced and not self._matcher.consume_tokens(forced):
            return None
        if self._limits is not None:
            self._limits.wrote([token, *forced])
        if self._one_by_one:
            self._ahead = forced
            return []
        return forced

    @property
    def stopped(self) -> bool:
        return not self._ahead and bool(self._matcher.is_stopped())

    def wrote(self, text: str, complete: bool) -> bool:
        """Note text of the answer; False when the complete answer breaks its schema."""
        self._text += text
        if not complete or self._validator is None:
            return True
        try:
            return bool(self._validator(self._text))
        except ValueError:
            return False


class Within:
    """Keeps one document within the tokens that it may take, as far as its schema allows.

    The distance of the end is looked up when it could have become short, and where no way is found
    (a string in the middle of a long expression), again a little later.

    Args:
        phrases: tokens that may end a string.
        need: tokens of the shortest document; None where that is not known.
        size: characters of the schema: what it can open at once is in proportion to it.
        few: the keys of an object may run out, so that a comma can be one too many.
    """

    def __init__(
        self,
        pieces: list[bytes],
        endings: Endings,
        phrases: Sequence[Sequence[int]],
        need: int | None,
        size: int,
        few: bool,
    ) -> None:
        self._pieces, self._endings, self._phrases = pieces, endings, phrases
        self._step, self._few = (need or 0) + size // 3 + _SLACK, few
        self._bound = _FARTHEST if need is None else need + _SLACK
        self._again: int | None = None  # tokens left at which a way is looked for again
        self._plan: tuple[int, list[int]] | None = None  # from which token on, and the way

    def within(self, matcher: Any, written: "JsonLimits", token: int, left: int) -> int:
        if self._plan is not None:
            begun, plan = self._plan
            return plan[written.count - begun] if written.count - begun < len(plan) else token
        piece = self._pieces[token]
        if not STRUCTURE.isdisjoint(piece):
            self._bound += self._step
        text = written.text
        one_too_many = self._few and (text.begins_a_key or (b"," in piece and not text.quoted))
        near = left - 1 < self._bound and (self._again is None or left <= self._again)
        if not near and not one_too_many:
            return token
        after = matcher.deep_copy()
        if not after.consume_token(token):
            return token
        longer = text.copy()
        longer.feed(piece)
        most = left - 1 if near else _FARTHEST
        way = self._endings.way(after, longer, most, self._phrases)
        if way is not None:
            self._bound, self._again = len(way) + _SLACK, None
            return token
        way = self._endings.way(matcher, text, left, self._phrases)
        if not way:
            self._again = left * 7 // 8
            return token
        self._bound, self._again = len(way) + _SLACK, None
        if near and 2 * len(way) >= left:  # looking again would cost more
            self._plan = written.count, way
        return way[0]


class JsonLimits:
    """Ends the numbers of one answer, and keeps the keys of an object apart.

    Args:
        pieces: the bytes of the tokens.
        growing: those that make a number longer.
        endings: those that can end a key.
    """

    def __init__(self, pieces: list[bytes], growing: Growing, endings: Endings) -> None:
        self._pieces, self._growing, self._endings = pieces, growing, endings
        self.text = JsonText()
        self.count = 0

    def wrote(self, tokens: list[int]) -> None:
        self.count += len(tokens)
        for token in tokens:
            self.text.feed(self._pieces[token])

    def restrict(self, logits: NDArray[np.float32]) -> None:
        """End a number that has no room, and let no key come twice, if anything else may come."""
        room = self.text.room
        if room is not None and room < self._growing.most:
            _without(logits, self._growing.beyond(room))
        if self.text.keys:
            ends = self._endings.quoting if self.text.begins_a_key else self._endings.whole
            possible = [token for token in ends if logits[token] > -np.inf]
            _without(logits, repeating(self.text, possible, self._pieces))


def _without(logits: NDArray[np.float32], tokens: Sequence[int] | NDArray[np.intp]) -> None:
    """Forbid tokens, unless nothing else may come: the schema asked for it."""
    before = logits[tokens]
    logits[tokens] = -np.inf
    if np.isneginf(logits).all():
        logits[tokens] = before


def check_constraint(constraint: Constraint) -> None:
    """Refuse a constraint that cannot be enforced over any vocabulary (`invalid_schema`)."""
    try:
        grammars, _ = GrammarCache(lambda: None).sources(constraint)
        reason = llguidance.LLMatcher.validate_grammar(json.dumps({"grammars": grammars}))
    except (BadRequest, SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # pyo3 reports a panic of the library as a BaseException
        raise refused(str(error)) from error
    if reason:
        raise refused(reason)


class GrammarCache:
    """Compiles constraints for one vocabulary and keeps the latest.

    Args:
        tokenizer: makes llguidance's view of the vocabulary, when the first constraint comes.
        signed: compiled here.

    Raises:
        StateRefused: `grammar_invalid` for a signed one that cannot be enforced.
    """

    def __init__(
        self, tokenizer: Callable[[], Any], signed: Mapping[str, Constraint] | None = None
    ) -> None:
        self._make_tokenizer = tokenizer
        self._tokenizer: Any = None
        self._compiled: OrderedDict[Constraint, Ready] = OrderedDict()
        self._signed: dict[str, Ready] = {}
        self._lock = threading.Lock()
        self._known: tuple[list[bytes], Growing, Endings] | None = None
        self._sources = dict(signed or {})
        for name, constraint in self._sources.items():
            try:
                self._signed[name] = self._compile(constraint)
            except BadRequest as error:
                reason = error.message.removeprefix(refused("").message)
                raise StateRefused("grammar_invalid", f"The grammar {name}: {reason}") from error

    def guide(self, constraint: Constraint, *, one_by_one: bool = False) -> Guide:
        """A fresh guide (`invalid_schema`, `unknown_grammar`)."""
        matcher, validator, phrases, need = self._ready(constraint)
        mask = masks.allocate_token_bitmask(1, self._tokenizer.vocab_size)
        limits = end = None
        if self._is_json(constraint):
            pieces, growing, endings = self._vocabulary()
            limits, source = JsonLimits(pieces, growing, endings), self._source(constraint)
            few = "patternProperties" in source
            end = Within(pieces, endings, phrases, need, len(source), few)
        return Guide(matcher.deep_copy(), mask, validator, limits, end, one_by_one=one_by_one)

    def _source(self, constraint: Constraint) -> str:
        signed = constraint.kind == "grammar"
        return self._source(self._sources[constraint.source]) if signed else constraint.source

    def _is_json(self, constraint: Constraint) -> bool:
        """True if everything outside strings in the answer is JSON."""
        if constraint.kind == "either":
            _, kind, form = json.loads(constraint.source)
            return self._is_json(Constraint(kind, form))
        if constraint.kind == "grammar":
            return self._is_json(self._sources[constraint.source])
        return constraint.kind in ("json_schema", "json_object", "calls")

    def _vocabulary(self) -> tuple[list[bytes], Growing, Endings]:
        with self._lock:
            if self._known is None:
                count = self._tokenizer.vocab_size
                pieces = [self._tokenizer.decode_bytes([token]) for token in range(count)]
                endings = Endings(pieces, self._tokenizer.eos_token)
                self._known = pieces, Growing(pieces), endings
            return self._known

    def _ready(self, constraint: Constraint) -> Ready:
        if constraint.kind == "grammar":
            if found := self._signed.get(constraint.source):
                return found
            raise self._unknown(constraint.source)
        with self._lock:  # two threads prepare
            if constraint in self._compiled:
                self._compiled.move_to_end(constraint)
                return self._compiled[constraint]
        ready = self._compile(constraint)
        with self._lock:
            self._compiled[constraint] = ready
            if len(self._compiled) > _CACHED:
                self._compiled.popitem(last=False)
        return ready

    def _unknown(self, name: str) -> BadRequest:
        names = ", ".join(self._sources) or "none"
        return BadRequest(
            "unknown_grammar",
            f"The model has no grammar {name!r}; signed with it: {names}.",
            param="response_format",
        )

    def _compile(self, constraint: Constraint) -> Ready:
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = self._make_tokenizer()
        try:
            grammars, validator = self.sources(constraint)
            grammar = json.dumps({"grammars": grammars})
            matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0)
            # The first mask shows what compiling alone does not: limits, and a dead end.
            possible = any(matcher.deep_copy().compute_bitmask())
        except BadRequest:
            raise
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # pyo3 reports a panic of the library as a BaseException
            raise refused(str(error)) from error
        if matcher.is_error():
            raise refused(str(matcher.get_error()))
        if not possible:
            raise refused("no text can satisfy it within the limits")
        need, phrases = None, list[list[int]]()
        if self._is_json(constraint):
            phrases = self._phrases(self._source(constraint))
            way = self._way(matcher, phrases)
            need = None if way is None else len(way)
        return matcher, validator, phrases, need

    def _way(self, matcher: Any, phrases: Phrases) -> list[int] | None:
        return self._vocabulary()[2].way(matcher, JsonText(), _FARTHEST, phrases)

    def _phrases(self, source: str) -> Phrases:
        schema = json.loads(source or _OBJECT)
        pieces, _, endings = self._vocabulary()
        texts = formats(schema)
        for expression in expressions(schema):
            text = json.dumps({"type": "string", "pattern": expression})
            grammar = llguidance.LLMatcher.grammar_from_json_schema(text, overrides=COMPACT)
            way = self._way(llguidance.LLMatcher(self._tokenizer, grammar, log_level=0), [])
            if way is not None:
                said = b"".join(pieces[token] for token in way if token != endings.end)
                texts += ends_of(said.decode()[1:-1])
        found = {text: endings.phrase(text) for text in sorted(texts, key=len)[:_MOST_PHRASES]}
        return list(found.values())

    def sources(self, constraint: Constraint) -> tuple[list[dict[str, JsonValue]], Validator]:
        """The grammars of a constraint as the library reads them, the first one first."""
        source = constraint.source
        if len(source.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            raise refused(f"it is larger than {MAX_BYTES} bytes")
        if constraint.kind == "regex":
            check_expression(source)
            return _listed(llguidance.LLMatcher.grammar_from_regex(source)), None
        if constraint.kind == "choice":
            return [{"lark_grammar": _choice(source)}], None
        if constraint.kind == "lark":
            return [{"lark_grammar": _lark(source)}], None
        if constraint.kind == "calls":
            calls = ForcedCalls.decode(source)
            return [{"lark_grammar": calls.grammar(self._marker)}], calls.valid
        if constraint.kind == "either":
            return self._either(*json.loads(source))
        schema = checked_schema(source or _OBJECT)
        enforced = json.dumps(enforceable(schema))
        text = llguidance.LLMatcher.grammar_from_json_schema(enforced, overrides=COMPACT)
        return _listed(text), json_validator(schema)

    def _either(
        self, source: str, kind: str, form: str
    ) -> tuple[list[dict[str, JsonValue]], Validator]:
        answer = Constraint(kind, form)
        if kind == "grammar":
            if form not in self._sources:
                raise self._unknown(form)
            answer = self._sources[form]
        (grammar,), check = self.sources(answer)
        calls = ForcedCalls.decode(source)
        begins = beginnings(calls.dialect, calls.schemas)

        def valid(text: str) -> bool:
            if text.startswith(begins):
                return calls.valid(text)
            return check is None or check(text)

        made: dict[str, JsonValue] = {"lark_grammar": calls.grammar(self._marker, f"@{_ANSWER}")}
        return [made, {**grammar, "name": _ANSWER}], valid

    def _marker(self, tag: str) -> str:
        tokens = self._tokenizer.tokenize_str(tag, parse_special=True)
        alone = len(tokens) == 1 and self._tokenizer.is_special_token(tokens[0])
        return tag if alone else json.dumps(tag)


def _listed(grammar: str) -> list[dict[str, JsonValue]]:
    found: list[dict[str, JsonValue]] = json.loads(grammar)["grammars"]
    return found


def _lark(source: str) -> str:
    if source.count("\n") >= MAX_RULES:
        raise refused(f"it has more than {MAX_RULES} lines")
    if _UNKNOWN_ATTRIBUTE.search(source):
        raise refused("a rule sets the temperature, which the request does")
    return source


def _choice(source: str) -> str:
    choices = json.loads(source)
    if not isinstance(choices, list) or not 0 < len(choices) <= MAX_CHOICES:
        raise refused(f"a choice has between 1 and {MAX_CHOICES} texts")
    if not all(isinstance(c, str) and c for c in choices):
        raise refused("every choice is a text that is not empty")
    return "start: " + " | ".join(json.dumps(c, ensure_ascii=False) for c in choices)
