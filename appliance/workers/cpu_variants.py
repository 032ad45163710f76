"""Which CPU build of ggml this host can run: found by trying, in a child process.

ggml's own detection may choose a library that dies with SIGILL. Here each candidate, best score
first, multiplies two small matrices in a child; the first right one is loaded by absolute path. The
child also checks our kernels: a wrong one is replaced by ggml's own.

usage (the child): python -I -m appliance.workers.cpu_variants score|check LIBRARY...
"""

import ctypes
import importlib.util
import json
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.errors import StateRefused
from appliance.workers import kernel_check
from appliance.workers.ggml_graphs import Backend, product_is_right
from appliance.workers.repacking import AMX, OURS, PLAIN, REPACKED

_OF_GGML: Final = {
    AMX: "ggml's AMX",
    REPACKED: "ggml's repacked weights",
    PLAIN: "ggml's own kernels",
}


def library_directory() -> Path:
    """Libraries of the llama.cpp wheel; nothing is imported (`model_load_failed` without it)."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise StateRefused("model_load_failed", "llama-cpp-python is not installed.")
    return Path(spec.origin).parent / "lib"


def name_of(library: Path) -> str:
    """The NAME of libggml-cpu-NAME.so."""
    return library.stem.removeprefix("libggml-cpu-")


@dataclass(frozen=True)
class Variant:
    """A CPU library that works here.

    Attributes:
        instructions: what our kernels in it use, such as "avx512-vnni"; "" when it has none.
        kernels: their names.
        wrong: those that computed something else in the check.
    """

    path: Path
    instructions: str = ""
    kernels: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Such as "zen4"."""
        return name_of(self.path)

    @property
    def refused(self) -> int:
        """The kernels that are not to be used: a bit for each, in the library's order."""
        return sum(1 << i for i, name in enumerate(self.kernels) if name in self.wrong)

    @property
    def computes(self) -> str:
        """All that numbers depend on: name, instructions, kernels that are not used."""
        wrong = [f"without {','.join(self.wrong)}"] if self.wrong else []
        return " ".join([self.name, *filter(None, (self.instructions,)), *wrong])

    @property
    def label(self) -> str:
        return self.multiplies((OURS,) if self.instructions else ())

    def multiplies(self, paths: Collection[str]) -> str:
        """The same of a model, with all that multiplies there (`repacking.multipliers`)."""
        wrong = f", without {', '.join(self.wrong)}: wrong in the self-test" if self.wrong else ""
        said = [f"kernels {self.instructions}{wrong}"] if OURS in paths else []
        said += [words for path, words in _OF_GGML.items() if path in paths]
        return f"{self.path.name}, {' and '.join(said) or 'no kernels of ours'}"


class HostVariant:
    """The best variant of this host, looked for once."""

    def __init__(self) -> None:
        self._found: Variant | None = None
        self._missing = False

    def get(self) -> Variant:
        """The first call takes tenths of a second."""
        if self._found is None:
            self._found = find_variant(library_directory())
        return self._found

    @property
    def name(self) -> str:
        """The variant's name; "" when none runs here, which a load reports."""
        if self._missing:
            return ""
        try:
            return self.get().name
        except StateRefused:
            self._missing = True
            return ""

    @property
    def wrong(self) -> tuple[str, ...]:
        return self._found.wrong if self.name and self._found else ()


def best_variant(directory: Path) -> Path:
    """The path of `find_variant`."""
    return find_variant(directory).path


def find_variant(directory: Path) -> Variant:
    """The fastest CPU library that works here, with the check of its kernels.

    `model_load_failed` when none does.
    """
    candidates = sorted(directory.glob("libggml-cpu-*.so")) or sorted(
        directory.glob("libggml-cpu.so")
    )
    scores = json.loads(_child("score", *map(str, candidates)) or "{}")
    for path in sorted(scores, key=lambda p: -scores[p]):
        if scores[path] > 0 and (found := checked(Path(path))):
            return found
    raise StateRefused(
        "model_load_failed", f"No CPU library in {directory.name} runs on this host."
    )


def checked(library: Path) -> Variant | None:
    """Check one library in a child; None when it does not work here."""
    said = json.loads(_child("check", str(library)) or "{}")
    if not said:
        return None
    return Variant(library, said["instructions"], tuple(said["kernels"]), tuple(said["wrong"]))


def _child(*arguments: str) -> str | None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "appliance.workers.cpu_variants", *arguments],
        env={},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else None


def score(libraries: list[str]) -> dict[str, int]:
    """ggml's score of each library on this CPU; 0 means that it cannot run."""
    scores = dict.fromkeys(libraries, 0)
    for path in libraries:
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        function = getattr(library, "ggml_backend_score", None)
        scores[path] = int(function()) if function else 1
    return scores


def check(path: str) -> dict[str, str | list[str]]:
    """Load a library and compute with it; empty when the result is wrong."""
    backend = Backend(Path(path))
    if not backend.works or not product_is_right(backend.base, backend.backend):
        return {}
    return {
        "instructions": backend.text("kernels_instructions"),
        "kernels": kernel_check.names(backend),
        "wrong": list(kernel_check.wrong(backend)),
    }


if __name__ == "__main__":
    answer = score(sys.argv[2:]) if sys.argv[1] == "score" else check(sys.argv[2])
    sys.stdout.write(json.dumps(answer))
