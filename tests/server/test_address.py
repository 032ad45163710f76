"""Keeping the address of the LAN listener in `appliance.toml`."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import load_config
from appliance.errors import UsageError
from appliance.server.address import keep

FILES = {
    "as init writes it": '# docs\n\n[server]\nhost = "127.0.0.1"\nport = 8080\n',
    "with a comment behind": '[server]\nport = 80 # our port\nhost = "localhost"\n[audit]\n',
    "without the line": "[server]\n[audit]\nkeep_days = 400\n",
    "without the table": "[audit]\nkeep_days = 400",
    "empty": "",
    "the same word elsewhere": "[models.m]\n# port = 1\nautoload = false\n[ server ]\n  port=1\n",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_host_and_port_are_kept_and_all_else_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text(text)
    path.chmod(0o640)
    before = load_config(tmp_path)
    keep(tmp_path, None, 8181)
    assert load_config(tmp_path).server.port == 8181
    assert load_config(tmp_path).server.host == before.server.host
    keep(tmp_path, "::1", 8282)
    after = load_config(tmp_path)
    assert (after.server.host, after.server.port) == ("::1", 8282)
    assert after.url() == "http://[::1]:8282"
    assert (after.audit, after.models) == (before.audit, before.models)
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    assert all(comment in path.read_text() for comment in comments)
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["appliance.toml"]


@given(st.integers(1, 65_535), st.integers(1, 65_535))
def test_the_last_port_counts(tmp_path_factory: pytest.TempPathFactory, a: int, b: int) -> None:
    data = tmp_path_factory.mktemp("data")
    (data / "appliance.toml").write_text("[server]\nport = 8080\n")
    keep(data, None, a)
    keep(data, None, b)
    assert (data / "appliance.toml").read_text() == f"[server]\nport = {b}\n"


@pytest.mark.parametrize(
    "text",
    ["server = {port = 1}\n", "server.port = 1\n", '[server]\nlog = """text\nport = 9\n"""\n'],
)
def test_what_it_cannot_change_stays_and_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        keep(tmp_path, None, 8181)
    assert (caught.value.code, caught.value.param) == ("config_invalid", "server")
    assert path.read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == ["appliance.toml"]
