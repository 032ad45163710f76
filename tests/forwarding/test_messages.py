"""Frames of syslog and requests of OTLP."""

import json
from pathlib import Path

import pytest

from appliance.audit.log import Draft
from appliance.audit.reader import LogReader
from appliance.config import ForwardConfig
from appliance.forwarding.messages import BODIES, otlp_logs, outgoing, syslog_frames
from appliance.forwarding.receivers import open_receiver
from tests.audit.logs import ORIGIN, PROMPT, intent, new_log, open_log
from tests.forwarding.test_receivers import collector
from tests.oracle import Oracle, otlp_python


@pytest.fixture
def reader(tmp_path: Path) -> LogReader:
    new_log(tmp_path / "log")
    with open_log(tmp_path / "log") as log:
        log.append(intent("req-1")).result()
        log.append(Draft("admin", {"actor": "ü\n", "action": "b"})).result()
    return LogReader(tmp_path / "log")


@pytest.mark.parametrize("form", sorted(BODIES))
def test_frames_count_their_bytes_and_hold_no_text(reader: LogReader, form: str) -> None:
    found = reader.range(0, 10)
    frames = syslog_frames(outgoing(found, ORIGIN, form), ORIGIN, 4711)
    reader.close()
    messages = []
    while frames:
        size, _, rest = frames.partition(b" ")
        messages.append(rest[: int(size)])
        frames = rest[int(size) :]
    assert len(messages) == len(found) == 3
    assert all(m.startswith(b"<133>1 ") and b"\n" not in m for m in messages)
    assert PROMPT not in b"".join(messages)


def test_otlp_names_the_log_and_each_place(reader: LogReader) -> None:
    found = reader.range(0, 10)
    (resource,) = json.loads(otlp_logs(outgoing(found, ORIGIN, "ocsf"), ORIGIN))["resourceLogs"]
    reader.close()
    names = {a["key"]: a["value"]["stringValue"] for a in resource["resource"]["attributes"]}
    assert names == {"service.name": "appliance", "host.name": ORIGIN}
    (scope,) = resource["scopeLogs"]
    facts = [
        {a["key"]: a["value"]["stringValue"] for a in r["attributes"]} for r in scope["logRecords"]
    ]
    assert [fact["audit.seq"] for fact in facts] == ["0", "1", "2"]
    assert [fact["audit.leaf"] for fact in facts] == [one.leaf.hex() for one in found]
    assert json.loads(scope["logRecords"][1]["body"]["stringValue"])["class_uid"] == 6003


def test_opentelemetry_reads_the_logs_that_a_collector_gets(reader: LogReader) -> None:
    found, got = reader.range(0, 10), list[bytes]()
    with collector(200, got) as to:
        receiver = open_receiver(ForwardConfig(to=to, format="ocsf"), 4711, Path(), reader)
        receiver.send(outgoing(found, ORIGIN, "ocsf"))
        receiver.close()
    reader.close()
    (body,) = got
    oracle = Oracle("otlp.py", otlp_python())
    try:
        logs = oracle.ask(request=json.loads(body))["logs"]
        unread = json.loads(body)
        unread["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["timeUnixNanos"] = "1"
        with pytest.raises(json.JSONDecodeError):  # the control: the program ends
            oracle.ask(request=unread)
    finally:
        oracle.close()
    assert [one["event"] for one in logs] == [f"appliance.audit.{one.kind}" for one in found]
    assert [one["nanoseconds"] for one in logs] == [1_000 * one.time_us for one in found]
    for one, entry in zip(logs, found, strict=True):
        assert one["severity"] == 9 and one["resource"]["host.name"] == {"stringValue": ORIGIN}
        assert one["attributes"]["audit.leaf"] == {"stringValue": entry.leaf.hex()}
        assert one["attributes"]["audit.seq"] == {"stringValue": str(entry.seq)}
    assert json.loads(logs[1]["body"]["stringValue"])["class_uid"] == 6003
