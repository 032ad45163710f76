"""The receivers of the log over the admin socket."""

from pathlib import Path

from appliance.app import open_services
from appliance.config import Config, ForwardConfig
from appliance.wire.admin.receivers import RECEIVERS
from tests.api.admin.lab import client_of, make_lab


def test_each_receiver_and_what_it_lacks(tmp_path: Path) -> None:
    data = make_lab(tmp_path).data
    config = Config(forward={"siem": ForwardConfig(to="tcp://127.0.0.1:9")})
    with open_services(data, config=config) as services, client_of(services) as client:
        (one,) = client.call(RECEIVERS).receivers
        assert (one.name, one.to, one.next) == ("siem", "tcp://127.0.0.1:9", 0)
        assert one.behind == services.reader.size and one.oldest is not None
