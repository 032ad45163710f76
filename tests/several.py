"""Several models in one data directory: the default model under other ids, and others."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from appliance.app import initialise, open_services
from appliance.config import Config, EngineConfig, ModelConfig
from appliance.types import GenerationRequest, Sampling
from tests.smol import APPROVERS, SMALL, approve, quiet, signed_artifact

NAMES = ("one", "two", "three")
SETTINGS = ModelConfig(n_ctx=512, slots=2, kept_prefixes=0)


def make_models(root: Path, files: Mapping[str, Path]) -> Path:
    data = root / "data"
    initialise(data, "lab")
    with open_services(data, config=SMALL) as services:
        for name, gguf in files.items():
            artifact = signed_artifact(data, gguf, root / name)
            services.lifecycle.import_model("uid:0", artifact, None, quiet)
            approve(services, name, *APPROVERS)
            shutil.rmtree(artifact)
    return data


def config(memory_mib: int = 0, wait: int = 60, **models: ModelConfig) -> Config:
    """Settings by id with underscores for dashes."""
    return Config(
        engine=EngineConfig(threads=1, memory_mib=memory_mib, load_wait_seconds=wait),
        models={"default": SETTINGS, **models},
    )


def ask(model: str, **asked: object) -> GenerationRequest:
    given: dict[str, object] = {"prompt": "The capital of France is", "max_tokens": 2, **asked}
    return GenerationRequest(
        model=model,
        sampling=Sampling(temperature=0.0),
        ignore_eos=True,
        **given,  # type: ignore[arg-type]
    )
