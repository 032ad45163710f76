"""`tune`: train an adapter for a task, and prove that it serves as it was trained.

Rules: a tuning is a job of the server, so it continues when the command is left; its cost is said
first; private keys stay in this process.
"""

from pathlib import Path
from typing import Any, Final

import click

from appliance.cli.artifact import signed_directory
from appliance.cli.connect import admin_client, connected
from appliance.cli.eval import place
from appliance.cli.job import run_job, wait_option, watched
from appliance.cli.output import (
    READ_THERE,
    Decorated,
    Output,
    directory_option,
    prints_of_dataset,
    safe,
    table,
)
from appliance.cli.signing import key_option
from appliance.cli.tune_offer import KIND, offer, tuning_of
from appliance.cli.tune_runs import compare, list_, losses, report
from appliance.cli.tune_teach import teach
from appliance.client import AdminClient
from appliance.text import many, percent, within
from appliance.trust.bytes import ecdsa
from appliance.tuning.forgetting import MOST
from appliance.tuning.report import next_commands
from appliance.types import JsonValue
from appliance.wire.admin.jobs import JOB_RESUME, Job, far
from appliance.wire.admin.results import AdapterTuned, FieldRight, TunedCandidate, TuningPlanned
from appliance.wire.admin.tunings import TUNING_LOSSES, Losses

_SHOWN: Final = 12


