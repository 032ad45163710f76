"""Two servers over TLS: a key made at one is taken by the other, and ends there, too."""

import signal
from pathlib import Path

import pytest

from tests.peers.site_servers import servers, until


@pytest.mark.long
def test_a_key_made_once_is_taken_and_refused_by_both(tmp_path: Path) -> None:
    with servers(tmp_path, "ab", stale_seconds=5, refuse_stale=True) as found:
        a, b = found["a"], found["b"]
        made = a.command("key", "new", "crm", "--any-model")
        until(lambda: a.admits(made["secret"]) and b.admits(made["secret"]))
        told = b.command("site", "status")
        assert (told["member"], told["stale"], told["refused"]) == ("b", False, [])
        b.command("key", "revoke", made["id"])
        until(lambda: not a.admits(made["secret"]))
        other = b.command("key", "new", "erp", "--any-model")
        until(lambda: a.admits(other["secret"]))
        b.end(signal.SIGKILL)
        until(lambda: not a.admits(other["secret"]))  # it hears nobody, and the policy has it wait
        assert a.command("site", "status")["stale"]
        b.start()
        until(lambda: a.admits(other["secret"]) and b.admits(other["secret"]))
        stick = tmp_path / "site.json"
        assert a.command("site", "export", str(stick))["documents"] == 2
        assert b.command("site", "import", str(stick)) == {"new": 0, "refused": []}
