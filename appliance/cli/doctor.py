"""`doctor`: host facts and every problem found, in one report.

Rules: it needs no server, changes nothing and does not stop at the first problem; exit 1 when there
is one.
"""

import contextlib
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import click
from sqlalchemy.exc import SQLAlchemyError

from appliance.api.admin.facts import artifact, standing
from appliance.api.admin.roles import role_table
from appliance.app import SCHEMA
from appliance.audit.reader import LogReader
from appliance.cli.connect import server_answers
from appliance.cli.gpu import GpuReport, gpu_report
from appliance.cli.output import Output, prints, safe, size, state
from appliance.client import AdminClient, socket_path
from appliance.clock import SystemClock
from appliance.config import Config, load_config
from appliance.db import OLDEST_SQLITE, give, open_readonly, schema_of
from appliance.errors import ApplianceError, Refused, StateRefused
from appliance.governance.trust_updates import TrustState
from appliance.host import at_rest, hardware, host_key
from appliance.incidents import rules
from appliance.incidents.facts import Facts
from appliance.jobs.store import JobStore
from appliance.serving.replays import ReplayDifferences
from appliance.text import many
from appliance.trust.artifacts.intake import missing
from appliance.trust.artifacts.records import Records
from appliance.trust.artifacts.store import load_policy
from appliance.trust.policy import trusted_file
from appliance.types import JsonValue
from appliance.wire.admin.models import STATUS
from appliance.wiring import protection
from appliance.workers.cpu_variants import Variant, find_variant, library_directory
from appliance.workers.gpu_devices import driver_missing

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_UNSEEN: Final = (
    "engines",
    "upstream hosts",
    "evaluations",
    "monitors",
    "agreement of appliance.db and log",
    "writing the log",
    "refused requests",
    "growth on the disk",
)
"""Facts that only a running server has."""


@dataclass(frozen=True)
class DoctorProblem:
    """One thing that is wrong, and what to do about it."""

    code: str
    message: str
    hint: str

    @classmethod
    def of(cls, error: ApplianceError) -> "DoctorProblem":
        return cls(error.code, error.message, error.hint)

    @classmethod
    def told(cls, message: str) -> "DoctorProblem":
        return cls.of(Refused("host_unsuitable", message))


@click.command()
@prints
def doctor(output: Output, data: Path) -> None:
    """Report on host and data directory.

    It names everything that is wrong, and what to do.
    """
    facts = hardware.host_facts(data)
    gpu = gpu_report()
    problems = list(find_problems(data, facts, gpu))
    library = None
    try:
        library = find_variant(library_directory())
    except StateRefused as error:
        problems.append(DoctorProblem.of(error))
    url, served = _address(data)
    document: dict[str, JsonValue] = {
        "ok": not problems,
        "data": str(data),
        "url": url,
        "serving": served,
        "host": {**asdict(facts), "cpu_flags": sorted(facts.cpu_flags)},
        "processor_backend": str(library.path) if library else None,
        "processor_kernels": library.instructions if library else None,
        "gpu": gpu.document(),
        "problems": [asdict(problem) for problem in problems],
        "unseen": [] if served else list(_UNSEEN),
    }
    output.data(document, _lines(data, facts, problems, gpu, library, url, served))
    output.require(not problems)


def find_problems(
    data: Path, facts: hardware.HostFacts, gpu: GpuReport | None = None
) -> Iterator[DoctorProblem]:
    """Problems of host and data directory.

    The table of alarms comes from the server; without one, from what the files say.
    """
    try:
        config = load_config(data)
    except ApplianceError as error:
        yield from map(DoctorProblem.told, hardware.problems(facts))
        yield DoctorProblem.of(error)
        return
    yield from _budget(config, facts)
    yield from map(DoctorProblem.of, _exposed(data, config))
    models = (config.model("default"), *config.models.values())
    if gpu and any(model.device != "cpu" for model in models):
        yield from map(DoctorProblem.of, gpu.problems)
    if gpu and not gpu.driver and any(model.device == "cuda" for model in models):
        yield DoctorProblem.of(driver_missing())
    checks: tuple[Callable[[], object], ...] = (
        lambda: load_policy(data / "trust"),
        lambda: _check_database(data / "appliance.db"),
    )
    for check in checks:
        try:
            check()
        except ApplianceError as error:
            yield DoctorProblem.of(error)
    try:
        yield from _alarms(data, config, facts)
    except ApplianceError as error:
        yield DoctorProblem.of(error)


def _alarms(data: Path, config: Config, host: hardware.HostFacts) -> list[DoctorProblem]:
    if server_answers(data):
        with AdminClient(socket_path(data)) as client:
            return [DoctorProblem(i.code, i.message, i.next) for i in client.call(STATUS).incidents]
    found = rules.alarms(_facts(data, config, host))
    return [DoctorProblem(alarm.code, alarm.message, alarm.next) for alarm in found]


