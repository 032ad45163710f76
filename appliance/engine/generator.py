"""Work of a process with a model that writes text."""

import time
from dataclasses import replace

import msgspec

from appliance.engine import protocol
from appliance.engine.batch_turns import BatchTurns
from appliance.engine.cells import Cells
from appliance.engine.decisions import Decisions
from appliance.engine.labels import Labels
from appliance.engine.logprobs import Echo, Logprobs, digest_of
from appliance.engine.loop import Engine
from appliance.engine.pace import Pace
from appliance.engine.prepare import Preparer
from appliance.engine.runner import ModelRunner
from appliance.engine.scheduler import Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.shared_prefixes import Registered
from appliance.engine.text.calls import ForcedCalls
from appliance.engine.text.grammar import GrammarCache
from appliance.engine.text.templates import CHATML, ChatTemplate
from appliance.engine.text.textstream import TextStream
from appliance.engine.threads import Threads
from appliance.errors import BadRequest
from appliance.types import GenerationRequest


class Generator:
    """Runs a model that writes text."""

    def __init__(self, runner: ModelRunner, load: protocol.Load) -> None:
        trained = int(runner.meta(f"{runner.meta('general.architecture')}.context_length") or 0)
        self.n_ctx = min(load.n_ctx, trained or load.n_ctx)
        self._runner = runner
        bos, eos, pad = (runner.token_text(which) for which in ("bos", "eos", "pad"))
        source = load.template or runner.meta("tokenizer.chat_template") or CHATML
        self.vocabulary: protocol.Vocabulary | None = protocol.Vocabulary(
            bos, eos, pad, runner.adds_bos(), source
        )
        template = ChatTemplate(source, bos=bos, eos=eos, limit=load.max_prepare_bytes)
        self._preparer = Preparer(
            runner, template, bos=bos, n_ctx=self.n_ctx, max_bytes=load.max_prepare_bytes
        )
        self.fewest = self._preparer.fewest
        runner.try_out()
        self._grammars = GrammarCache(runner.guidance_tokenizer, load.grammars)
        self._registered = Registered(self._preparer, load.prefixes)
        kept = runner.config.kept
        cells = Cells(load.n_ctx, load.slots, kept, separate=load.reproducible)
        pace = None if load.reproducible else Pace(load.prefill_budget, load.gap_ms / 1000)
        self.engine = Engine(
            runner,
            Scheduler(
                cells,
                load.prefill_budget,
                pace,
                fixed_chunks=load.reproducible,
                batches=BatchTurns(load.batch_after_s, load.batch_percent),
            ),
            # The thread count may show in the last bits of a logit: reproducible mode keeps it.
            None if load.reproducible else Threads(load.threads),
        )

    def prepare(self, request: protocol.Prepare) -> tuple[protocol.Prepared, list[Sequence]]:
        """Prepare a request (`adapter_unloaded`)."""
        if request.adapter not in self.engine.adapters | {""}:
            raise BadRequest("adapter_unloaded", "The adapter is not loaded.", param="model")
        asked = self._dated(request.asked)
        request = msgspec.structs.replace(request, asked=asked)
        tokens = self._preparer.tokens(asked)
        limit = self._preparer.limit(len(tokens), asked.max_tokens)
        self._preparer.check_bias(asked.sampling.logit_bias)
        if asked.task.labels:
            return self._labels(request, tokens)
        asked = self._with_calls(asked)
        request = msgspec.structs.replace(request, asked=asked)
        choices = [self._choice(request, i, tokens, limit) for i in range(asked.choices)]
        thinking = self._preparer.thinking(asked)
        template = self._preparer.template.sha256 if asked.messages is not None else ""
        dialect = self._preparer.template.dialect if asked.tools else ""
        size = len(tokens)
        prepared = protocol.Prepared(
            request.id, size, limit, template, dialect, thinking, digest_of([tokens]), asked.clock_s
        )
        return prepared, choices

    def _dated(self, asked: GenerationRequest) -> GenerationRequest:
        if not self._preparer.template.dated or asked.messages is None:
            return replace(asked, clock_s=None)
        return asked if asked.clock_s is not None else replace(asked, clock_s=int(time.time()))

    def tokenize(self, request: protocol.Tokenize) -> protocol.Tokens:
        return self._preparer.tokenised(request)

    def _labels(
        self, request: protocol.Prepare, tokens: list[int]
    ) -> tuple[protocol.Prepared, list[Sequence]]:
        asked = request.asked
        labels = Labels(
            [
                self._runner.tokenize(label, add_special=False, parse_special=False)
                for label in asked.task.labels
            ],
            asked.task.unscored,
        )
        self._preparer.limit(len(tokens), max(map(len, labels.paths), default=0))
        sequence = Sequence(
            id=request.id,
            tokens=tokens,
            sampling=replace(asked.sampling, seed=request.seed),
            max_tokens=0,
            stream=TextStream(()),
            labels=labels,
            scope=request.scope,
            readable=asked.task.readable,
            adapter=request.adapter,
            shared=self._shared(asked, tokens),
            fresh=request.fresh,
            tiled=self._runner.tiled(len(tokens)),
            weight=request.weight,
            batch=request.batch,
        )
        template = self._preparer.template.sha256 if asked.messages is not None else ""
        # Scored are the labels' tokens, too, so that they are part of what is asked.
        asked_of = digest_of([tokens, *labels.tokens])
        prepared = protocol.Prepared(
            request.id, len(tokens), 0, template, prompt=asked_of, clock_s=asked.clock_s
        )
        return prepared, [sequence]

    def _choice(
        self, request: protocol.Prepare, index: int, tokens: list[int], limit: int
    ) -> Sequence:
        asked, label = request.asked, self._runner.label
        scores = asked.logprobs
        logprobs = None if scores is None else Logprobs(scores, label)
        guide = echo = None
        if asked.constraint:
            guide = self._grammars.guide(asked.constraint, one_by_one=scores is not None)
        if asked.echo:
            silent, first = self._runner.special("bos"), min(request.echo_from, len(tokens) - 1)
            echo = Echo(tokens, label, silent=silent, logprobs=logprobs, first=first)
        return Sequence(
            id=request.id + index,
            tokens=list(tokens),
            sampling=replace(asked.sampling, seed=request.seed + index),
            max_tokens=limit,
            stream=TextStream(asked.stop),
            ignore_eos=asked.ignore_eos,
            min_tokens=asked.min_tokens,
            guide=guide,
            logprobs=logprobs,
            decisions=Decisions() if asked.task.decisions else None,
            echo=echo,
            scope=request.scope,
            readable=asked.task.readable,
            adapter=request.adapter,
            shared=self._shared(asked, tokens),
            fresh=request.fresh,
            tiled=self._runner.tiled(len(tokens)),
            weight=request.weight,
            batch=request.batch,
        )

    def _shared(self, asked: GenerationRequest, tokens: list[int]) -> int:
        return self._registered.shared(tokens, (asked.messages or ())[: asked.task.common])

    def _with_calls(self, asked: GenerationRequest) -> GenerationRequest:
        tools, form = asked.tools, asked.constraint
        if tools is None or not (tools.forced or form):
            return asked
        calls = ForcedCalls.constraint(tools, self._preparer.template.dialect, form)
        return replace(asked, constraint=calls)
