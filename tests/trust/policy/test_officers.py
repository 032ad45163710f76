"""The officers whose keys open a site's backups."""

from pathlib import Path

from appliance.trust.bytes import ecdsa
from appliance.trust.policy import metadata, officers, trusted_file
from tests.trust.simulator import NOW, Simulator


def test_they_are_the_holders_of_the_newest_root(tmp_path: Path) -> None:
    assert officers.keys(tmp_path) == ()  # a lab
    sim = Simulator()
    begun = metadata.begin(sim.roots[0], sim.fingerprint)
    trusted_file.save(tmp_path, metadata.advance(begun, sim.publish(), NOW).held)
    mine = {ecdsa.hint(key) for key in officers.keys(tmp_path)}
    pems = (s.public_key.keyval["public"] for s in sim.keys["root"])
    assert mine == {ecdsa.hint(ecdsa.load_public(str(pem).encode())) for pem in pems}
    assert len(mine) == 3