def _facts(data: Path, config: Config, host: hardware.HostFacts) -> Facts:
    """From the files, while no server runs."""
    database, reader = open_readonly(data / "appliance.db"), LogReader(data / "audit")
    clock = SystemClock()
    if not host_key.locked(data):  # else messages of jobs stay closed
        give(database, at_rest.cipher_of(data, at_rest.DATABASE))
    try:
        profile = "site" if trusted_file.exists(data / "trust") else "lab"
        jobs, replays = JobStore(database, clock), ReplayDifferences(database, clock)
        found = standing(data, config, host, reader, jobs, replays, profile, clock.wall_us())
        found = replace(found, unknown_roles=tuple(role_table(config.roles).unresolved))
        with contextlib.suppress(ApplianceError):  # the check of the policy says so
            found = replace(found, trust=TrustState(data / "trust", reader, clock).freshness())
        with contextlib.suppress(SQLAlchemyError):  # the check of the database says so
            records = [
                replace(record, state="missing") if missing(data / "models", record) else record
                for record in Records(database).all()
            ]
            found = replace(found, artifacts=tuple(map(artifact, records)))
        return found
    finally:
        reader.close()
        database.dispose()


def _address(data: Path) -> tuple[str, bool]:
    """The server's address, now or once it runs; and whether one answers."""
    with contextlib.suppress(ApplianceError):
        if server_answers(data):
            with AdminClient(socket_path(data)) as client:
                return client.call(STATUS).url, True
    with contextlib.suppress(ApplianceError):
        return load_config(data).url(), False
    return "", False


def _budget(config: Config, facts: hardware.HostFacts) -> Iterator[DoctorProblem]:
    budget = config.engine.memory_mib << 20
    if budget > facts.memory:
        message = f"engine.memory_mib is {size(budget)}; the host has {size(facts.memory)}."
        yield DoctorProblem.of(Refused("insufficient_memory", message))


def _exposed(data: Path, config: Config) -> Iterator[ApplianceError]:
    """Private files that others may use, or in plain among encrypted ones."""
    secrets: list[Path] = []
    with contextlib.suppress(OSError):  # said below of each file
        secrets = protection.key_files(data, config)
    private = [data / "audit" / "signing.pem", data / "audit" / "kek", data / "appliance.db"]
    keys = [*sorted((data / "keys").rglob("*.pem")), *sorted((data / "tls").rglob("*.key"))]
    for path in dict.fromkeys(private + keys + secrets):
        try:
            mode = path.stat().st_mode
            if path in secrets and host_key.protected(data) and host_key.plain(path):
                yield Refused("key_in_plain", f"{path} is not encrypted.")
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Refused("file_unusable", f"{path}: {error.strerror}.")
            continue
        if mode & _OTHERS:
            yield Refused("file_too_open", f"{path} has mode {stat.S_IMODE(mode):04o}, not 0600.")


def _check_database(path: Path) -> None:
    engine = open_readonly(path)
    try:
        with engine.connect() as connection:
            version = str(connection.exec_driver_sql("SELECT sqlite_version()").scalar_one())
            schema_of(connection, path, SCHEMA)
            verdict = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
    except SQLAlchemyError as error:
        raise Refused("database_unusable", f"{path} cannot be read: {error}.") from error
    finally:
        engine.dispose()
    if tuple(map(int, version.split("."))) < OLDEST_SQLITE:
        raise Refused("database_unusable", f"SQLite {version} is too old.")
    if verdict != "ok":
        raise Refused("database_unusable", f"{path}: {verdict}.")


def _lines(
    data: Path,
    facts: hardware.HostFacts,
    problems: list[DoctorProblem],
    gpu: GpuReport,
    library: Variant | None,
    url: str,
    served: bool,
) -> Iterator[str]:
    yield f"host      {safe(facts.name)}"
    yield f"data      {safe(str(data))}"
    if url:
        yield f"server    {'listens on' if served else 'will listen on'} {safe(url)}"
    yield f"cpu       {safe(facts.cpu)}, {many(facts.cores, 'core')}, {facts.architecture}"
    if library:
        yield f"backend   {safe(str(library.path.with_name(library.label)))}"
    yield f"memory    {size(facts.memory_available)} free of {size(facts.memory)}"
    yield f"disk      {size(facts.disk_free)} free of {size(facts.disk_total)}"
    yield f"kernel    {safe(facts.kernel)}"
    yield f"seccomp   {'yes' if facts.seccomp else 'no'}"
    yield f"landlock  {f'ABI {facts.landlock_abi}' if facts.landlock_abi else 'no'}"
    yield from (f"gpu       {safe(line)}" for line in gpu.lines())
    if not served:
        yield f"unseen    needs a running server: {', '.join(_UNSEEN)}"
    if not problems:
        yield f"{state('ok')}: no problem found"
    for problem in problems:
        yield f"[!] {problem.code}: {safe(problem.message)}"
        yield f"    {safe(problem.hint)}"
