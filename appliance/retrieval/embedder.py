"""Vectors of queries and passages, by an embedding model that the appliance serves.

Rules: the model is asked through the path of every request; a collection is only asked with the
model, by digest, that made its vectors.
"""

import asyncio
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from appliance.errors import CollectionRefused, Overloaded, Unavailable
from appliance.retrieval.collection import Settings
from appliance.retrieval.ranking import Floats
from appliance.serving.inference import RETRIEVAL, Inference
from appliance.types import Caller, GenerationRequest, Limits, Principal, Priority

BATCH: Final = 32
"""Passages of one request."""
_RETRY_S: Final = 0.5
# The log keeps nothing of the passages: what is removed from a collection must be nowhere.
INDEXER: Final = Principal(
    RETRIEVAL, RETRIEVAL, limits=Limits(priority=Priority.BATCH), content="off"
)
PREFIXES: Final = {"e5": ("query: ", "passage: ")}
"""Prefixes that known families of models want before a text, by a part of their id."""


def prefixes(model_id: str) -> tuple[str, str]:
    """Prefixes of a query and a passage, as far as the id shows."""
    found = (pair for part, pair in PREFIXES.items() if part in model_id.lower().split("-"))
    return next(found, ("", ""))


@dataclass(frozen=True)
class Embedder:
    """The embedding model of one collection."""

    inference: Inference
    settings: Settings

    async def query(self, caller: Caller, text: str) -> Floats:
        """As the app's request. Raises CollectionRefused (`embedder_changed`)."""
        # The key may search, whatever models it may use by itself.
        allowed = replace(
            caller.principal, models=frozenset({self.settings.embedder}), tasks_only=False
        )
        asked = replace(caller, principal=allowed)
        vectors = await self._vectors(asked, [self.settings.query_prefix + text])
        return np.asarray(vectors[0], np.float32)

    async def passages(self, texts: Sequence[str], label: str) -> Floats:
        """One a row; waits while apps fill the queue.

        Args:
            label: names the work in the log.
        """
        caller = Caller(INDEXER, label[:128], "", RETRIEVAL)
        found = []
        for start in range(0, len(texts), BATCH):
            batch = [self.settings.passage_prefix + text for text in texts[start : start + BATCH]]
            found.append(await self._patiently(caller, batch))
        return np.concatenate(found)

    async def _patiently(self, caller: Caller, texts: Sequence[str]) -> Floats:
        while True:
            try:
                return await self._vectors(caller, texts)
            except Overloaded as error:
                if error.code != "queue_full":
                    raise
            await asyncio.sleep(_RETRY_S)

    async def _vectors(self, caller: Caller, texts: Sequence[str]) -> Floats:
        normal = tuple(unicodedata.normalize("NFKC", text) for text in texts)
        wanted = GenerationRequest(model=self.settings.embedder, texts=normal)
        generation = await self.inference.start(caller, wanted)
        vectors = []
        try:
            if generation.card.digest != self.settings.embedder_digest:
                message = f"{generation.card.id} is not the model that made the vectors."
                raise CollectionRefused("embedder_changed", message)
            async for delta in generation:
                if delta.vector:
                    vectors.append(np.frombuffer(delta.vector, "<f4"))
        finally:
            await generation.cancel()
        if len(vectors) != len(texts):
            raise Unavailable("request_cancelled", "The model ended before all texts had vectors.")
        found = np.array(vectors, np.float32)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(found / np.maximum(lengths, 1e-12), np.float32)
