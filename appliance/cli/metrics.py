"""`metrics`: what the charts of the operator's screens draw, as numbers.

Rules: rates are differences of counters over the server's own time, so they take two looks.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import click

from appliance.cli.connect import admin_client
from appliance.cli.output import Output, prints, safe, size
from appliance.text import percent
from appliance.wire.admin.usage import LOAD, CurrentLoad, Rates
from tui.rates import History, RatePoint


@click.command()
@click.option(
    "--seconds",
    metavar="N",
    type=click.FloatRange(0.1, 3_600),
    default=2.0,
    help="Between the two looks; by default 2.",
)
@prints
def metrics(output: Output, data: Path, seconds: float) -> None:
    """Measure tokens, queue, memory and time.

    KV use, the time to the first token and processors, too.
    """
    history = History()
    with admin_client(data, needs_server=True) as client:
        history.add(client.call(LOAD))
        while history.newest is None:  # again, if the server was restarted
            time.sleep(seconds)
            history.add(client.call(LOAD))
    if history.load is not None:
        found = rates(history.newest, history.load, seconds)
        output.data(found, lines(found))


def rates(point: RatePoint, load: CurrentLoad, seconds: float) -> Rates:
    """The rates, as `--json` prints them."""
    return Rates.told_by(
        load,
        seconds=seconds,
        tokens_per_second=round(point.tokens, 2),
        running=point.running,
        queued=point.queued,
        kv_use=round(point.kv, 4),
        ttft_p50=point.ttft_p50,
        ttft_p95=point.ttft_p95,
        own_cpu=round(point.own_cpu, 4),
        host_cpu=round(point.host_cpu, 4),
    )


def lines(found: Rates) -> Iterator[str]:
    """The same for a person."""
    yield f"tokens       {found.tokens_per_second:.1f} a second"
    yield f"requests     {found.running} running, {found.queued} waiting"
    yield f"KV use       {percent(found.kv_use)}"
    yield f"first token  p50 {_latency(found.ttft_p50)}, p95 {_latency(found.ttft_p95)}"
    yield f"CPU          own {percent(found.own_cpu)}, host {percent(found.host_cpu)}"
    yield f"memory       {size(found.memory_available)} of {size(found.memory)} free"
    for gpu in found.gpus:
        busy = "" if gpu.busy_percent is None else f", {gpu.busy_percent} % busy"
        yield f"GPU          {safe(gpu.name)}: {size(gpu.memory_used)} of {size(gpu.memory)}{busy}"


def _latency(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1_000:.0f} ms"
