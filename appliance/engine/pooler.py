"""Work of a process with a model that embeds or reranks.

Rules: too long a text is refused, never cut; nothing in a text can pass for a control token; a
model whose answers carry no meaning is refused when it is loaded.

Sources: BERT's pair format, [CLS] query [SEP] document [SEP] (arXiv:1810.04805); llama.cpp
issue 25447 for rerankers that were converted without their head.
"""

from collections import deque
from typing import Final

import numpy as np

from appliance.engine import effort
from appliance.engine.logprobs import digest_of
from appliance.engine.pooling import MOST_TEXTS, Pooling, PoolingModel, Texts, rows_of
from appliance.engine.protocol import Load, Prepare, Prepared, Tokenize, Tokens, Vocabulary
from appliance.engine.runner import RunnerConfig
from appliance.engine.threads import Threads
from appliance.errors import BadRequest, StateRefused
from appliance.types import GenerationRequest

_MARGIN: Final = 0.01  # of raw scores; a trained head tells the test's pairs apart by several units
_PAIRS: Final = (
    ("What is the capital of France?", "Paris is the capital of France."),
    ("How is bread made?", "Bread is made of flour, water and yeast and baked in an oven."),
    ("Who wrote Hamlet?", "Hamlet is a play that was written by William Shakespeare."),
)


class Pooler:
    """Runs a model that embeds or reranks.

    Raises:
        StateRefused: `rerank_unusable`, `model_load_failed` when the self-test fails.
    """

    def __init__(self, model: PoolingModel, load: Load) -> None:
        self.n_ctx = load.n_ctx
        self.vocabulary: Vocabulary | None = None
        self.fewest = 0
        self._model = model
        self._ranks = load.kind == "rerank"
        self._max_bytes = load.max_prepare_bytes
        self._self_test()
        self.engine = Pooling(
            model,
            batch_tokens=pooled(load).n_batch,
            # A neighbour may show in the last bits of a vector: reproducible mode has none.
            batch_texts=1 if load.reproducible else MOST_TEXTS,
            unit=not self._ranks,
            threads=None if load.reproducible else Threads(load.threads),
        )

    def prepare(self, request: Prepare) -> tuple[Prepared, list[Texts]]:
        asked = request.asked
        if asked.texts is None or (asked.query is not None) != self._ranks:
            raise BadRequest("wrong_model_kind", "The model is not for this.", param="model")
        self._measure(asked)
        param = "input" if asked.query is None else "documents"
        begin = self._begin(asked.query)
        texts: deque[list[int]] = deque()
        for number, text in enumerate(asked.texts):
            effort.check()
            tokens = self._tokens(begin, text)
            texts.append(tokens)
            if len(tokens) > self.n_ctx:
                raise BadRequest(
                    "context_length_exceeded",
                    f"This model's maximum context length is {self.n_ctx} tokens. However, text "
                    f"{number} has {len(tokens)} tokens{' with its query' if self._ranks else ''}.",
                    param=f"{param}[{number}]",
                )
        total = sum(map(len, texts))
        prepared = Prepared(request.id, total, 0, "", prompt=digest_of(texts))
        return prepared, [Texts(request.id, texts)]

    def tokenize(self, request: Tokenize) -> Tokens:
        """Refuse (`wrong_model_kind`): only models that write text take prompts."""
        raise BadRequest("wrong_model_kind", "The model takes no prompts.", param="model")

    def _measure(self, asked: GenerationRequest) -> None:
        size = sum(len(t.encode("utf-8", "surrogatepass")) for t in asked.texts or ())
        size += len((asked.query or "").encode("utf-8", "surrogatepass"))
        if size > self._max_bytes:
            raise BadRequest(
                "request_too_large", f"The texts have {size} bytes; the limit is {self._max_bytes}."
            )

    def _begin(self, query: str | None) -> list[int] | None:
        """Tokens before each document; None for texts that stand alone."""
        if query is None:
            return None
        between = [self._model.special(which) for which in ("sep", "sep2")]
        separators = [token for token in between if token >= 0]
        return [self._model.special("bos"), *self._plain(query), *separators]

    def _tokens(self, begin: list[int] | None, text: str) -> list[int]:
        if begin is not None:
            return [*begin, *self._plain(text), self._model.special("sep")]
        return self._model.tokenize(text, add_special=True, parse_special=False)

    def _plain(self, text: str) -> list[int]:
        # A "[SEP]" in a text is text: it must not end the query for the model.
        return self._model.tokenize(text, add_special=False, parse_special=False)

    def _self_test(self) -> None:
        """Compute known texts and check that the answers distinguish them."""
        if not self._ranks:
            texts = [self._tokens(None, document) for _, document in _PAIRS]
            try:
                rows = rows_of(self._model, texts, unit=True)
            except RuntimeError as error:
                raise StateRefused("model_load_failed", f"Self-test: {error}.") from error
            if np.ptp(rows, axis=0).max() < 1e-4:
                raise StateRefused(
                    "model_load_failed", "Self-test: different texts get the same vector."
                )
            return
        scores = np.array(
            [
                self._model.pool([self._tokens(self._begin(q), d) for _, d in _PAIRS])[:, 0]
                for q, _ in _PAIRS
            ],
            np.float64,
        )
        right = np.eye(len(_PAIRS), dtype=bool)
        margin = scores[right].mean() - scores[~right].mean()
        if not margin > _MARGIN:  # not a number is no margin either
            raise StateRefused(
                "rerank_unusable",
                "Self-test: documents that answer a query score "
                f"{margin:+.2g} above those that do not; more than {_MARGIN} is needed.",
            )


def pooled(load: Load) -> RunnerConfig:
    """The shapes of a context for whole texts: room for one batch, nothing kept after it."""
    size = max(load.n_ctx, load.prefill_budget)
    return RunnerConfig(
        n_ctx=size,
        slots=MOST_TEXTS,
        threads=load.threads,
        n_batch=size,
        pooled=True,
        split=load.gpu.split if load.gpu else (),
        patience=load.patience,
    )
