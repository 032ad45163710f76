"""`appliance request …`; a server's answers: tests/api/admin/test_requests.py."""

from tests.cli.conftest import Run


def test_looking_at_requests_takes_a_server(run: Run) -> None:
    for arguments in (["list"], ["cancel", "req-1"]):
        assert run("request", *arguments, "--json").code == (3, "server_required")
