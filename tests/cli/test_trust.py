"""`appliance trust show`."""

from tests.cli.conftest import Run


def test_the_policy_for_a_person_and_for_a_script(run: Run) -> None:
    plain = run("trust", "show").out
    assert "version 1, LAB" in plain
    assert plain.count("[+] valid") == 3
    document = run("trust", "show", "--json").document
    assert document["roles"]["approver"]["threshold"] == 2
    assert [h["person"] for h in document["roles"]["publisher"]["holders"]] == ["publisher"]
