"""A policy in words: every decision has a line."""

import pytest

from appliance.trust.ceremony import policy_words
from tests.trust import certs
from tests.trust.forge import new_key
from tests.trust.policies import (
    ALICE,
    BOB,
    PUBLISHER,
    Change,
    bound,
    hint,
    key,
    models,
    parsed,
    put,
    role,
)
from tests.trust.policy.test_members import SITE

ZOE = new_key()
CHAIN = certs.chain()
CHANGES: dict[str, tuple[Change, list[str]]] = {
    "another organisation": (
        put("", "org", "Elsewhere"), ["- organisation Example", "+ organisation Elsewhere"],
    ),
    "one more approver": (
        lambda d: (
            d["keys"].update(bound(ZOE, "Zoe")), d["roles"]["approver"]["keys"].append(hint(ZOE)),
        ),
        [f"+ Zoe may approve, key {hint(ZOE)[:32]}"],
    ),
    "one approver is enough": (
        role("approver", "threshold", 1), ["- approvals needed: 2", "+ approvals needed: 1"],
    ),
    "publishers approve": (
        role("approver", "distinct_from", []), ["+ a publisher may approve the own artifact"],
    ),
    "another publisher": (
        role("publisher", "keys", [hint(BOB)]),
        [
            f"- Paula may publish, key {hint(PUBLISHER)[:32]}",
            f"+ Bob may publish, key {hint(BOB)[:32]}",
        ],
    ),
    "an authority": (
        put("", "authorities", [
            {"certificate": CHAIN.root.pem.decode(), "subjects": {"CN=Ada": "Ada"}}
        ]),
        ["+ Ada may publish as CN=Ada under "],
    ),
    "another name for a key": (
        key(PUBLISHER, "person", "Petra"),
        [
            f"- Paula may publish, key {hint(PUBLISHER)[:32]}",
            f"+ Petra may publish, key {hint(PUBLISHER)[:32]}",
        ],
    ),
    "a model without approvals": (
        models({"id": "any", "require": ["oms"]}, {"id": "free", "require": ["oms"]}),
        [
            "- model any", "- model pinned: only " + "ab" * 32 + ", only with the template",
            "+ model any: without approvals",
        ],
    ),
    "a lowest version and an adapter": (
        lambda d: d["models"][0].update(min_version=4, adapters=["cd" * 32]),
        ["- model any", "+ model any: from version 4", "+ adapter " + "cd" * 32 + " of any"],
    ),
    "algorithms": (
        put("", "algorithms", ["ecdsa-p384-sha384"]),
        ["- algorithms ecdsa-p256-sha256, ecdsa-p384-sha384", "+ algorithms ecdsa-p384-sha384"],
    ),
    "something is revoked": (
        put("", "revoked", {"keys": [hint(ALICE)], "serials": ["ab"], "digests": ["cd" * 32],
                            "engines": ["llama-cpp-python<1"]}),
        [
            f"+ revoked: key {hint(ALICE)}", "+ revoked: serial number ab",
            "+ revoked: digest " + "cd" * 32, "+ revoked: engine llama-cpp-python<1",
        ],
    ),
    "an evaluator": (
        lambda d: (
            d["keys"].update(bound(ZOE, "evidence")),
            d["roles"].update(evaluator={"keys": [hint(ZOE)], "threshold": 1}),
        ),
        [f"+ evidence may evaluate, key {hint(ZOE)[:32]}"],
    ),
    "tasks that need an evaluation": (
        put("", "tasks", {"require": ["evaluation"], "grace_days": 7}),
        ["+ every task needs evaluation", "+ a task serves for 7 days after its evaluation"],
    ),
    "an id that needs an evaluation": (
        lambda d: d["models"][0].update(require=["oms", "approval", "evaluation"]),
        ["- model any", "+ model any: with an evaluation"],
    ),
    "who specifies does not approve": (
        role("approver", "distinct_from", ["publisher", "evaluator"]),
        ["+ who specified an evaluation may not approve"],
    ),
    "appliances of a site": (
        put("", "site", {**SITE, "refuse_stale": True}),
        [
            "+ appliance north, log appliance.site/north+",
            "+ appliance south, log appliance.site/south+",
            "+ an appliance that hears no other for 60 s refuses apps",
        ],
    ),
    "served for longer": (
        put("", "stale", {"refuse_serve_days": 999}),
        ["- models are served for 365 days", "+ models are served for 999 days"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES)
def test_what_is_said_anew_and_no_more(change: Change, told: list[str]) -> None:
    found = policy_words.changes(parsed(), parsed(change))
    assert len(found) == len(told)
    assert all(line.startswith(begin) for line, begin in zip(found, told, strict=True)), found
    back = policy_words.changes(parsed(change), parsed())
    assert sorted(line[1:] for line in back) == sorted(line[1:] for line in found)


def test_only_a_newer_version_says_nothing_else() -> None:
    assert policy_words.changes(parsed(), parsed(put("", "version", 8))) == []
