"""Specifications, outcomes and certificates of made-up gates, and a policy that knows the keys."""

import base64
import json
from collections.abc import Callable
from typing import Any

from appliance.evals import judging
from appliance.evals.pairs import ItemPair
from appliance.facts import TaskFacts
from appliance.trust.bytes import dsse, ecdsa
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import evaluation
from appliance.trust.statements.evaluation import GateCircumstances, Pack
from appliance.trust.statements.specification import Specification
from appliance.trust.statements.statement import PAYLOAD_TYPE
from tests.trust import policies
from tests.trust.forge import new_key

EVALUATOR, STRANGER = new_key(), new_key()
TASK, DATASET, MODEL = "ab" * 32, "cd" * 32, "ef" * 32
PACKS = {"general": Pack(60, 80, "12" * 32), "refusals": Pack(30, 40, "34" * 32)}
ENGINE = "llama-cpp-python 0.3.36"
NOW_US = 1_790_000_000_000_000
DAY_US = 86_400_000_000
FACTS = TaskFacts(
    name="orders", version=1, description="", model="smol", model_digest=MODEL, form="labels",
    metric="exact_match", margin_micros=50_000, alpha_micros=50_000, floor_micros=0,
)  # fmt: skip


def policy(change: policies.Change = lambda d: None) -> TrustPolicy:
    """A site's policy with an evaluator; Paula publishes and specifies."""

    def evaluated(document: dict[str, Any]) -> None:
        document["keys"] |= policies.bound(EVALUATOR, "evidence of plant 1")
        document["roles"]["evaluator"] = {"keys": [policies.hint(EVALUATOR)], "threshold": 1}
        change(document)

    return policies.parsed(evaluated)


def wanted(**changes: Any) -> Specification:
    terms: dict[str, Any] = {
        "task": "orders", "task_digest": TASK, "dataset": "orders-data",
        "dataset_digest": DATASET, "split": "test", "metric": "exact_match",
        "margin_micros": 50_000, "alpha_micros": 50_000, "looks": 4, "model": "smol",
        "model_digest": MODEL, "incumbent": "majority", "seed": "0123456789abcdef",
        "name": "Paula", "time": "2026-09-21T00:00:00Z",
    }  # fmt: skip
    return Specification(**(terms | changes))


def signed(terms: Specification, key: ecdsa.PrivateKey = policies.PUBLISHER) -> bytes:
    return terms.sign(ecdsa.private_pem(key))


def pairs(groups: int, gained: int = 0, lost: int = 0, right: float = 0.7) -> list[ItemPair]:
    """One item for each group; on the first ones only one side is right."""
    found = []
    for n in range(groups):
        same = n % 100 < right * 100
        one, other = (True, False) if n < gained else (same, same)
        if gained <= n < gained + lost:
            one, other = False, True
        found.append(
            ItemPair(
                f"i{n:04}", f"g{n:04}", "north" if n % 2 else "south", "a",
                1_000_000 * one, 1_000_000 * other, "a" if one else "b", "a" if other else "b",
            )
        )  # fmt: skip
    return found


def circumstances(**changes: Any) -> GateCircumstances:
    given: dict[str, Any] = {
        "engine": ENGINE, "template_sha256": "", "look": 1, "log": "appliance.lab/0011",
        "entry": 7, "issued_us": NOW_US, "valid_until_us": NOW_US + 365 * DAY_US,
    }  # fmt: skip
    return GateCircumstances(**(given | changes))


def certificate(
    outcomes: list[ItemPair] | None = None,
    terms: Specification | None = None,
    at: GateCircumstances | None = None,
    key: ecdsa.PrivateKey = EVALUATOR,
    person: ecdsa.PrivateKey = policies.PUBLISHER,
) -> bytes:
    terms = terms or wanted()
    packs = {name: PACKS[name] for name in terms.packs}
    found = judging.judge(terms, pairs(400, gained=20) if outcomes is None else outcomes, packs)
    return evaluation.sign(signed(terms, person), terms, found, at or circumstances(), key)


def forged(
    envelope: bytes,
    change: Callable[[dict[str, Any]], object],
    key: ecdsa.PrivateKey = EVALUATOR,
) -> bytes:
    statement = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    change(statement)
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    return dsse.sign(payload, PAYLOAD_TYPE, [key])


def edited(envelope: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    outer = json.loads(envelope)
    statement = json.loads(base64.b64decode(outer["payload"]))
    change(statement)
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    outer["payload"] = base64.b64encode(payload).decode()
    return json.dumps(outer).encode()


def block(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda statement: statement["predicate"]["evaluation"].update(values)
