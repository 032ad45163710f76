"""Three appliances behind HAProxy, each in a network namespace of its own, joined by cables:

    unshare -n -p -f --kill-child --mount-proc python -m tests.peers.cables ROOT MODEL KILLS

It is the balancer's host, and the first process of a namespace of processes. It prints what it saw
as JSON. No namespace has a name, so that none is left when the processes have ended.
"""

import contextlib
import functools
import http.client
import itertools
import json
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import httpx

from appliance.app import Services
from appliance.audit.checkpoint import VerifierKey
from appliance.audit.entry import LogEntry
from appliance.audit.reader import LogReader
from appliance.clock import FixedClock
from appliance.peers.mirror import MirroredLogs
from tests.peers.site_servers import SiteServer, Where, balanced, servers, until
from tests.routing.upstreams.apart import namespace
from tests.site import MODEL, approve, signed_model
from tests.smol import quiet

PORT = 8443
RATE, SHORT_RATE = 100, 40
"""Requests a second, of all clients together; of the short form."""
CLIENTS = 8
STALE_S = 5
WHOLE = 20
"""Kills of the whole of it; with fewer a cable is pulled in one way only."""
TOKENS = 150
"""A minute, of a key with a limit."""
CANARY = "the canary sings at seven"


def run(*command: str) -> str:
    """Run a command; why it failed, or ""."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stderr.strip() or "it failed") if done.returncode else ""


def must(*command: str) -> None:
    problem = run(*command)
    assert not problem, f"{' '.join(command)}: {problem}"


@dataclass
class Cable:
    """The cable of one appliance."""

    number: int
    holder: "subprocess.Popen[bytes]"

    @property
    def host(self) -> str:
        return f"10.88.{self.number}.2"

    @property
    def hub(self) -> str:
        return f"10.88.{self.number}.1"

    @property
    def inside(self) -> tuple[str, ...]:
        return "nsenter", "-t", str(self.holder.pid), "-n"

    @property
    def end(self) -> str:
        """Its end at the balancer."""
        return f"hub{self.number}"

    def lay(self) -> None:
        other = f"end{self.number}"
        pair = "type", "veth", "peer", "name", other, "netns", str(self.holder.pid)
        must("ip", "link", "add", "name", self.end, *pair)
        must("ip", "addr", "add", f"{self.hub}/30", "dev", self.end)
        must("ip", "link", "set", self.end, "up")
        must(*self.inside, "ip", "addr", "add", f"{self.host}/30", "dev", other)
        must(*self.inside, "ip", "link", "set", "lo", "up")
        must(*self.inside, "ip", "link", "set", other, "up")
        must(*self.inside, "ip", "route", "add", "default", "via", self.hub)

    def pull(self, how: str) -> Callable[[], None]:
        """Pull it: both ways, or one; what puts it in again."""
        routes = {"to it": ((), self.host), "from it": (self.inside, "10.88.0.0/16")}
        if how == "both ways":
            must("ip", "link", "set", self.end, "down")
            return lambda: must("ip", "link", "set", self.end, "up")
        inside, where = routes[how]
        must(*inside, "ip", "route", "add", "blackhole", where)
        return lambda: must(*inside, "ip", "route", "del", "blackhole", where)


def cable(number: int) -> Cable:
    """A namespace, and its cable to this one."""
    holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
    while namespace(holder.pid) == namespace():
        time.sleep(0.01)
    made = Cable(number, holder)
    made.lay()
    return made


@dataclass
class Load:
    """Clients that ask at a steady rate; what was acknowledged to them."""

    url: str
    secret: str
    trust: ssl.SSLContext
    rate: float
    acknowledged: dict[str, tuple[str, str]] = field(default_factory=dict)
    failed: list[tuple[float, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        begun = time.monotonic()
        threads = [
            threading.Thread(target=self._client, args=(stop, begun + number / self.rate))
            for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _client(self, stop: threading.Event, due: float) -> None:
        parts = urlsplit(self.url)
        connection = http.client.HTTPSConnection(
            "localhost", parts.port, timeout=30, context=self.trust
        )
        while not stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + CLIENTS / self.rate, time.monotonic() - 1)
            self._ask(connection, f"app-{next(self.numbers)}")

    def _ask(self, connection: http.client.HTTPSConnection, name: str) -> None:
        body = json.dumps({"model": MODEL, "prompt": CANARY, "max_tokens": 1})
        head = {
            "authorization": f"Bearer {self.secret}",
            "content-type": "application/json",
            "x-client-request-id": name,
        }
        begun = time.monotonic()
        try:
            connection.request("POST", "/v1/completions", body, head)
            reply = connection.getresponse()
            said = reply.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.failed.append((time.monotonic(), type(error).__name__))
            return
        if reply.status == 200:
            receipt = str(reply.headers["x-appliance-receipt"]).split(", ")[-1]
            self.acknowledged[name] = str(reply.headers["x-request-id"]), receipt
            self.times.append(time.monotonic() - begun)
        else:
            code = json.loads(said).get("error", {}).get("code") if said[:1] == b"{" else "balancer"
            self.failed.append((time.monotonic(), f"{reply.status} {code}"))

    def more(self, count: int) -> None:
        """Wait for so many further answers."""
        goal = len(self.acknowledged) + count
        until(lambda: len(self.acknowledged) >= goal)


def ready(one: SiteServer) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        reply = httpx.get(f"{one.url}/readyz", verify=one.trust, timeout=5)
        return reply.status_code == 200
    return False


def kills(members: list[SiteServer], load: Load, count: int) -> list[dict[str, Any]]:
    """Kill one after the other under load, and start it again."""
    told = []
    with load.running():
        load.more(50)
        for number in range(count):
            one, before = members[number % len(members)], len(load.failed)
            at = time.monotonic()
            one.end(signal.SIGKILL)
            load.more(2 * round(load.rate))
            failed = load.failed[before:]
            last = max((when - at for when, _ in failed), default=0.0)
            told.append(
                {
                    "killed": one.name,
                    "failed": dict(Counter(why for _, why in failed)),
                    "last failure after s": round(last, 2),
                }
            )
            one.start()
            until(functools.partial(ready, one))
            load.more(20)
    return told


def load_approved(one: SiteServer) -> None:
    """Wait until two people approved its model, one of them elsewhere, and load it."""
    states: list[str] = []

    def approved() -> bool:
        states.append(one.command("model", "show", MODEL)["state"])
        return states[-1] in ("approved", "serving")

    until(approved)
    if states[-1] == "approved":
        done = one.run("model", "load", MODEL)
        # Its own load of what was approved may be first.
        assert done.status == 0 or "is loaded already" in done.out, done.err + done.out


def stale(one: SiteServer) -> bool:
    return bool(one.command("site", "status")["stale"])


def pulled(one: SiteServer, other: SiteServer, line: Cable, how: str, load: Load) -> dict[str, Any]:
    """Pull the cable of one, revoke a key at another, put it in again."""
    made = other.command("key", "new", f"while {how}", "--any-model")
    until(lambda: one.admits(made["secret"]))
    again = line.pull(how)
    try:
        until(lambda: stale(one))
        alarms = {alarm["code"] for alarm in one.command("status")["incidents"]}
        before = len(load.acknowledged)
        with load.running():
            load.more(20)
        other.command("key", "revoke", made["id"])
    finally:
        again()
    at = time.monotonic()
    until(lambda: not stale(one) and not one.admits(made["secret"]))
    return {
        "alarm": "site_stale" in alarms,
        "answered": len(load.acknowledged) - before,
        "refused after s": round(time.monotonic() - at, 2),
    }


def bad_line(lines: list[Cable], how: list[str], load: Load) -> dict[str, Any]:
    """What comes through cables that lose or delay."""
    for line in lines:
        problem = run("tc", "qdisc", "add", "dev", line.end, "root", "netem", *how)
        if problem:
            return {"skipped": problem}
    before, failed = len(load.acknowledged), len(load.failed)
    with load.running():
        load.more(20)
    for line in lines:
        must("tc", "qdisc", "del", "dev", line.end, "root")
    lost = dict(Counter(why for _, why in load.failed[failed:]))
    return {"answered": len(load.acknowledged) - before, "failed": lost}


def limited(members: list[SiteServer]) -> dict[str, float]:
    """Ask each with one key until its part of the limit is used up; the tokens that all gave."""
    made = members[0].command("key", "new", "limited", "--any-model", "--tpm", str(TOKENS))
    head = {"authorization": f"Bearer {made['secret']}"}
    body = {"model": MODEL, "prompt": CANARY, "max_tokens": 10}
    begun, used = time.monotonic(), dict.fromkeys((one.name for one in members), 0)

    def spent(one: SiteServer) -> bool:
        url, answers = f"{one.url}/v1/completions", used[one.name]
        reply = httpx.post(url, json=body, headers=head, verify=one.trust, timeout=60)
        if reply.status_code == 200:
            used[one.name] += reply.json()["usage"]["total_tokens"]
        return answers > 0 and reply.status_code == 429

    for one in members:
        until(lambda one=one: one.admits(made["secret"]))  # type: ignore[misc]
        until(lambda one=one: spent(one))  # type: ignore[misc]
    minutes = 1 + (time.monotonic() - begun) / 60  # a bucket is full at first, and fills again
    return {"least": min(used.values()), "used": sum(used.values()), "minutes": minutes}


def receipt(root: Path, members: list[SiteServer], load: Load) -> dict[str, Any]:
    """The newest receipt as the balancer gives it, and what the program of an auditor says."""
    request = list(load.acknowledged.values())[-1][0]
    head = {"authorization": f"Bearer {load.secret}"}
    told = httpx.get(f"{load.url}/v1/receipts/{request}", headers=head, verify=load.trust).json()
    (root / "receipt").write_text(json.dumps(told))
    said = ""
    for one in members:
        genesis = one.data / "audit" / "genesis.pub"
        if genesis.read_text().split("+")[0] == told["checkpoint"].split("\n")[0]:
            said = run(sys.executable, "auditor/verify_receipt.py", str(root / "receipt"),
                       str(genesis))  # fmt: skip
    return {"mirrored": told["mirrored"], "problem": said, "site": told["site"]}


def looked(members: list[SiteServer], load: Load) -> dict[str, Any]:
    """What the logs and mirrors of all have, when they have ended."""
    answers, leaves, mirrored = Counter[str](), dict[str, set[str]](), set[str]()
    for one in members:
        reader = LogReader(one.data / "audit")
        for first in range(0, reader.size, 500):
            for entry in reader.range(first, 500):
                if entry.kind == "outcome" and entry.body["status"] == "ok":
                    place = f"{entry.seq} {entry.leaf.hex()}"
                    leaves.setdefault(str(entry.body["request_id"]), set()).add(place)
                if entry.kind == "intent":
                    names: Any = entry.body.get("client") or {}
                    answers[names.get("x_client_request_id", "")] += 1
        genesis = VerifierKey.parse(reader.genesis())
        reader.close()
        for other in members:
            if other is not one:
                mirror = MirroredLogs(other.data, mock.Mock(), FixedClock())
                for body in mirror.entries(genesis):
                    kept = LogEntry.parse(body)
                    mirrored.add(f"{kept.seq} {kept.leaf.hex()}")
                mirror.close()
    acknowledged = load.acknowledged
    places = {name: " ".join(receipt.split()[:2]) for name, (_, receipt) in acknowledged.items()}
    canary = CANARY.encode()
    return {
        "acknowledged": len(acknowledged),
        "lost": [n for n, (r, _) in acknowledged.items() if places[n] not in leaves.get(r, ())],
        "unmirrored": [n for n in acknowledged if places[n] not in mirrored],
        "asked twice": [n for n, count in answers.items() if n and count > 1],
        "canary": [
            str(path)
            for one in members
            for path in one.data.rglob("*")
            if path.is_file() and canary in path.read_bytes()
        ],
    }


def main(root: Path, model: Path, count: int) -> dict[str, Any]:
    """Build the site, and look."""
    must("ip", "link", "set", "lo", "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    lines = {name: cable(number) for number, name in enumerate("abc", 1)}
    artifact = signed_model(root, model)

    def prepare(name: str, services: Services) -> None:
        services.lifecycle.import_model("uid:0", artifact, None, quiet)
        services.keys.create(f"of {name}")  # a listener beyond loopback needs one
        if name != "c":
            approve(services, MODEL, {"a": "Alice", "b": "Bob"}[name])

    def where(name: str) -> Where:
        return Where(lines[name].host, PORT, lines[name].inside)

    found: dict[str, Any] = {}
    audit = 'receipt = "mirrored"\nmirror_ms = 5000'
    rule = {"stale_seconds": STALE_S, "refuse_stale": True}
    with servers(root, "abc", prepare, where, audit, null=True, **rule) as site:
        members = list(site.values())
        a, b, c = members
        for one in members:
            load_approved(one)
        begun = time.monotonic()
        made = a.command("key", "new", "crm", "--any-model")
        until(lambda: all(one.admits(made["secret"]) for one in members))
        found["key on all after s"] = round(time.monotonic() - begun, 2)
        with balanced(members, root) as url:
            rate = RATE if count >= WHOLE else SHORT_RATE
            load = Load(url, made["secret"], a.trust, rate)
            found["kills"] = kills(members, load, count)
            found["limited"] = limited(members)
            found["receipt"] = receipt(root, members, load)
            slow = Load(url, made["secret"], a.trust, 20, load.acknowledged, load.failed)
            slow.numbers = load.numbers
            found["pulled"] = {
                how: pulled(b, c, lines["b"], how, slow)
                for how in (("both ways", "to it", "from it") if count >= WHOLE else ("from it",))
            }
            cables = list(lines.values())
            found["loss"] = bad_line(cables, ["loss", "30%"], slow)
            found["delay"] = bad_line(cables, ["delay", "2s"], slow)
            begun = time.monotonic()
            c.command("key", "revoke", made["id"])
            until(lambda: not any(one.admits(made["secret"]) for one in members))
            found["revoked on all after s"] = round(time.monotonic() - begun, 2)
            found["times"] = quantiles(load.times)
        for one in members:
            one.end(signal.SIGTERM)
    return {**found, **looked(members, load)}


def quantiles(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        f"p{share}": round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 4)
        for share in (50, 95, 99)
    }


if __name__ == "__main__":
    seen = main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(json.dumps(seen))
