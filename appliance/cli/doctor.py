"""`doctor`: host facts and every problem found, in one report.

Rules: it needs no server, changes nothing and does not stop at the first problem; exit 1 when
there is one.
"""

import contextlib
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from appliance.api.admin.roles import role_table
from appliance.audit.reader import LogReader
from appliance.cli.connect import server_answers
from appliance.cli.gpu import GpuReport, gpu_report
from appliance.cli.output import Output, data_option, json_option, safe, size, state
from appliance.client import AdminClient, socket_path
from appliance.clock import SystemClock
from appliance.config import Config, load_config
from appliance.db import OLDEST_SQLITE, open_readonly
from appliance.errors import ApplianceError, Refused, StateRefused
from appliance.governance.trust_updates import TrustState
from appliance.host import hardware
from appliance.trust.intake import missing
from appliance.trust.records import Records
from appliance.trust.store import load_policy
from appliance.workers.cpu_variants import best_variant, library_directory
from appliance.workers.gpu_devices import driver_missing

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@click.command()
@data_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, data: Path) -> None:
    """Report on the host, the data directory and everything that is wrong with them."""
    output = ctx.ensure_object(Output)
    facts = hardware.host_facts(data)
    gpu = gpu_report()
    problems = list(find_problems(data, facts, gpu))
    library = None
    try:
        library = str(best_variant(library_directory()))
    except StateRefused as error:
        problems.append(error)
    url, served = _address(data)
    document: dict[str, Any] = {
        "ok": not problems,
        "data": str(data),
        "url": url,
        "serving": served,
        "host": {**asdict(facts), "cpu_flags": sorted(facts.cpu_flags)},
        "processor_backend": library,
        "gpu": gpu.document(),
        "problems": [
            {"code": problem.code, "message": problem.message, "hint": problem.hint}
            for problem in problems
        ],
    }
    output.data(document, _lines(data, facts, problems, gpu, library, url, served))
    if problems:
        ctx.exit(1)


def find_problems(
    data: Path, facts: hardware.HostFacts, gpu: GpuReport | None = None
) -> Iterator[ApplianceError]:
    """Everything that is wrong with the host and the data directory."""
    for text in hardware.problems(facts):
        yield Refused("host_unsuitable", text)
    try:
        config = load_config(data)
    except ApplianceError as error:
        yield error
        return
    yield from _configured(config, facts)
    yield from _open_to_others(data)
    models = (config.model("default"), *config.models.values())
    if gpu and any(model.device != "cpu" for model in models):
        yield from gpu.problems
    if gpu and not gpu.driver and any(model.device == "cuda" for model in models):
        yield driver_missing()
    checks: tuple[Callable[[], object], ...] = (
        lambda: load_policy(data / "trust"),
        lambda: _check_freshness(data),
        lambda: _check_database(data / "appliance.db"),
        lambda: _check_models(data),
        lambda: server_answers(data),
    )
    for check in checks:
        try:
            check()
        except ApplianceError as error:
            yield error


def _address(data: Path) -> tuple[str, bool]:
    """Where the server listens, or would; and whether one answers."""
    with contextlib.suppress(ApplianceError):
        if server_answers(data):
            with AdminClient(socket_path(data)) as client:
                return client.status().url, True
    with contextlib.suppress(ApplianceError):
        return load_config(data).url(), False
    return "", False


def _configured(config: Config, facts: hardware.HostFacts) -> Iterator[ApplianceError]:
    for name in role_table(config.roles).unresolved:
        yield Refused("role_name_unknown", f"[admin.roles] names {name!r}.")
    reserve = config.audit.reserve_mib << 20
    if facts.disk_free < reserve:
        yield Refused(
            "insufficient_disk",
            f"{size(facts.disk_free)} of disk are free; below {size(reserve)} the audit log"
            " takes no new requests.",
        )
    budget = config.engine.memory_mib << 20
    if budget > facts.memory:
        yield Refused(
            "insufficient_memory",
            f"engine.memory_mib is {size(budget)}; the host has {size(facts.memory)}.",
        )


def _open_to_others(data: Path) -> Iterator[ApplianceError]:
    """Private files that more than their owner may use."""
    private = [data / "audit" / "signing.pem", data / "audit" / "kek", data / "appliance.db"]
    for path in [*private, *sorted((data / "keys").rglob("*.pem"))]:
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Refused("file_unusable", f"{path}: {error.strerror}.")
            continue
        if mode & _OTHERS:
            yield Refused("file_too_open", f"{path} has mode {stat.S_IMODE(mode):04o}, not 0600.")


def _check_freshness(data: Path) -> None:
    """Metadata that is expired, or a clock that is behind what was recorded."""
    reader = LogReader(data / "audit")
    try:
        state = TrustState(data / "trust", reader, SystemClock())
        fresh = state.freshness()
        fresh.check_serve()
        fresh.check_change()
        if alarms := fresh.alarms():
            raise Refused("trust_expires_soon", " ".join(alarms))
    finally:
        reader.close()


def _check_database(path: Path) -> None:
    engine = open_readonly(path)
    try:
        with engine.connect() as connection:
            version = str(connection.exec_driver_sql("SELECT sqlite_version()").scalar_one())
            verdict = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
    except SQLAlchemyError as error:
        raise Refused("database_unusable", f"{path} cannot be read: {error}.") from error
    finally:
        engine.dispose()
    if tuple(map(int, version.split("."))) < OLDEST_SQLITE:
        raise Refused("database_unusable", f"SQLite {version} is too old.")
    if verdict != "ok":
        raise Refused("database_unusable", f"{path}: {verdict}.")


def _check_models(data: Path) -> None:
    """Models whose files are not on this host, as after a restore without models."""
    engine = open_readonly(data / "appliance.db")
    try:
        gone = [
            f"{record.id} ({record.digest})"
            for record in Records(engine).all()
            if missing(data / "models", record)
        ]
    except SQLAlchemyError:
        return  # the check before says so
    finally:
        engine.dispose()
    if gone:
        raise Refused("model_missing", f"No files on this host: {', '.join(gone)}.")


def _lines(
    data: Path,
    facts: hardware.HostFacts,
    problems: list[ApplianceError],
    gpu: GpuReport,
    library: str | None,
    url: str,
    served: bool,
) -> Iterator[str]:
    yield f"host      {safe(facts.name)}"
    yield f"data      {safe(str(data))}"
    if url:
        yield f"server    {'listens on' if served else 'will listen on'} {safe(url)}"
    yield f"cpu       {safe(facts.cpu)}, {facts.cores} cores, {facts.architecture}"
    if library:
        yield f"          backend {safe(library)}"
    yield f"memory    {size(facts.memory_available)} free of {size(facts.memory)}"
    yield f"disk      {size(facts.disk_free)} free of {size(facts.disk_total)}"
    yield f"kernel    {safe(facts.kernel)}"
    yield f"seccomp   {'yes' if facts.seccomp else 'no'}"
    yield f"landlock  {f'ABI {facts.landlock_abi}' if facts.landlock_abi else 'no'}"
    yield from (f"gpu       {safe(line)}" for line in gpu.lines())
    if not problems:
        yield f"{state('ok')}: no problem found"
    for problem in problems:
        yield f"[!] {problem.code}: {safe(problem.message)}"
        yield f"    {problem.hint}"
