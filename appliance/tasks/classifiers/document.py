"""A classifier as one JSON document, `classifier.json`, and back.

Rules: matrices are little-endian 32 bit floats in base64; every size is checked before use, only
finite numbers are taken, and unknown content is refused.
"""

import base64
import binascii
import math
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.errors import Refused
from appliance.tasks.classifiers.linear import Linear
from appliance.tasks.classifiers.neighbours import NeighbourModel
from appliance.tasks.classifiers.ngrams import MOST, Block, NgramVocabulary
from appliance.trust.bytes import strict_json

Classifier: TypeAlias = Linear | NeighbourModel
FILE: Final = "classifier.json"
FORMAT: Final = 1
MAX_BYTES: Final = 64 << 20
MAX_LABELS: Final = 1_000
_MAX_VECTORS: Final = 1_000_000
_MAX_WIDTH: Final = 8_192


def write(classifier: Classifier) -> bytes:
    """The document; the same classifier has the same bytes."""
    if isinstance(classifier, Linear):
        return strict_json.dump(
            {
                "format": FORMAT,
                "kind": "linear",
                "labels": list(classifier.labels),
                "words": _block(classifier.vocabulary.words),
                "characters": _block(classifier.vocabulary.characters),
                "weights": _text(classifier.weights),
                "intercepts": _text(classifier.intercepts),
            }
        )
    return strict_json.dump(
        {
            "format": FORMAT,
            "kind": "neighbours",
            "labels": list(classifier.labels),
            "embedder": classifier.embedder,
            "nearest": classifier.nearest,
            "width": classifier.vectors.shape[1],
            "vectors": _text(classifier.vectors),
            "places": classifier.places.tolist(),
        }
    )


def read(data: bytes) -> Classifier:
    """A classifier from its document. Raises Refused (`coefficients_invalid`)."""
    value = strict_json.parse(data, _refuse, limit=MAX_BYTES)
    if strict_json.member(value, "format", int, _refuse) != FORMAT:
        raise _refuse(f"the format is not {FORMAT}")
    kind = strict_json.member(value, "kind", str, _refuse)
    labels = strict_json.strings(value, "labels", _refuse)
    if not 2 <= len(labels) <= MAX_LABELS or list(labels) != sorted(labels):
        raise _refuse(f"there are not between 2 and {MAX_LABELS} labels in order")
    if kind == "linear":
        return _linear(value, labels)
    if kind == "neighbours":
        return _neighbours(value, labels)
    raise _refuse("the kind is neither linear nor neighbours")


def _linear(value: Any, labels: tuple[str, ...]) -> Linear:
    known = {"format", "kind", "labels", "words", "characters", "weights", "intercepts"}
    strict_json.only(value, known, "it", _refuse)
    vocabulary = NgramVocabulary(_read_block(value, "words"), _read_block(value, "characters"))
    return Linear(
        labels,
        vocabulary,
        _matrix(value, "weights", vocabulary.size, len(labels)),
        _matrix(value, "intercepts", 1, len(labels))[0],
    )


def _neighbours(value: Any, labels: tuple[str, ...]) -> NeighbourModel:
    known = {"format", "kind", "labels", "embedder", "nearest", "width", "vectors", "places"}
    strict_json.only(value, known, "it", _refuse)
    width = strict_json.member(value, "width", int, _refuse)
    nearest = strict_json.member(value, "nearest", int, _refuse)
    places: list[Any] = strict_json.member(value, "places", list, _refuse)
    if not 1 <= width <= _MAX_WIDTH or not 1 <= len(places) <= _MAX_VECTORS or nearest < 1:
        raise _refuse("it has no vectors, or too many, or asks for no neighbour")
    if any(type(place) is not int or not 0 <= place < len(labels) for place in places):
        raise _refuse("a vector has no label")
    return NeighbourModel(
        labels,
        strict_json.member(value, "embedder", str, _refuse),
        _matrix(value, "vectors", len(places), width),
        np.array(places, dtype=np.int64),
        nearest,
    )


def _block(block: Block) -> dict[str, list[str] | list[float]]:
    names = sorted(block.places, key=lambda name: block.places[name])
    return {"features": names, "weights": list(block.weights)}


def _read_block(value: Any, name: str) -> Block:
    table = strict_json.member(value, name, dict, _refuse)
    strict_json.only(table, {"features", "weights"}, name, _refuse)
    features = strict_json.strings(table, "features", _refuse)
    weights: list[Any] = strict_json.member(table, "weights", list, _refuse)
    if len(features) != len(weights) or len(features) > MOST:
        raise _refuse(f"{name} has more features than weights, or more than {MOST}")
    if any(type(w) not in (int, float) or not (w > 0 and math.isfinite(w)) for w in weights):
        raise _refuse(f"{name} has a weight that is not positive")
    places = {feature: place for place, feature in enumerate(features)}
    return Block(places, [float(w) for w in weights])


def _text(matrix: NDArray[np.float32]) -> str:
    return base64.b64encode(matrix.astype("<f4").tobytes()).decode("ascii")


def _matrix(value: Any, name: str, rows: int, columns: int) -> NDArray[np.float32]:
    text = strict_json.member(value, name, str, _refuse)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refuse(f"{name} is not base64") from error
    if len(data) != rows * columns * 4:
        raise _refuse(f"{name} has {len(data)} bytes, not {rows} times {columns} numbers")
    found = np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(rows, columns)
    if not np.isfinite(found).all():
        raise _refuse(f"{name} holds something else than finite numbers")
    return found


_refuse: Final = Refused.of("coefficients_invalid", FILE)
