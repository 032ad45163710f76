"""The end of a child: its status, and the end of what it said."""

import subprocess
import sys

from appliance.engine.watch import watch


async def test_status_and_the_end_of_the_errors() -> None:
    program = "import sys; sys.stderr.write('x' * 9000 + 'end'); sys.exit(3)"
    process = subprocess.Popen([sys.executable, "-I", "-c", program], stderr=subprocess.PIPE)
    status, errors = await watch(process)
    assert status == 3
    assert len(errors) == 4096 and errors.endswith(b"xend")
