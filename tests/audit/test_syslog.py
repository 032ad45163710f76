"""Syslog messages and CEF events of hostile entries."""

from pathlib import Path

from appliance.audit.entry import LogEntry
from appliance.audit.log import Draft
from appliance.audit.reader import LogReader
from appliance.audit.syslog import cef, syslog
from tests.audit.logs import ORIGIN, new_log, open_log


def written(directory: Path) -> LogEntry:
    new_log(directory)
    with open_log(directory) as log:
        fields = {"actor": 'a"]|b=c\\\nd', "action": "x|y", "code": "refused"}
        (receipt,) = log.append(Draft("admin", fields)).result()
        reader = LogReader(directory)
        try:
            return reader.entry(receipt.seq)
        finally:
            reader.close()


def test_a_message_names_the_log_its_place_and_its_hash(tmp_path: Path) -> None:
    entry = written(tmp_path / "log")
    line = syslog(entry, ORIGIN, 4711, "text")
    assert line.startswith("<133>1 20") and f" {ORIGIN} appliance - admin [entry@4711 " in line
    assert f'seq="{entry.seq}" leaf="{entry.leaf.hex()}"' in line and line.endswith("] text")
    assert r"a\"\]|b=c" in line and "\n" not in line


def test_an_event_cannot_break_out_of_its_field(tmp_path: Path) -> None:
    entry = written(tmp_path / "log")
    line = cef(entry, ORIGIN)
    head = line.replace("\\|", "").split("|")
    assert head[:5] == ["CEF:0", "appliance", "appliance", "1", "admin"] and head[6] == "5"
    assert r"duser=a\"]|b\=c" not in line and "b\\=c" in line and "\n" not in line
    assert f"externalId={entry.seq} cs1Label=leaf cs1={entry.leaf.hex()}" in line
