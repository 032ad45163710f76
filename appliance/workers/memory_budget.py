"""The memory budget of all workers and heavy jobs: who has taken how much of it.

Rules: memory is taken before a byte of a model is sealed and given back when its worker has ended,
not when it is told to; what would exceed the budget is refused with the numbers.
"""

from collections.abc import Iterator

from appliance.errors import StateRefused
from appliance.workers.memory_estimate import MIB, Estimate


class Budget:
    """Bytes that models take, by model id.

    Args:
        total: bytes that all may take together.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._taken: dict[str, Estimate] = {}
        self._held: dict[str, int] = {}

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter([(model, needs.total) for model, needs in list(self._taken.items())])

    def __contains__(self, model: str) -> bool:
        return model in self._taken

    def of(self, model: str) -> int:
        """Bytes that a model takes; 0 for one that takes nothing."""
        needs = self._taken.get(model)
        return needs.total if needs else 0

    @property
    def taken(self) -> int:
        """Bytes that are taken."""
        return sum(needs.total for needs in list(self._taken.values())) + self.held

    @property
    def held(self) -> int:
        """Those of them that jobs hold."""
        return sum(list(self._held.values()))

    @property
    def for_models(self) -> int:
        """Bytes that all models may take together while the jobs hold theirs."""
        return self.total - self.held

    def take(self, model: str, needs: Estimate) -> None:
        """Take memory for a model, or change what it has taken.

        Raises:
            StateRefused: `insufficient_memory`, with the numbers.
        """
        before = self._taken.get(model)
        others = self.taken - (before.total if before else 0)
        if others + needs.total > self.total:
            raise StateRefused(
                "insufficient_memory",
                f"{model} needs {needs.describe()}; of {self.total // MIB} MiB, "
                f"{others // MIB} MiB are taken.",
            )
        self._taken[model] = needs

    def give(self, model: str) -> None:
        """Give back what a model has taken."""
        self._taken.pop(model, None)

    def hold(self, job: str, size: int) -> None:
        """Take memory for a job.

        Raises:
            StateRefused: `insufficient_memory`, with the numbers.
        """
        if self.taken + size > self.total:
            raise StateRefused(
                "insufficient_memory",
                f"{job} needs {size // MIB} MiB; of {self.total // MIB} MiB, "
                f"{self.taken // MIB} MiB are taken.",
            )
        self._held[job] = size

    def free(self, job: str) -> None:
        """Give back what a job holds."""
        self._held.pop(job, None)
