"""Use of GPUs: a child with an NVML of the test's own, and hosts where there is none."""

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.workers.gpu_use import LIBRARY, GpuInUse, GpuWatch, parse
from tests.conftest import need_tool

TOLD = b'[["NVIDIA H100 80GB HBM3", 85520809984, 1073741824, 37], ["Old card", 16, 4, null]]\n'
GPUS = [
    GpuInUse("NVIDIA H100 80GB HBM3", 85_520_809_984, 1 << 30, 37),
    GpuInUse("Old card", 16, 4, None),
]
NVML = """\
#include <string.h>
struct memory { unsigned long long total, free, used; };
struct use { unsigned gpu, memory; };
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 3; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned n, void **d) { *d = (void *)(n + 1L); return n == 2; }
int nvmlDeviceGetName(void *d, char *t, unsigned n) {
  strncpy(t, d == (void *)1 ? "NVIDIA H100 80GB HBM3" : "Old card", n); return 0; }
int nvmlDeviceGetMemoryInfo(void *d, struct memory *m) {
  if (d == (void *)1) { m->total = 85520809984ull; m->used = 1ull << 30; }
  else { m->total = 16; m->used = 4; }
  return 0; }
int nvmlDeviceGetUtilizationRates(void *d, struct use *u) { u->gpu = 37; return d != (void *)1; }
"""


def test_a_line_of_the_child() -> None:
    assert parse(TOLD) == GPUS and parse(b"[]\n") == []
    for wrong in (b"", b"{", b"[1]", b"[[1]]", b'[["a", null, 1, 1]]', b"null"):
        with pytest.raises(ValueError):
            parse(wrong)


def test_the_child_reads_nvml_and_ends_with_its_parent(tmp_path: Path) -> None:
    need_tool("cc")
    (tmp_path / "nvml.c").write_text(NVML)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", tmp_path / LIBRARY, tmp_path / "nvml.c"], check=True
    )
    child = (
        "/usr/bin/env", f"LD_LIBRARY_PATH={tmp_path}", sys.executable, "-I", "-m",
        "appliance.workers.gpu_use",
    )  # fmt: skip
    watch = GpuWatch(child, driver=tmp_path)
    assert watch.look() == GPUS == watch.look()
    assert watch._child is not None
    watch._child.stdin.close()  # type: ignore[union-attr]
    assert watch._child.wait(30) == 0
    watch.close()


@pytest.mark.parametrize("command", ["exit 1", "echo x; cat", "echo null; cat", "sleep 60"])
def test_a_child_that_fails_is_left_alone_for_a_minute(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.workers.gpu_use._ANSWER_S", 0.3)
    (tmp_path / "driver").touch()
    watch = GpuWatch(
        ("/bin/sh", "-c", f"echo >> {tmp_path}/starts; {command}"), tmp_path / "driver"
    )
    assert watch.look() == [] == watch.look()
    assert watch._child is None
    starts = tmp_path / "starts"
    assert not starts.exists() or starts.read_text() == "\n"


def test_a_host_without_a_driver_starts_no_child(tmp_path: Path) -> None:
    watch = GpuWatch((f"{tmp_path}/nothing",), tmp_path / "missing")
    assert watch.look() == [] and watch._not_before == 0.0
    watch.close()
    assert list(tmp_path.iterdir()) == []
