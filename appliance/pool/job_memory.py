"""The memory of heavy jobs, out of the budget of the models."""

from collections.abc import Callable

from appliance.pool.pool import Pool


class JobMemory:
    """Takes memory through the pool, so that idle models make room.

    Args:
        pool: finds it; the pool is made after the jobs, which it uses.
    """

    def __init__(self, pool: Callable[[], Pool]) -> None:
        self._pool = pool

    async def hold(self, job: str, size: int) -> None:
        """Take bytes for a job: `Pool.hold`."""
        await self._pool().hold(job, size)

    def free(self, job: str) -> None:
        """Give them back: `Pool.free`."""
        self._pool().free(job)
