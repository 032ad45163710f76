"""Open `/docs` in a browser without a network; prints what happened as JSON.

`test_docs_page.py` runs it in a network namespace of its own: it brings up loopback, serves the LAN
app there, and looks at the page with Chromium. Arguments: a data directory, the browser.
"""

import errno
import fcntl
import json
import socket
import struct
import sys
from pathlib import Path

from appliance.app import initialise, open_services
from tests.browser import chromium
from tests.contract.conftest import serving

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
ELSEWHERE = "http://192.0.2.1/x"  # a documentation address (RFC 5737)


def bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def network() -> str:
    """The error of a connection to somewhere else; empty if there were a way."""
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=5).close()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


def main(data: Path, program: str) -> None:
    bring_up_loopback()
    initialise(data, "lab")
    with (
        open_services(data) as services,
        serving(services) as url,
        chromium(program) as tab,
    ):
        _, secret = services.keys.create("reader")
        tab.open(f"{url}/docs", ".opblock-tag-section")
        shown = tab.evaluate(
            "[...document.querySelectorAll('.opblock')].map(o =>"
            " o.querySelector('.opblock-summary-method').textContent.toLowerCase() + ' ' +"
            " o.querySelector('.opblock-summary-path').dataset.path)"
        )
        # As a reader does: open an operation with a body, try another one out.
        chat, alive = "#operations-generate-chat", "#operations-health-healthz"
        tab.click(f"{chat} .opblock-summary-control", ".body-param__example")
        tab.click(f"{alive} .opblock-summary-control", f"{alive} .try-out__btn")
        tab.click(f"{alive} .try-out__btn", f"{alive} .execute")
        answered = f"{alive} .live-responses-table .response .response-col_status"
        tab.click(f"{alive} .execute", answered)
        told = {
            "network": network(),
            "shown": shown,
            "answered": tab.evaluate(f"document.querySelector('{answered}').textContent"),
            "errors": tab.evaluate("document.querySelectorAll('.errors-wrapper').length"),
            "requested": list(tab.requested),
            "complaints": list(tab.complaints),
            # The page's own requests work, and only to here.
            "tried": tab.evaluate(
                f"fetch('/v1/models', {{headers: {{authorization: 'Bearer {secret}'}}}})"
                ".then(answer => answer.status)"
            ),
            "blocked": tab.evaluate(f"fetch('{ELSEWHERE}').then(() => '', e => e.name)"),
            "complaints_then": list(tab.complaints),
        }
        # The control: on a page without the policy, a request to elsewhere is seen.
        tab.open(f"{url}/openapi.json", "pre")
        tab.evaluate(f"fetch('{ELSEWHERE}').catch(() => 0)")
        told["seen"] = ELSEWHERE in tab.requested
        sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
