"""The facts of an artifact, by its kind, as a record keeps them and people read them. Pure.

Rules: the files of an artifact are read once, when they are vetted; a field that older releases did
not write stays absent; facts that this release cannot read are kept as they are. JSON of all of
them: an object whose `kind` says which.
"""

import contextlib
from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct, field

from appliance.types import Json, ModelKind


class ModelFacts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Facts of a model, from its vetted GGUF file.

    Attributes:
        tensor_bytes: bytes of all tensors, without padding.
        n_head_kv: KV heads; the largest number where layers differ.
        head_dim_k: elements of one key head; the largest where layers differ.
        matrices: bytes of the weights that matrix products read, by type.
        layer_bytes: those of the largest layer.
        output_bytes: those of the output, which may be the input embedding used again.
        n_wide: most numbers that one product in a layer makes of a token.
        n_window: tokens of sliding attention in some layers; 0 where there is none.
        n_merges: merges of the tokeniser.
        licence: as the file states it; "" where it states none, None before 0.2.0.
    """

    architecture: str
    n_tensors: int
    file_bytes: int
    tensor_bytes: int
    n_ctx_train: int
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    head_dim_k: int
    head_dim_v: int
    n_vocab: int
    has_template: bool = field(name="chat_template")
    name: str
    kind: ModelKind
    matrices: dict[str, int]
    layer_bytes: int
    output_bytes: int
    n_wide: int
    n_window: int
    n_merges: int
    licence: str | None = None


class _Tagged(Struct, frozen=True, omit_defaults=True, tag_field="kind"):
    """Facts whose field `kind` names their type."""

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)


class AdapterFacts(_Tagged, frozen=True, kw_only=True, tag="adapter"):
    """Facts of a LoRA adapter, and the base that it is for.

    Attributes:
        alpha: a number, as Python writes it.
        weights: how many of the base's it changes.
        base_digest, base_gguf_sha256: of the one model that it is for.
    """

    architecture: str
    name: str
    rank: int
    alpha: str
    weights: int
    file_bytes: int
    tensor_bytes: int
    base_digest: str
    base_gguf_sha256: str


class TaskFacts(_Tagged, frozen=True, kw_only=True, tag="task"):
    """Facts of a task; the terms of its gate are in millionths.

    Attributes:
        candidate: a model, a classifier or a blend of both; None before 0.1.0 had classifiers.
        needs: the model that must be there, "" for none; None where `model` is it.
        model, model_digest: what answers, as evidence names it: a model, or the coefficients of a
            classifier.
        margin_micros: None for a task that was imported before there were gates.
        collection: that answers cite; "" for none, None before 0.2.0.
    """

    name: str
    version: int
    description: str
    candidate: str | None = None
    needs: str | None = None
    model: str
    model_digest: str
    form: str
    metric: str
    margin_micros: int | None = None
    alpha_micros: int | None = None
    floor_micros: int | None = None
    baseline: str | None = None
    collection: str | None = None

    @property
    def needed(self) -> str:
        """The id of the model that must be there; "" for none."""
        return self.model if self.needs is None else self.needs


class StageFacts(Struct, frozen=True, omit_defaults=True):
    """A stage of a route: `task` and `digest` are "" where it has none, as `upstream`."""

    name: str
    kind: str
    task: str
    digest: str
    upstream: str | None = None


class RouteFacts(_Tagged, frozen=True, kw_only=True, tag="route"):
    """Facts of a route; its terms are in millionths.

    Attributes:
        weight, group_from: None before 0.2.0.
    """

    name: str
    version: int
    description: str
    stages: tuple[StageFacts, ...]
    on_defer: str
    on_drift: str | None = None
    weight: str | None = None
    group_from: str | None = None
    error_micros: int
    delta_micros: int
    margin_micros: int

    @property
    def terms(self) -> dict[str, int]:
        """The terms, as its certificate names them."""
        names = ("error_micros", "delta_micros", "margin_micros")
        return {name: getattr(self, name) for name in names}


class DatasetFacts(_Tagged, frozen=True, kw_only=True, tag="dataset"):
    """Facts of a dataset.

    Attributes:
        items, groups: of each split.
        sealed: the splits that are sealed.
    """

    name: str
    version: int
    items: dict[str, int]
    groups: dict[str, int]
    sealed: tuple[str, ...] = ()


class UnreadFacts(Struct, frozen=True):
    """Of an artifact that is not vetted yet, or as another release wrote them, unread."""

    table: Mapping[str, Json] = {}

    @property
    def kind(self) -> str:
        """Empty before it was vetted."""
        return str(self.table.get("kind", ""))

    @property
    def name(self) -> str:
        """May be empty."""
        return str(self.table.get("name", ""))


WholeFacts: TypeAlias = TaskFacts | RouteFacts | DatasetFacts
"""Of artifacts that are no models: they are stored and approved like models, never loaded."""
ArtifactFacts: TypeAlias = ModelFacts | AdapterFacts | WholeFacts | UnreadFacts
OTHER_KINDS: Final = frozenset({"task", "dataset", "route"})
"""The kinds of `WholeFacts`."""
_TAGGED: Final[Mapping[str, type[ModelFacts | AdapterFacts | WholeFacts]]] = {
    "adapter": AdapterFacts, "task": TaskFacts, "route": RouteFacts, "dataset": DatasetFacts,
}  # fmt: skip


def read(table: Mapping[str, Json]) -> ArtifactFacts:
    """The facts of a JSON object."""
    with contextlib.suppress(msgspec.ValidationError):
        return msgspec.convert(table, _TAGGED.get(str(table.get("kind")), ModelFacts))
    return UnreadFacts(table)


def table_of(facts: ArtifactFacts) -> dict[str, Json]:
    """The JSON object of facts."""
    if isinstance(facts, UnreadFacts):
        return dict(facts.table)
    made: dict[str, Json] = msgspec.json.decode(msgspec.json.encode(facts))
    return made
