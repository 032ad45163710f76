import tempfile
from pathlib import Path
from tests.audit.test_power_loss import through_trace
for i in range(10):
    with tempfile.TemporaryDirectory() as d:
        print(through_trace(Path(d), 60, "unsynced"), flush=True)
