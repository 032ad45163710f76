"""`appliance site`: the keys that a peer needs, and the peers."""

from pathlib import Path

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.cosignature import witness_key
from appliance.trust.policy.members import requested
from tests.cli.conftest import Run


def test_the_keys_are_lines_for_the_configuration(run: Run) -> None:
    log, witness = run("site", "key").out.splitlines()
    assert log.startswith('log_key = "') and witness.startswith('witness_key = "')
    shown = run("site", "key", "--json").document
    name = VerifierKey.parse(shown["log_key"].encode()).name
    assert witness_key(shown["witness_key"].encode()).name == f"{name}/witness"


def test_peers_are_asked_of_the_server(run: Run) -> None:
    assert run("site", "status").status == 3


def test_a_request_to_be_listed_is_signed_and_recorded(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "north.site"
    done = run("site", "join", "north", "--out", out, "--json")
    member = requested(out.read_bytes())
    assert member.name == "north" and done.document["key"] == member.hint
    assert member.log_key == run("site", "key", "--json").document["log_key"]
    assert run("audit", "search", "--json", "--kind", "admin").out.count("site_join") == 1
    assert run("site", "join", "north", "--out", out, "--json").code == (2, "data_exists")
    other = tmp_path / "other.site"
    assert run("site", "join", " north", "--out", other, "--json").code == (1, "site_request")
    assert run("site", "join", "n", "--out", other, "--pin", "--json").code == (
        1, "certificate_unusable",
    )  # fmt: skip
    assert not other.exists()


def test_one_appliance_alone_has_no_documents(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "site.json"
    assert run("site", "export", out, "--json").code == (1, "site_alone")
    out.write_text("{}")
    assert run("site", "import", out, "--json").code == (1, "travelling_malformed")
