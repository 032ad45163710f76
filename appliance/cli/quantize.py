"""`quantize`: the smallest file of a model that is not worse on the data of a task.

Rules: it is a job of the server, so it continues when the command is left; nothing is signed here.
"""

from typing import Any, Final

import click

from appliance.cli.connect import connected
from appliance.cli.job import result_of, run_job
from appliance.cli.output import READ_THERE, Output, dataset_option, directory_option, safe, table
from appliance.client import AdminClient
from appliance.text import many
from appliance.wire.admin.results import MatrixMade, ModelQuantized, TypeMeasured

KIND: Final = "quantize"


@click.command()
@click.argument("model")
@click.option("--to", "types", metavar="TYPE,…", required=True, help="Such as Q8_0,Q4_K_M,Q4_0.")
@click.option(
    "--task", metavar="TASK_DIR", type=READ_THERE, required=True, help="The task that it is for."
)
@dataset_option("Directory of the dataset; dev is answered.")
@click.option(
    "--dev", type=click.IntRange(1), default=200, show_default=True, help="Most items of dev."
)
@click.option(
    "--most-kld",
    type=click.FloatRange(0, min_open=True),
    default=0.1,
    show_default=True,
    help="Most divergence from the source. In nats a token.",
)
@click.option(
    "--importance/--no-importance",
    default=True,
    show_default=True,
    help="Weigh weights by what train uses. Where there are rows of train.",
)
@connected(directory_option, needs_server=True)
def quantize(
    output: Output, client: AdminClient, /, model: str, types: str, dataset: str, **given: Any
) -> None:
    """Make smaller files of a model.

    The smallest that is not worse is kept.
    """
    to = [name.strip() for name in types.split(",") if name.strip()]
    params = {"model": model, "to": to, "data": dataset, **given}
    found = run_job(output, client, KIND, params)
    result = result_of(output, found, ModelQuantized)
    output.data({"id": found.id, "state": found.state, **result.document}, told(result))
    output.require(bool(result.recommended))
    output.note(f"  appliance artifact sign {safe(result.directory)} --key KEY")


def told(result: ModelQuantized) -> list[str]:
    """The table, and its conclusion."""
    head = (
        "TYPE", "MIB", "TOKENS/S", "KLD", "WITHOUT", "SAME TOP", "FLIPS", "METRIC", "DIFFERENCE",
        "VERDICT",
    )  # fmt: skip
    rows = []
    for row in result.rows:
        low, high = row.interval
        rows.append((
            safe(row.type), f"{row.mib:.1f}", f"{row.tokens_s:.0f}",
            f"{row.kld:.4f}" if row.rank else "noise", _without(row),
            f"{100 * row.same_top:.1f} %", f"{100 * row.flips:.1f} %", f"{row.metric:.3f}",
            f"{row.difference:+.3f} ({low:+.3f} to {high:+.3f})", row.verdict,
        ))  # fmt: skip
    lines = [*table(head, rows), _matrix(result.importance_matrix)]
    why = [row for row in result.rows if row.reason]
    lines += [f"{safe(row.type)}: {safe(row.reason)}" for row in why]
    best = result.recommended
    lines.append(f"recommended: {safe(best)}" if best else "none of them passes: keep the source")
    if result.adapters:
        named = ", ".join(map(safe, result.adapters))
        lines.append(f"adapters of the source fit no other file; tune and gate again: {named}")
    return lines


def _without(row: TypeMeasured) -> str:
    """The divergence of the same type without the importance matrix."""
    return "-" if row.kld_plain is None else f"{row.kld_plain:.4f}"


def _matrix(matrix: MatrixMade | None) -> str:
    if matrix is None:
        return "no importance matrix"
    rows, tokens = matrix.rows, matrix.tokens
    return f"importance matrix: {many(tokens, 'token')} of {many(rows, 'row')} of train"
