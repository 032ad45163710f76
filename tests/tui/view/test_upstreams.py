"""Hosts in words."""

from appliance.wire.admin.upstreams import HostOf, hosts_of
from tests.tui.staging import UPSTREAMS
from tui.text import cell
from tui.view import upstreams as view


def plain(parts: object) -> str:
    return "\n".join(part.plain for part in parts)  # type: ignore[attr-defined]


def shown(one: HostOf) -> str:
    return " ".join(cell(part).plain for part in view.row(one))


def test_one_row_for_each_host_and_for_what_cannot_be_used() -> None:
    ready, suspect, broken = hosts_of(UPSTREAMS)
    assert shown(ready) == "large https://gpu-1.example:8443 + ready 7 12 s ago -"
    assert "! suspect 2 31 s ago a value is 0.118 away" in shown(suspect)
    assert "! broken" in shown(broken) and "No such file" in shown(broken)
    assert len({one.key for one in (ready, suspect, broken)}) == 3
    told = view.summary(UPSTREAMS, 3).plain.strip()
    assert told == "2 upstreams, 2 hosts, 2 asked"
    assert "1 shown" in view.summary(UPSTREAMS, 1).plain


def test_the_details_of_a_host() -> None:
    ready, suspect, broken = (plain(view.detail(one, 100)) for one in hosts_of(UPSTREAMS))
    for words in ("vllm, model qwen3-32b there", "anna, ben", "cd" * 32, "12 s ago"):
        assert words in ready
    assert "approved" in suspect and "nobody" in suspect and "0.118" in suspect
    assert "site-ca.pem" in broken and "approved" not in broken


def test_a_host_that_was_never_probed() -> None:
    host = UPSTREAMS[0].hosts[0].model_copy(update={"probed_seconds": None, "record": None})
    one = HostOf(UPSTREAMS[0], host)
    assert "never" in shown(one) and "record" not in plain(view.detail(one, 80))
