"""A headless Chromium, driven over its debugging pipe.

Rules: it starts without a profile, a sandbox or background traffic; waits are for what the browser
reports, never for a time.
"""

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions",
    "--disable-sync", "--remote-debugging-pipe", "--window-size=1200,4000",
)  # fmt: skip


@dataclass
class Tab:
    """One page.

    Attributes:
        requested: every address that it asked for.
        complaints: errors, and what the content policy blocked.
    """

    _commands: int
    _answers: Iterator[bytes]
    _session: str = ""
    _number: int = 0
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _downloads: list[str] = field(default_factory=list)

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command of the DevTools protocol and wait for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (told := self._told()).get("id") != self._number:
            pass
        if "error" in told:
            raise RuntimeError(f"{method}: {told['error']}")
        result: dict[str, Any] = told["result"]
        return result

    def _told(self) -> dict[str, Any]:
        for line in self._answers:
            told: dict[str, Any] = json.loads(line)
            self._note(told.get("method", ""), told.get("params", {}))
            return told
        raise RuntimeError("the browser ended")

    def _note(self, event: str, about: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requested.append(about["request"]["url"])
        elif event == "Log.entryAdded":
            self.complaints.append(about["entry"]["text"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(about["exceptionDetails"]["text"])
        elif event == "Page.downloadProgress" and about["state"] == "completed":
            self._downloads.append(about["guid"])

    def attach(self) -> None:
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        attached = self.command("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.command(f"{domain}.enable")

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited.

        Raises:
            RuntimeError: it threw or was rejected.
        """
        done = self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in done:
            raise RuntimeError(str(done["exceptionDetails"]))
        return done["result"].get("value")

    def open(self, url: str, selector: str) -> None:
        self.command("Page.navigate", url=url)
        self.wait(selector)

    def click(self, selector: str, then: str) -> None:
        """Click the first such element and wait until another one is there."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        self.wait(then)

    def press(self, key: str, text: str = "", modifiers: int = 0) -> None:
        """Modifiers: 2 is Control, 8 is Shift."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
        pressed = {
            "key": key, "modifiers": modifiers, "windowsVirtualKeyCode": codes.get(key, 0),
        }  # fmt: skip
        self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **pressed)
        self.command("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def write(self, selector: str, text: str) -> None:
        self.evaluate(
            f"(e => {{ e.focus(); e.select(); }})(document.querySelector({json.dumps(selector)}))"
        )
        self.command("Input.insertText", text=text)

    def choose_file(self, selector: str, path: str) -> None:
        script = f"document.querySelector({json.dumps(selector)})"
        found = self.command("Runtime.evaluate", expression=script)["result"]["objectId"]
        self.command("DOM.setFileInputFiles", files=[path], objectId=found)

    def downloaded(self, count: int) -> None:
        while len(self._downloads) < count:
            self._told()

    def picture(self) -> bytes:
        shown = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(shown["data"])

    def look(self, width: int, height: int, scheme: str = "light") -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        scheme_is = {"name": "prefers-color-scheme", "value": scheme}
        self.command("Emulation.setEmulatedMedia", features=[scheme_is])

    def wait(self, selector: str) -> None:
        self.evaluate(
            f"""new Promise(done => {{
              const look = () => document.querySelector({json.dumps(selector)}) && done(true);
              document.addEventListener("focusin", look);
              new MutationObserver(look)
                .observe(document, {{attributes: true, childList: true, subtree: true}});
              look();
            }})"""
        )


@contextmanager
def chromium(program: str) -> Iterator[Tab]:
    command_read, command_write = os.pipe()
    answer_read, answer_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        # The browser takes commands at descriptor 3 and answers at 4.
        script = 'exec "$@" 3<&"$IN" 4>&"$OUT"'
        environment = {
            "PATH": os.defpath, "HOME": home, "IN": str(command_read), "OUT": str(answer_write),
        }  # fmt: skip
        process = subprocess.Popen(
            ["bash", "-c", script, "-", program, *_FLAGS, f"--user-data-dir={home}/profile"],
            pass_fds=(command_read, answer_write), env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(command_read)
        os.close(answer_write)
        try:
            with os.fdopen(answer_read, "rb") as answers:
                tab = Tab(command_write, _messages(answers))
                tab.attach()
                yield tab
        finally:
            os.close(command_write)
            process.terminate()
            process.wait(60)


def _messages(stream: Any) -> Iterator[bytes]:
    rest = b""
    while data := stream.read1(1 << 20):
        *whole, rest = (rest + data).split(b"\0")
        yield from whole
