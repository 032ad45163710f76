"""A task and a sealed dataset in a lab's store, and specifications of their gate."""

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

from appliance.app import Services
from appliance.audit import content
from appliance.audit.files import LogFiles
from appliance.datasets import directory, sealing
from appliance.datasets.ledger import FALLING
from appliance.datasets.sealing import SealKey
from appliance.facts import TaskFacts
from appliance.trust.artifacts import signing
from appliance.trust.policy.policy_file import marks_key
from appliance.trust.statements.specification import Specification
from tests.evals.orders import TASK, item, write_task
from tests.smol import APPROVERS, approve, key, quiet

MODEL_DIGEST = "16399c58348341f1727030d1fc312a7fb25819f69fcbb6d15fd0687f698a49c4"
GROUPS = 52


def sealing_key(services: Services) -> SealKey:
    kek = LogFiles(services.data / "audit").key_encryption_key()
    name, secret = secrets.token_hex(16), secrets.token_bytes(32)
    wrapped = content.wrap(kek, sealing.key_id(name), secret)
    return SealKey(name, secret, wrapped, content.kek_name(kek), marks_key(services.data / "trust"))


def write_dataset(
    path: Path, *, groups: int = GROUPS, dev: int = 12, first: int = 0,
    seal: SealKey | None = None, split: str = "test",
) -> Path:  # fmt: skip
    """A dataset of work orders: a test item for each group, sealed with a key.

    Parts are numbered by dataset, so that no two share looks.

    Args:
        first: number of the first item of train; texts of other splits begin with 0.
        split: the sealed one; `unlabelled` has the same items without their labels.
    """
    path.mkdir(parents=True)
    name = path.name
    manifest = {"format": 1, "version": 1, "name": name, "splits": {}}
    (path / "dataset.json").write_text(json.dumps(manifest))
    counts = {"train": 120, "dev": dev, split: groups}
    for part, count in counts.items():
        lines, start = [], first if part == "train" else 0
        for n in range(start, start + count):
            of = "test" if part == split else part
            found = item(n, of)
            own = hashlib.sha256(f"{name} {of} {n}".encode()).hexdigest()[:48]
            text = f"{found['input']['text']} {own[:24]} {own[24:]}"  # type: ignore[index]
            found |= {"input": {"text": text}, "group": f"{of}-g{n}"}
            if part == "unlabelled":
                del found["expected"]
            lines.append(json.dumps(found))
        (path / f"{part}.jsonl").write_text("\n".join(lines) + "\n")
    if seal is not None:
        directory.seal(path, directory.read(path), seal, sealing.SEALABLE)
    return path


def add_dataset(services: Services, path: Path, **more: Any) -> str:
    write_dataset(path, seal=sealing_key(services), **more)
    signing.sign_directory(path, key(services.data, "publisher"), quiet)
    services.lifecycle.import_model("uid:0", path, None, quiet)
    approve(services, path.name, *APPROVERS)
    return path.name


def add_task(services: Services, path: Path, text: str = TASK, model: str | None = None) -> str:
    digest = services.store.inventory.record(model).digest if model else MODEL_DIGEST
    write_task(path, text.replace(MODEL_DIGEST, digest or ""))
    signing.sign_directory(path, key(services.data, "publisher"), quiet)
    services.lifecycle.import_model("uid:0", path, None, quiet)
    return path.name


def terms(services: Services, task: str, data: str, **changes: Any) -> Specification:
    inventory = services.store.inventory
    facts = inventory.record(task).facts
    assert isinstance(facts, TaskFacts)
    given: dict[str, Any] = {
        "task": task,
        "task_digest": inventory.record(task).digest,
        "dataset": data,
        "dataset_digest": inventory.record(data).digest,
        "split": "test",
        "metric": facts.metric,
        "margin_micros": facts.margin_micros,
        "alpha_micros": facts.alpha_micros,
        "looks": 4,
        "model": facts.model,
        "model_digest": facts.model_digest,
        "incumbent": "none",
        "floors": {"": 1_000},
        "schedule": FALLING,
        "seed": secrets.token_hex(16),
        "name": "publisher",
        "time": "2026-09-21T00:00:00Z",
    }
    return Specification(**(given | changes))


def envelope(services: Services, wanted: Specification, name: str = "publisher") -> bytes:
    return wanted.sign(key(services.data, name))
