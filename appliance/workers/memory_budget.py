"""The memory budget of workers, heavy jobs and indexes of documents.

Rules: memory is taken before a byte of a model is sealed and given back when its worker has ended,
not when it is told to; what would exceed the budget is refused with the numbers; a cache takes what
is free; models, jobs and newer caches displace it.
"""

import threading
from collections.abc import Callable, Iterator

from appliance.errors import StateRefused
from appliance.workers.memory_estimate import MIB, Estimate


class Budget:
    """Bytes that are taken, by name; callable from any thread."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._lock = threading.RLock()
        self._taken: dict[str, Estimate] = {}
        self._held: dict[str, int] = {}
        self._cached: dict[str, tuple[int, Callable[[], bool]]] = {}  # the last used one is last

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter([(model, needs.total) for model, needs in list(self._taken.items())])

    def __contains__(self, model: str) -> bool:
        return model in self._taken

    def of(self, model: str) -> int:
        needs = self._taken.get(model)
        return needs.total if needs else 0

    @property
    def taken(self) -> int:
        return sum(needs.total for needs in list(self._taken.values())) + self.held + self.cached

    @property
    def held(self) -> int:
        return sum(list(self._held.values()))

    @property
    def cached(self) -> int:
        return sum(size for size, _ in list(self._cached.values()))

    @property
    def for_models(self) -> int:
        """Bytes that all models may take together while the jobs hold theirs."""
        return self.total - self.held

    def take(self, model: str, needs: Estimate) -> None:
        """Take memory for a model, or change what it has taken.

        `insufficient_memory` has the numbers.
        """
        with self._lock:
            others = self._without(self.of(model), needs.total)
            if others + needs.total > self.total:
                raise StateRefused(
                    "insufficient_memory",
                    f"{model} needs {needs.describe()}; of {self.total // MIB} MiB, "
                    f"{others // MIB} MiB are taken.",
                )
            self._taken[model] = needs

    def give(self, model: str) -> None:
        self._taken.pop(model, None)

    def hold(self, job: str, size: int) -> None:
        """Take memory for a job."""
        with self._lock:
            self._check(job, size)
            self._held[job] = size

    def free(self, job: str) -> None:
        self._held.pop(job, None)

    def cache(self, name: str, size: int, forget: Callable[[], bool]) -> None:
        """Take memory for a cache, change what it has taken, or note its use.

        Args:
            forget: throws the cache away if it is not in use, without waiting; True if it did.
                Called from any thread.

        Raises as `take`; what it had taken is given back.
        """
        with self._lock:
            self._cached.pop(name, None)
            self._check(name, size)
            self._cached[name] = (size, forget)

    def drop(self, name: str) -> None:
        with self._lock:
            self._cached.pop(name, None)

    def of_cache(self, name: str) -> int:
        return self._cached.get(name, (0, bool))[0]

    def _check(self, name: str, size: int) -> None:
        others = self._without(0, size)
        if others + size > self.total:
            raise StateRefused(
                "insufficient_memory",
                f"{name} needs {size // MIB} MiB; of {self.total // MIB} MiB, "
                f"{others // MIB} MiB are taken.",
            )

    def _without(self, own: int, size: int) -> int:
        """Bytes of all others, once caches have made room for so many, least used first; none is
        dropped where all together are not enough.
        """
        if self.taken - self.cached - own + size > self.total:
            return self.taken - own
        for name, (_, forget) in list(self._cached.items()):
            if self.taken - own + size <= self.total:
                break
            if forget():
                self._cached.pop(name, None)
        return self.taken - own
