"""Stages for an input by its length, script, words and the app's key. Pure.

Rules: the first rule whose conditions all hold decides; without one the first stage is asked. A
calibration replays rules on its items, which have no key: where a rule tests a key and something
else, nothing is certified for that key, and the first stage is not asked.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping

from appliance.routing.definition import DEFER, RouteDefinition, RouteRule, StageDefinition

_FOREIGN = 0.1
"""Share of letters in other scripts from which a text is in another one."""
_LOOKED_AT = 4_000
"""Characters that are looked at, evenly over the text."""


def stages_for(
    route: RouteDefinition, sent: Mapping[str, str], key: str
) -> tuple[StageDefinition, ...]:
    """None when a rule defers the input.

    Args:
        key: name of the app's key.
    """
    rule = next((rule for rule in route.rules if holds(rule, sent, key)), None)
    if rule is None:
        return route.stages[1:] if key in unclaimed(route) else route.stages
    if rule.to == DEFER:
        return ()
    names = [stage.name for stage in route.stages]
    return route.stages[names.index(rule.to) :]


def reaches(route: RouteDefinition, sent: Mapping[str, str]) -> bool:
    """True if the rules let an input of a calibration reach the first stage."""
    return stages_for(route, sent, "")[:1] == route.stages[:1]


def unclaimed(route: RouteDefinition) -> frozenset[str]:
    """Keys for which nothing is certified."""
    return frozenset(
        key
        for rule in route.rules
        if rule.longer_than is not None or rule.scripts or rule.contains
        for key in rule.keys
    )


def holds(rule: RouteRule, sent: Mapping[str, str], key: str) -> bool:
    """True if all stated conditions hold."""
    text = sent.get(rule.field, "") if rule.field else "\n".join(sent.values())
    folded = text.casefold()
    return all(
        (
            rule.longer_than is None or len(text) > rule.longer_than,
            not rule.scripts or _foreign(text, frozenset(rule.scripts)) > _FOREIGN,
            not rule.contains or any(word.casefold() in folded for word in rule.contains),
            not rule.keys or key in rule.keys,
        )
    )


def _foreign(text: str, scripts: frozenset[str]) -> float:
    seen = text[:: len(text) // _LOOKED_AT + 1]
    found = Counter(map(_script, filter(str.isalpha, seen)))
    total = sum(found.values())
    return sum(n for script, n in found.items() if script not in scripts) / total if total else 0.0


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0].lower()
