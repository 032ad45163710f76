"""modelvet over pipes: its verdict on a file's bytes. See tests/oracle.py."""

import base64
import json
import sys

import modelvet  # type: ignore[import-not-found, import-untyped, unused-ignore]

for line in sys.stdin:
    report = modelvet.verify_gguf(base64.b64decode(json.loads(line)["data"]))
    told = {"ok": report.accepted, "error": report.violation_name}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
