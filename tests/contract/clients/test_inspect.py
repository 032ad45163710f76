"""`inspect-ai`: an evaluation, a demanded function, an answer to a schema."""

import asyncio
import json
from pathlib import Path
from typing import Any

from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessageUser,
    GenerateConfig,
    Model,
    ResponseSchema,
    get_model,
)
from inspect_ai.scorer import exact, includes
from inspect_ai.solver import generate
from inspect_ai.tool import ToolFunction, ToolInfo, ToolParam, ToolParams
from inspect_ai.util import json_schema
from pydantic import BaseModel


class Valve(BaseModel):
    """The state of a valve."""

    name: str
    open: bool


def model(server: Any, named: str = "") -> Model:
    return get_model(
        f"openai-api/appliance/{named or server.model}",
        base_url=server.base_url,
        api_key=server.api_key,
    )


def test_an_evaluation_runs_to_its_end(server: Any, tmp_path: Path) -> None:
    samples = [Sample(input=f"Say the number {n}.", target=str(n)) for n in range(4)]
    task = Task(dataset=samples, solver=generate(), scorer=includes())
    (log,) = evaluate(
        task, model=model(server), log_dir=str(tmp_path), display="none", max_tokens=12,
        temperature=0,
    )  # fmt: skip
    assert log.status == "success" and log.results is not None
    assert log.results.completed_samples == 4


def test_a_demanded_function_and_a_schema(server: Any) -> None:
    async def asked() -> tuple[Any, Any]:
        pressure = ToolInfo(
            name="pressure", description="The pressure at a valve.",
            parameters=ToolParams(
                properties={"valve": ToolParam(type="string", description="Its name.")},
                required=["valve"],
            ),
        )  # fmt: skip
        talk: list[Any] = [ChatMessageUser(content="Valve V7 is open.")]
        config = GenerateConfig(max_tokens=80, temperature=0)
        called = await model(server).generate(
            talk, tools=[pressure], tool_choice=ToolFunction("pressure"), config=config
        )
        form = ResponseSchema(name="valve", json_schema=json_schema(Valve))
        held = config.merge(GenerateConfig(response_schema=form))
        return called, await model(server).generate(talk, config=held)

    called, held = asyncio.run(asked())
    assert [call.function for call in called.message.tool_calls] == ["pressure"]
    assert Valve.model_validate_json(held.completion).name is not None


def test_a_task_is_evaluated_by_its_name(server: Any, tmp_path: Path) -> None:
    samples = [
        Sample(input="replace hose", target="hydraulics"),
        Sample(input=json.dumps({"text": "replace turbo"}), target="engine"),
        Sample(input="pump leaks", target="hydraulics"),
    ]
    task = Task(dataset=samples, solver=generate(), scorer=exact())
    (log,) = evaluate(task, model=model(server, server.task), log_dir=str(tmp_path), display="none")
    assert log.status == "success" and log.samples is not None
    answers = [sample.output.completion for sample in log.samples]
    assert len(answers) == 3 and set(answers) <= {"hydraulics", "engine"}
