"""`appliance selftest`."""

from tests.cli.conftest import Run


def test_for_a_person_and_for_a_script(run: Run) -> None:
    plain = run("selftest")
    assert plain.status == 0
    assert "no approved model writes text" in plain.out
    document = run("selftest", "--release", "1.0", "--json").document
    assert document["ok"] is True and document["token"] is None
