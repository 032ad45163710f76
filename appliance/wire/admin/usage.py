"""Schema of the load: counters that only grow, and present use.

Rules: a rate is the difference of two replies over the difference of their `at`; no wall clock is
involved.
"""

from pydantic import Field

from appliance.wire.admin.base import Reply
from appliance.wire.admin.endpoint import viewers


class Histogram(Reply):
    """Number of observations up to each bound, in seconds, and one beyond the last."""

    bounds: list[float] = Field(default=[])
    counts: list[int] = Field(default=[])


class Gpu(Reply):
    """One accelerator; sizes in bytes."""

    name: str
    memory: int
    memory_used: int
    busy_percent: int | None = None


class CurrentLoad(Reply):
    """Work of the appliance since its start, and its present use.

    Attributes:
        at: seconds of the server's monotonic clock.
        server: names the process that counts; under another name the counters began at 0.
        ttft: seconds from the recorded intent to the first text, the queue included.
        kv_used, kv_total: cells of all KV caches.
        host_busy, host_total: processor seconds of the host, of all processors.
        own_cpu: processor seconds of the server and its workers.
        own_memory, memory, memory_available: bytes.
    """

    at: float
    server: str
    answers: int = 0
    refusals: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    running: int = 0
    queued: int = 0
    kv_used: int = 0
    kv_total: int = 0
    ttft: Histogram = Histogram()
    host_busy: float = 0.0
    host_total: float = 0.0
    own_cpu: float = 0.0
    own_memory: int = 0
    memory: int = 0
    memory_available: int = 0
    gpus: list[Gpu] = Field(default=[])


class Rates(Reply):
    """Rates of `appliance metrics` between two looks at the load.

    Attributes:
        seconds: between the looks.
        kv_use, own_cpu, host_cpu: shares from 0 to 1; own_cpu of all processors of the host.
        ttft_p50, ttft_p95: seconds, of what came between the looks; None when nothing did.
        own_memory, memory, memory_available: bytes.
    """

    seconds: float
    tokens_per_second: float
    running: int
    queued: int
    kv_use: float
    ttft_p50: float | None = None
    ttft_p95: float | None = None
    own_cpu: float
    host_cpu: float
    memory: int
    memory_available: int
    own_memory: int
    gpus: list[Gpu] = Field(default=[])


LOAD = viewers.get("/admin/load", CurrentLoad)
