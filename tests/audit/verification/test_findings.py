"""Findings are bounded in what is kept and complete in what is counted."""

from appliance.audit.verification.findings import MAX_FINDINGS, Findings


def test_all_are_counted_and_some_are_kept() -> None:
    findings = Findings()
    for seq in range(MAX_FINDINGS + 5):
        findings.add(seq, "leaf_mismatch", "x")
    assert (findings.count, len(findings.kept)) == (MAX_FINDINGS + 5, MAX_FINDINGS)
    assert not findings.tree


def test_a_finding_of_an_entry_explains_later_roots() -> None:
    findings = Findings()
    findings.entry(3, "entry_missing", "x")
    assert findings.tree
    assert list(findings.recent) == [3]
