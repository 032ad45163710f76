"""A data directory in which bad artifacts are tried one after the other."""

import base64
import contextlib
import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.app import Services, initialise, open_services
from appliance.audit.search import Query
from appliance.clock import FixedClock
from appliance.errors import Refused
from appliance.trust.artifacts import signing
from appliance.trust.bytes import dsse, ecdsa, strict_json
from appliance.trust.policy.policy import PAYLOAD_TYPE
from tests.smol import APPROVERS, SMALL, approve, key, quiet
from tests.trust import bad_adapters, certs, forge
from tests.trust.bad_inputs import Bad, Change

OF_THE_POLICY = certs.chain()


@dataclass(frozen=True)
class Outcome:
    """Result of one artifact.

    Attributes:
        crashed: another exception than a refusal.
        unchanged: the files and approvals of the store are as before.
        entries: codes of the audit entries that end in a refusal.
    """

    code: str
    crashed: str
    unchanged: bool
    entries: list[str]


@dataclass
class Bench:
    services: Services
    root: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def digest(self) -> str:
        digest = hashlib.sha256()
        models = self.services.data / "models"
        for path in sorted(models.rglob("*")):
            digest.update(str(path.relative_to(models)).encode() + b"\0")
            digest.update(path.read_bytes() if path.is_file() else b"directory")
        return digest.hexdigest()

    def attempt(self, change: Change) -> Outcome:
        """Make a good artifact, spoil it, import it."""
        path = self.root / f"case-{next(self.numbers)}"
        forge.make_artifact(path)
        bad = Bad(path, ecdsa.load_private(key(self.services.data, "publisher")), OF_THE_POLICY)
        bad.resign()
        change(bad)
        return self.taken(path, path.name)

    def taken(self, path: Path, model_id: str) -> Outcome:
        """Import an artifact, and remove it again."""
        before, code, crashed = self.digest(), "", ""
        try:
            record = self.services.lifecycle.import_model("uid:0", path, model_id, quiet)
            code = record.code or ""
        except Refused as error:
            code = error.code
        except Exception as error:
            crashed = repr(error)
        found = self.services.reader.search(Query(kind="model", model=model_id, limit=100)).entries
        entries = [str(e.body["code"]) for e in found if e.body["state"] in ("refused", "revoked")]
        outcome = Outcome(code, crashed, self.digest() == before, entries)
        shutil.rmtree(path, ignore_errors=True)
        self.services.store.inventory.discard(model_id)
        return outcome


@dataclass
class AdapterBench(Bench):
    base: Path = field(init=False)

    def __post_init__(self) -> None:
        self.base = self.root / "tiny"
        forge.make_artifact(self.base)
        publisher = ecdsa.load_private(key(self.services.data, "publisher"))
        forge.resign(self.base, publisher)
        self.services.lifecycle.import_model("uid:0", self.base, None, quiet)
        approve(self.services, "tiny", *APPROVERS)

    def attempt_adapter(self, change: bad_adapters.Change) -> Outcome:
        path = self.root / f"case-{next(self.numbers)}"
        path.mkdir()
        bad = bad_adapters.BadAdapter(
            path, self.base, ecdsa.load_private(key(self.services.data, "publisher"))
        )
        bad.gguf.write_bytes(forge.lora().build())
        signing.bind_adapter(path, self.base, quiet)
        bad.resign()
        change(bad)
        return self.taken(path, f"tiny:{path.name}")


def set_policy(data: Path) -> None:
    """Let the chain's subject publish, and revoke one serial number."""
    file = data / "trust" / "policy.json"
    document = json.loads(base64.b64decode(json.loads(file.read_bytes())["payload"]))
    document["authorities"] = [
        {
            "certificate": OF_THE_POLICY.root.pem.decode(),
            "subjects": {OF_THE_POLICY.leaf.subject: "Ada"},
        }
    ]
    document["revoked"]["serials"] = ["bad"]
    root = ecdsa.load_private(key(data, "root"))
    file.write_bytes(dsse.sign(strict_json.dump(document), PAYLOAD_TYPE, [root]))


@contextlib.contextmanager
def open_bench(root: Path) -> Iterator[Bench]:
    """A fresh lab whose policy also knows an authority."""
    with _opened(root) as services:
        yield Bench(services, root)


@contextlib.contextmanager
def open_adapter_bench(root: Path) -> Iterator[AdapterBench]:
    with _opened(root) as services:
        yield AdapterBench(services, root)


@contextlib.contextmanager
def _opened(root: Path) -> Iterator[Services]:
    data = root / "data"
    initialise(data, "lab", FixedClock())
    set_policy(data)
    with open_services(data, config=SMALL, clock=FixedClock()) as services:
        yield services
