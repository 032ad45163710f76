"""What the overview shows, as plain rows. Pure: a status in, strings out, nothing sanitised yet."""

from appliance.wire.admin import Model, Status, Worker

MODEL_COLUMNS = ("MODEL", "STATE", "DIGEST", "WHY")
WORKER_COLUMNS = ("WORKER", "STATE", "RUN", "QUEUE", "KV", "MiB", "RESTARTS")


def headline(status: Status) -> str:
    """Who this is: version, profile (the lab's is named), the caller's role, time up."""
    profile = "LAB, not for production" if status.profile == "lab" else status.profile
    up = f"up {status.uptime_seconds} s"
    return f"appliance {status.version} | {profile} | you: {status.role} | {up}"


def audit_line(status: Status) -> str:
    """The head of the log and whether it can be written."""
    head = status.audit
    latched = f"! refusing: {head.latched}" if head.latched else "+ ok"
    return f"audit {latched} | {head.entries} entries | root {head.root[:16]}"


def model_row(model: Model) -> tuple[str, ...]:
    """One row of the models; the second cell is a state."""
    return (model.id, model.state, (model.digest or "-")[:16], model.code or "")


def worker_row(worker: Worker) -> tuple[str, ...]:
    """One row of the workers; the second cell is a state."""
    return (
        worker.model,
        worker.state,
        f"{worker.running}/{worker.slots}",
        str(worker.queued),
        f"{worker.kv_used}/{worker.n_ctx}",
        str(worker.memory_mib),
        str(worker.restarts),
    )
