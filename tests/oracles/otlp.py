"""OpenTelemetry's own messages over pipes: the content of a request of spans, or of logs. See
tests/oracle.py.

OTLP in JSON writes ids in hexadecimal, where protobuf's JSON has base64: that is put back first.
"""

import base64
import json
import sys
from typing import Any

from google.protobuf import json_format  # type: ignore[import-not-found, import-untyped, unused-ignore]
from opentelemetry.proto.collector.logs.v1 import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    logs_service_pb2 as logs,
)
from opentelemetry.proto.collector.trace.v1 import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    trace_service_pb2 as messages,
)


def told_of_logs(asked: Any) -> list[Any]:
    found = json_format.ParseDict(asked, logs.ExportLogsServiceRequest())
    return [
        {
            "resource": _attributes(resource.resource),
            "nanoseconds": record.time_unix_nano,
            "severity": record.severity_number,
            "event": record.event_name,
            "body": json_format.MessageToDict(record.body),
            "attributes": _attributes(record),
        }
        for resource in found.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def _attributes(bearer: Any) -> dict[str, Any]:
    return {one.key: json_format.MessageToDict(one.value) for one in bearer.attributes}


for line in sys.stdin:
    asked = json.loads(line)["request"]
    if "resourceLogs" in asked:
        sys.stdout.write(json.dumps({"logs": told_of_logs(asked)}) + "\n")
        sys.stdout.flush()
        continue
    for resource in asked["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    found = json_format.ParseDict(asked, messages.ExportTraceServiceRequest())
    told = [
        {
            "trace": span.trace_id.hex(),
            "id": span.span_id.hex(),
            "parent": span.parent_span_id.hex(),
            "name": span.name,
            "kind": span.kind,
            "error": span.status.code == 2,
            "nanoseconds": span.end_time_unix_nano - span.start_time_unix_nano,
            "attributes": _attributes(span),
        }
        for resource in found.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    sys.stdout.write(json.dumps({"spans": told}) + "\n")
    sys.stdout.flush()