def _given(command: Decorated) -> Decorated:
    options = (
        click.argument("task", metavar="TASK_DIR", type=READ_THERE),
        click.option("--data", "dataset", metavar="DATASET", callback=place, required=True,
                     help="The dataset: its id, or its directory."),
        click.option("--base", default="", metavar="ID",
                     help="A model of the store; by default the task's."),
        click.option("--method", default="lora", show_default=True,
                     help="lora; others are refused with the reason."),
        click.option("--limit", type=click.IntRange(0), default=0,
                     help="The first so many items of train; 0 for all."),
        click.option("--dev", type=click.IntRange(1), default=200, show_default=True,
                     help="Most items of dev, which choose and prove."),
        click.option("--seeds", type=click.IntRange(1, 16), default=1, show_default=True,
                     help="Runs with a seed each. The best on dev is kept."),
        click.option("--most-forgotten", type=click.FloatRange(0, min_open=True), default=MOST,
                     show_default=True, metavar="NATS",
                     help="Maximum loss increase on unrelated text. In nats per token."),
        click.option("--set", "chosen", metavar="NAME=VALUE", multiple=True,
                     help="A setting, such as rank=16. Others: rate=0.001, epochs=2, tokens=768."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def tune() -> None:
    """Train adapters on this machine."""


@tune.command()
@_given
@connected(directory_option, needs_server=True)
def plan(output: Output, client: AdminClient, /, **given: Any) -> None:
    """Estimate what a tuning takes.

    Memory and time; nothing is trained.
    """
    _tell(output, run_job(output, client, KIND, {**_params(given), "plan": True}))


@tune.command()
@_given
@click.option(
    "--curve", is_flag=True, help="Train on 25 and 50 % of the rows, too. Would more of them help?"
)
@key_option("Sign the adapter with this private key.", required=False)
@wait_option
@prints_of_dataset
def run(
    output: Output,
    /,
    data: Path,
    key: ecdsa.SigningKey | None,
    wait: bool,
    curve: bool,
    **given: Any,
) -> None:
    """Train an adapter; prove that it serves.

    It serves as it was trained.
    """
    if key is not None and not wait:
        raise click.UsageError("--key needs --wait: what is signed must be there.")
    with admin_client(data, needs_server=True) as client:
        params = {**_params(given), "curve": curve}
        found = run_job(output, client, KIND, params, wait=wait)
    made, digest = found.came_to(AdapterTuned), ""
    if key is not None and made is not None:
        digest = signed_directory(Path(made.adapter), key).root
    _tell(output, found, digest=digest)


@tune.command()
@click.argument("job_id", metavar="ID", type=click.IntRange(1))
@connected(needs_server=True)
def resume(output: Output, client: AdminClient, job_id: int) -> None:
    """Continue a tuning at its last checkpoint."""
    tuning_of(client, job_id)
    client.call(JOB_RESUME, job_id=job_id)
    _tell(output, watched(client, job_id))


@tune.command()
@click.argument("job_id", metavar="ID", type=click.IntRange(1))
@connected()
def show(output: Output, client: AdminClient, job_id: int) -> None:
    """Show a tuning's quality and progress.

    Checks and losses on dev, too.
    """
    found = tuning_of(client, job_id)
    runs = client.call(TUNING_LOSSES, job_id=job_id) if not found.result else None
    _tell(output, found, runs, exits=False)


def _params(given: dict[str, Any]) -> dict[str, JsonValue]:
    settings: dict[str, JsonValue] = {"method": given["method"]}
    for pair in given["chosen"]:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes NAME=VALUE, not {pair!r}.")
        settings[name] = _plain(value)
    names = ("task", "base", "limit", "dev", "seeds", "most_forgotten")
    return {**{name: given[name] for name in names}, "data": given["dataset"], "settings": settings}


def _plain(value: str) -> Any:
    """The server checks names and ranges."""
    if value in ("true", "false"):
        return value == "true"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _tell(
    output: Output,
    found: Job,
    runs: Losses | None = None,
    *,
    exits: bool = True,
    digest: str = "",
) -> None:
    result = found.result
    if result is None:
        lines = [f"tuning {found.id}: {found.state} {safe(found.code or '')}".rstrip()]
        lines += [safe(text) for text in (found.message, found.hint) if text]
        if found.progress.phase:
            lines.append(safe(far(found.progress)))
        told: dict[str, JsonValue] = {"id": found.id, "state": found.state, "code": found.code}
        if runs is not None:
            lines += losses(runs)
            told |= runs.model_dump()
        output.data(told, lines)
        output.require(not exits)
        return
    signed = {"digest": digest} if digest else {}
    document = {"id": found.id, "state": found.state, **found.told, **signed}
    if isinstance(result, AdapterTuned):
        output.data(document, _trained(result))
        for command in _next(found.id, result, signed=bool(digest)):
            output.note(f"  {command}")
    else:
        output.data(document, _planned(result) if isinstance(result, TuningPlanned) else [])


def _next(number: int, result: AdapterTuned, *, signed: bool) -> list[str]:
    """The commands to a task that the gate can judge, and the page."""
    names = (safe(result.adapter), safe(result.base.id), safe(result.task.id))
    commands = next_commands(number, *names, signed=signed)
    return [*commands, f"appliance tune report {number} --out report.html"]


def _planned(result: TuningPlanned) -> list[str]:
    minutes = result.seconds / 60
    return [
        f"{many(result.rows, 'row')} of at most {many(result.longest, 'token')}, "
        f"{result.dev} of dev",
        f"{result.steps} steps, {result.tokens} tokens, at most {minutes:.1f} minutes as "
        "busy as the machine is now",
        f"memory: {safe(result.memory)}",
    ]


def _trained(result: AdapterTuned) -> list[str]:
    dev, checks = result.dev, result.checks
    lines = [safe(result.answer)] if result.answer else []
    lines += [
        f"{safe(dev.metric)} on dev as it serves: {dev.value:.3f} ({within(dev.interval)}), "
        f"{many(dev.groups, 'group')}",
        f"served as trained: {checks.nll_served:.4f} nats a token against "
        f"{checks.nll_trained:.4f}; {percent(checks.stop_token)} of answers end by themselves",
        f"{result.seconds:.0f} s, {result.peak_mib} MiB at the peak",
    ]
    head = ("SEED", "STEP", "LOSS", "DEV")
    measured = [
        (str(seed.seed), str(point.step), f"{point.loss:.3f}", f"{point.dev:.4f}")
        for seed in result.seeds
        for point in seed.losses
        if point.dev is not None
    ]
    lines += table(head, measured[-_SHOWN:])
    if result.curve:
        points = [
            (percent(p.share), str(p.rows), f"{p.metric:.3f}", within(p.interval))
            for p in result.curve
        ]
        lines += table(("SHARE", "ROWS", "METRIC", "INTERVAL"), points)
        lines.append(f"more data would help: {safe(result.more_data_helps)}")
    rows = [_candidate(one, result.best) for one in result.candidates]
    lines += table(("ON DEV", "METRIC", "INTERVAL", "AGAINST THE FIRST", ""), rows)
    if result.fields:
        fields = [_field(one) for one in result.fields]
        lines += table(
            ("FIELD", "RIGHT", "INTERVAL", "WHERE STATED", "INTERVAL", "UNTUNED"), fields
        )
    return [*lines, f"adapter: {safe(result.adapter)}"]


def _candidate(one: TunedCandidate, best: str) -> tuple[str, ...]:
    name = one.kind + ("" if one.weight is None else f", weight {one.weight:.2f}")
    against = ""
    if one.paired:
        least, most = one.difference_interval
        against = f"{one.difference:+.3f} ({least:+.3f} to {most:+.3f})"
    chosen = "best" if one.kind == best else ""
    return name, f"{one.value:.3f}", within(one.interval), against, chosen


def _field(one: FieldRight) -> tuple[str, ...]:
    row = [safe(one.field), f"{one.value:.3f}", within(one.interval)]
    if one.stated_value is not None and one.stated_interval is not None:
        row += [f"{one.stated_value:.3f} of {one.stated}", within(one.stated_interval)]
    else:
        row += ["", ""]
    return (*row, "" if one.untuned is None else f"{one.untuned:.3f}")


for _command in (offer, list_, compare, report, teach):
    tune.add_command(_command)
