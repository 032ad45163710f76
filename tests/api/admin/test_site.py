"""The peers over the admin socket."""

from pathlib import Path

from appliance.app import open_services
from appliance.config import Config, PeerConfig
from appliance.wire.admin.site import SITE, SITE_KEYS
from tests.api.admin.lab import client_of, make_lab


def test_a_peer_that_was_never_met(tmp_path: Path) -> None:
    data = make_lab(tmp_path).data
    with open_services(data) as services, client_of(services) as client:
        keys = client.call(SITE_KEYS)
    config = Config(peers={"b": PeerConfig("http://127.0.0.1:9", keys.log_key, keys.witness_key)})
    with open_services(data, config=config) as services, client_of(services) as client:
        (peer,) = services.ring._peers
        peer.ask()
        (one,) = client.call(SITE).peers
        assert (one.name, one.cosigned, one.cosigned_at, one.seen_at) == ("b", 0, None, None)
        assert "refused" in one.problem.lower()
