"""The default model in a lab data directory: signed, imported and approved by two people."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from pathlib import Path

from appliance.app import Services, initialise, open_services
from appliance.config import AuditConfig, Config, EngineConfig, ModelConfig
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.store import VerifiedModel, load_policy
from appliance.trust.statements import approval
from appliance.types import Caller, GenerationRequest, Principal, Sampling

_SETTINGS = {field.name for field in fields(Sampling)} - {"seed"}
ID = "smol"
APPROVERS = ("approver-1", "approver-2")
# One thread: the tests share their cores with others. A small cache: what is tested is full soon.
SMALL = Config(
    engine=EngineConfig(threads=1),
    models={"default": ModelConfig(n_ctx=512, slots=2)},
    audit=AuditConfig(ballast_mib=0),
)


def quiet(_phase: str, _done: int, _total: int) -> None:
    pass


def signed_artifact(data: Path, gguf: Path, path: Path) -> Path:
    path.mkdir()
    shutil.copyfile(gguf, path / "model.gguf")
    signing.sign_directory(path, key(data, "publisher"), quiet)
    return path


def key(data: Path, name: str) -> bytes:
    return (data / "keys" / "lab" / f"{name}.pem").read_bytes()


def approve(services: Services, model_id: str, *names: str, meaning: str = "fit for use") -> None:
    for name in names:
        subject = services.lifecycle.subject(model_id)
        envelope = approval.sign(
            subject,
            name=name,
            meaning=meaning,
            time_us=services.clock.wall_us(),
            private_key=key(services.data, name),
        )
        services.lifecycle.approve("uid:0", model_id, envelope)


def make_data(root: Path, gguf: Path, *, evaluated: bool = False) -> Path:
    data = root / "data"
    initialise(data, "lab", evaluated=evaluated)
    artifact = signed_artifact(data, gguf, root / ID)
    with open_services(data, config=SMALL) as services:
        services.lifecycle.import_model("uid:0", artifact, None, quiet)
        approve(services, ID, *APPROVERS)
    shutil.rmtree(artifact)
    return data


def sealed(services: Services, model_id: str = ID) -> VerifiedModel:
    return services.store.seal(model_id, load_policy(services.data / "trust"), quiet)


@contextlib.asynccontextmanager
async def loaded(services: Services) -> AsyncIterator[Services]:
    await services.supervisor.start(sealed(services))
    yield services
    await services.inference.drain(30)
    await services.supervisor.close()


async def idle(services: Services) -> None:
    """No answer is under way and the engine has nothing to do."""

    def still() -> bool:
        counts = [(s.running, s.queued, s.kv_used) for s in services.supervisor.status()]
        return not services.inference.running() and all(c == (0, 0, 0) for c in counts)

    await until(still)


def caller(key_id: str = "k1", *models: str, request_id: str = "req-1") -> Caller:
    principal = Principal(key_id, f"app of {key_id}", frozenset(models))
    return Caller(principal, request_id, "127.0.0.1", "/v1/completions")


def request(prompt: str = "The capital of France is", **asked: object) -> GenerationRequest:
    """A greedy completion of a few tokens."""
    settings = {name: asked.pop(name) for name in _SETTINGS & set(asked)}
    sampling = Sampling(**{"temperature": 0.0, **settings})  # type: ignore[arg-type]
    given: dict[str, object] = {"max_tokens": 4, "ignore_eos": True, **asked}
    if "tokens" not in asked:
        given["prompt"] = prompt
    return GenerationRequest(model=ID, sampling=sampling, **given)  # type: ignore[arg-type]


async def until(happened: Callable[[], object], seconds: float = 240) -> None:
    """For events that nothing announces."""
    async with asyncio.timeout(seconds):
        while not happened():
            await asyncio.sleep(0.002)
