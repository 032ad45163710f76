"""A request as a worker gets it."""

from typing import Any

from appliance.engine.protocol import Prepare
from appliance.types import GenerationRequest, Sampling

_OWN = {"seed", "echo_from", "scope", "weight", "adapter"}


def prepare(number: int = 1, **given: Any) -> Prepare:
    """A greedy one, with the fields of either struct."""
    own = {name: given.pop(name) for name in _OWN & given.keys()}
    asked = GenerationRequest("", **{"sampling": Sampling(temperature=0), **given})
    return Prepare(number, asked, **own)
