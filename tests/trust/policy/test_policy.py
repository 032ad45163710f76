"""Rights under a trust policy."""

from dataclasses import replace

import pytest

from tests.trust.policies import (
    ALICE,
    ALICE_TOO,
    BOB,
    PUBLISHER,
    code_of,
    hint,
    models,
    parsed,
    put,
    role,
)


def test_publishers() -> None:
    read = parsed()
    assert read.publisher(hint(PUBLISHER)).person == "Paula"
    assert code_of(lambda: read.publisher(hint(ALICE))) == "publisher_not_allowed"
    assert code_of(lambda: read.publisher("ab" * 32)) == "publisher_not_allowed"


def test_approvers_are_the_people_bound_to_their_keys() -> None:
    read = parsed()
    assert read.approver(hint(ALICE), "Alice").person == "Alice"
    assert read.approver(hint(ALICE_TOO), "Alice").person == "Alice"
    assert code_of(lambda: read.approver(hint(ALICE), "Bob")) == "approver_name_mismatch"
    assert code_of(lambda: read.approver(hint(PUBLISHER), "Paula")) == "approver_not_allowed"


def test_revoked_keys_neither_publish_nor_approve() -> None:
    read = parsed(put("revoked", "keys", [hint(PUBLISHER), hint(ALICE)]))
    assert code_of(lambda: read.publisher(hint(PUBLISHER))) == "key_revoked"
    assert code_of(lambda: read.approver(hint(ALICE), "Alice")) == "key_revoked"
    assert read.approver(hint(BOB), "Bob").person == "Bob"


def test_a_key_with_an_algorithm_that_is_not_allowed() -> None:
    read = parsed(put("", "algorithms", ["ecdsa-p384-sha384"]))
    assert code_of(lambda: read.publisher(hint(PUBLISHER))) == "algorithm_not_allowed"


def test_revoked_digests() -> None:
    read = parsed(put("revoked", "digests", ["cd" * 32]))
    read.check_digests("ab" * 32)
    assert code_of(lambda: read.check_digests("ab" * 32, "cd" * 32)) == "digest_revoked"


@pytest.mark.parametrize(
    ("rule", "version", "revoked"),
    [
        ("llama-cpp-python<0.3.36", "0.3.35", True),
        ("llama-cpp-python<0.3.36", "0.3.9", True),
        ("llama-cpp-python<0.3.36", "0.3.36", False),
        ("llama-cpp-python<0.3.36", "0.4", False),
        ("llama-cpp-python<=0.3.36", "0.3.36", True),
        ("llama-cpp-python<=0.3.36", "0.3.37", False),
        ("llama-cpp-python=0.3.36", "0.3.36", True),
        ("llama-cpp-python=0.3.36", "0.3.35", False),
        ("llama-cpp-python<0.1", "unknown", True),
    ],
)
def test_revoked_engines(rule: str, version: str, revoked: bool) -> None:
    read = parsed(put("revoked", "engines", [rule]))
    if revoked:
        assert code_of(lambda: read.check_engine("llama-cpp-python", version)) == "engine_revoked"
    else:
        read.check_engine("llama-cpp-python", version)
    read.check_engine("another-engine", "0.0.1")


def test_models_must_be_listed_at_a_site_and_need_not_in_a_lab() -> None:
    site = parsed()
    assert site.model_rule("any", "cd" * 32).require == {"oms", "approval"}
    assert site.model_rule("free", "cd" * 32).require == {"oms"}
    assert site.model_rule("pinned", "ab" * 32).root_digest == "ab" * 32
    assert code_of(lambda: site.model_rule("pinned", "cd" * 32)) == "model_not_in_policy"
    assert code_of(lambda: site.model_rule("other", "cd" * 32)) == "model_not_in_policy"
    assert code_of(lambda: parsed(models()).model_rule("x", "cd" * 32)) == "model_not_in_policy"

    lab = parsed(lambda d: d.update(profile="lab", models=[]))
    assert lab.model_rule("x", "cd" * 32).require == {"oms", "approval"}
    listed = parsed(lambda d: d.update(profile="lab"))
    assert code_of(lambda: listed.model_rule("x", "cd" * 32)) == "model_not_in_policy"


def test_a_pinned_template() -> None:
    read = parsed()
    rule = read.model_rule("pinned", "ab" * 32)
    read.check_template(rule, "T")
    read.check_template(read.model_rule("any", "ab" * 32), "anything")
    assert code_of(lambda: read.check_template(rule, "T ")) == "template_not_in_policy"
    assert code_of(lambda: read.check_template(rule, None)) == "template_not_in_policy"


def test_approvals_count_people_not_signatures() -> None:
    read = parsed()
    read.check_approvals(["Alice", "Bob"])
    assert code_of(lambda: read.check_approvals([])) == "not_approved"
    assert code_of(lambda: read.check_approvals(["Alice", "Alice"])) == "not_approved"


def test_the_publisher_approves_only_where_roles_need_not_differ() -> None:
    publisher = parsed().publisher(hint(PUBLISHER))
    alice = parsed().keys[hint(ALICE)]
    assert parsed().may_approve(alice, publisher)
    assert not parsed().may_approve(publisher, publisher)
    certified = replace(alice, person="Paula, as a certificate names her")
    assert not parsed().may_approve(alice, certified)  # one key is one person
    assert parsed(role("approver", "distinct_from", [])).may_approve(publisher, publisher)


def test_who_may_approve() -> None:
    assert parsed().approvers() == ["Alice", "Bob"]
    assert parsed().approvers(parsed().keys[hint(ALICE)]) == ["Bob"]
    assert parsed(put("revoked", "keys", [hint(BOB)])).approvers() == ["Alice"]


def test_the_lowest_version() -> None:
    read = parsed(models({"id": "a", "min_version": 4}, {"id": "b"}))
    rule = read.models["a"]
    read.check_version(rule, 4)
    read.check_version(rule, 5)
    for stated in (3, None):
        assert code_of(lambda stated=stated: read.check_version(rule, stated)) == (  # type: ignore[misc]
            "model_version_refused"
        )
    read.check_version(read.models["b"], None)


def test_adapters_must_be_listed_with_their_base_at_a_site() -> None:
    read = parsed(models({"id": "a", "adapters": ["ab" * 32], "root_digest": "ee" * 32}))
    assert read.adapter_rule("a", "ab" * 32).require == {"oms", "approval"}
    assert code_of(lambda: read.adapter_rule("a", "cd" * 32)) == "adapter_not_in_policy"
    assert code_of(lambda: read.adapter_rule("b", "ab" * 32)) == "model_not_in_policy"
    none = parsed(models({"id": "a"}))
    assert code_of(lambda: none.adapter_rule("a", "ab" * 32)) == "adapter_not_in_policy"
