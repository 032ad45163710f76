"""A trust policy in lines for the person who signs it, and its changes.

Rules: one line for each thing that is allowed, required or revoked, so that a comparison by line
shows everything that was dropped.
"""

from collections.abc import Iterator

from appliance.text import many
from appliance.trust.policy.policy import (
    APPROVER,
    EVALUATION,
    EVALUATOR,
    PUBLISHER,
    REQUIREMENTS,
    ModelRule,
    TaskRule,
    TrustPolicy,
)


def lines(policy: TrustPolicy) -> list[str]:
    """Describe the policy in lines."""
    return list(_lines(policy))


def changes(old: TrustPolicy, new: TrustPolicy) -> list[str]:
    """Lines that `new` dropped, after `-`, and lines that it added, after `+`."""
    before, after = lines(old), lines(new)
    gone = [f"- {line}" for line in before if line not in after]
    return gone + [f"+ {line}" for line in after if line not in before]


def _lines(policy: TrustPolicy) -> Iterator[str]:
    yield f"organisation {policy.org}"
    approver = policy.roles[APPROVER]
    for hint in sorted(policy.roles[PUBLISHER].keys, key=lambda hint: policy.keys[hint].person):
        yield f"{policy.keys[hint].person} may publish, key {hint[:32]}"
    for authority in policy.authorities:
        for subject, person in sorted(authority.subjects.items()):
            yield f"{person} may publish as {subject} under {authority.fingerprint[:32]}"
    for hint in sorted(approver.keys, key=lambda hint: policy.keys[hint].person):
        yield f"{policy.keys[hint].person} may approve, key {hint[:32]}"
    yield f"approvals needed: {approver.threshold}"
    if EVALUATOR in approver.distinct_from:
        yield "who specified an evaluation may not approve what it certifies"
    evaluators = policy.roles[EVALUATOR].keys if EVALUATOR in policy.roles else frozenset()
    for hint in sorted(evaluators, key=lambda hint: policy.keys[hint].person):
        yield f"{policy.keys[hint].person} may evaluate, key {hint[:32]}"
    yield from _tasks(policy.tasks)
    if PUBLISHER not in approver.distinct_from:
        yield "a publisher may approve the own artifact"
    for model_id, rule in sorted(policy.models.items()):
        yield f"model {model_id}{_rule(rule)}"
        for digest in sorted(rule.adapters or ()):
            yield f"adapter {digest} of {model_id}"
    yield f"algorithms {', '.join(sorted(policy.algorithms))}"
    for what, revoked in (
        ("key", policy.revoked.keys),
        ("serial number", policy.revoked.serials),
        ("digest", policy.revoked.digests),
        ("engine", policy.revoked.engines),
    ):
        for one in sorted(revoked):
            yield f"revoked: {what} {one}"
    for member in sorted(policy.site.members.values(), key=lambda member: member.name):
        pinned = f", certificate {member.certificate}" if member.certificate else ""
        yield f"appliance {member.name}, log {member.log_key}, key {member.hint[:32]}{pinned}"
    if policy.site.members:
        alone = "refuses apps" if policy.site.refuse_stale else "says so"
        yield f"an appliance that hears no other for {policy.site.stale_seconds} s {alone}"
    yield f"models are served for {many(policy.stale.refuse_serve_days, 'day')} after the expiry"


def _tasks(rule: TaskRule) -> Iterator[str]:
    if rule.require:
        yield f"every task needs {', '.join(sorted(rule.require))}"
    if rule != TaskRule(rule.require):
        yield f"a task serves for {many(rule.grace_days, 'day')} after its evaluation expired"
    if rule.yearly_delta is not None:
        yield f"a year's certificates of gates may allow {rule.yearly_delta:g} false ones"


def _rule(rule: ModelRule) -> str:
    told = []
    if not rule.require >= REQUIREMENTS:
        told.append("without approvals")
    if EVALUATION in rule.require:
        told.append("with an evaluation")
    if rule.min_version is not None:
        told.append(f"from version {rule.min_version}")
    if rule.root_digest is not None:
        told.append(f"only {rule.root_digest}")
    if rule.template_sha256 is not None:
        told.append(f"only with the template {rule.template_sha256}")
    return ": " + ", ".join(told) if told else ""
