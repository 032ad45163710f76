"""`appliance metrics`: the charts of the operator's screens as numbers."""

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import open_services
from appliance.cli.metrics import lines, rates
from appliance.client import socket_path
from appliance.wire.admin.usage import CurrentLoad, Gpu, Rates
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run
from tui.rates import RatePoint


def test_it_takes_a_server(run: Run) -> None:
    assert run("metrics", "--json").code == (3, "server_required")


def test_two_looks_at_a_running_server_make_rates(lab: LabData, run: Run) -> None:
    path = socket_path(lab.data)
    with open_services(lab.data) as services, serve_in_thread(create_admin_app(services), path):
        found = Rates.model_validate(run("metrics", "--seconds", "0.1", "--json").document)
        said = run("metrics", "--seconds", "0.1").out
    assert found.tokens_per_second == 0 and found.ttft_p50 is None and found.memory > 0
    assert "0 running, 0 waiting" in said and "p50 -" in said


def test_every_chart_of_the_screens_is_there() -> None:
    point = RatePoint(
        tokens=70.126, queued=2, running=3, kv=0.31, host_cpu=0.5, own_cpu=0.25, ttft_p50=0.1,
        ttft_p95=0.4,
    )  # fmt: skip
    gpu = Gpu(name="\x1b[31mcard", memory=8 << 30, memory_used=1 << 30, busy_percent=7)
    load = CurrentLoad(at=1, server="s", memory=32 << 30, memory_available=21 << 30, gpus=[gpu])
    said = "\n".join(lines(rates(point, load, 2)))
    for words in (
        "70.1 a second", "3 running, 2 waiting", "KV use       31 %", "p50 100 ms, p95 400 ms",
        "own 25 %, host 50 %", "7 % busy",
    ):  # fmt: skip
        assert words in said, words
    assert "\x1b" not in said
