"""Log lines over the admin socket."""

import logging

from appliance.app import Services
from appliance.client import AdminClient
from appliance.observability import log_file
from appliance.wire.admin.logs import LOGS, LogQuery


def test_a_viewer_reads_the_lines(services: Services, client: AdminClient) -> None:
    assert client.call(LOGS, LogQuery()).lines == []
    path = log_file.log_file(services.data)
    path.parent.mkdir()
    form = log_file._Numbered()
    record = logging.LogRecord("appliance", logging.ERROR, "f", 1, "bad\x1b[2J", (), None)
    path.write_text("\n".join(form.format(record) for _ in range(3)) + "\n")
    found = client.call(LOGS, LogQuery(level="warning", limit=2))
    assert [line.message for line in found.lines] == ["bad\x1b[2J"] * 2
    assert found.file == str(path)
    assert client.call(LOGS, LogQuery(text="other")).lines == []
    assert len(client.call(LOGS, LogQuery(after=found.lines[0].id)).lines) == 1
