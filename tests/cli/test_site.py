"""`appliance site`: the keys that a peer needs, and the peers."""

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.cosignature import witness_key
from tests.cli.conftest import Run


def test_the_keys_are_lines_for_the_configuration(run: Run) -> None:
    log, witness = run("site", "key").out.splitlines()
    assert log.startswith('log_key = "') and witness.startswith('witness_key = "')
    shown = run("site", "key", "--json").document
    name = VerifierKey.parse(shown["log_key"].encode()).name
    assert witness_key(shown["witness_key"].encode()).name == f"{name}/witness"


def test_peers_are_asked_of_the_server(run: Run) -> None:
    assert run("site", "status").status == 3
