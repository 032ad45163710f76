"""Stock `lm-eval` without a network: a task of our own, by log-likelihood and by chat.

What it computed is written to `CONTRACT_OUT`, for the caller to compare with its own scoring.
"""

import json
import os
from pathlib import Path
from typing import Any

import lm_eval

ITEMS = [
    ("The capital of France is", ["Paris", "banana", "seven"], 0),
    ("Two plus two is", ["Rome", "four", "purple"], 1),
    ("The sky on a clear day is", ["square", "angry", "blue"], 2),
    ("Ice is frozen", ["water", "music", "money"], 0),
    ("Dogs and cats are", ["equations", "animals", "rivers"], 1),
    ("The opposite of hot is", ["cold", "table", "run"], 0),
]


def task(directory: Path, kind: str, **fields: Any) -> dict[str, Any]:
    data = directory / "items.jsonl"
    lines = (json.dumps({"text": t, "choices": c, "answer": a}) for t, c, a in ITEMS)
    data.write_text("\n".join(lines))
    return {
        "task": f"local_{kind}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": kind,
        "doc_to_text": "{{text}}",
        **fields,
    }


def evaluate(
    server: Any, model: str, path: str, made: dict[str, Any], *, named: str = "", **fields: Any
) -> Any:
    arguments = {
        "model": named or server.model,
        "base_url": server.base_url + path,
        "max_length": 512,
    }
    return lm_eval.simple_evaluate(
        model=model, model_args={**arguments, **fields.pop("extra", {})}, tasks=[made],
        bootstrap_iters=0, log_samples=True, **fields,
    )  # fmt: skip


def test_log_likelihoods(server: Any, tmp_path: Path) -> None:
    made = task(
        tmp_path, "multiple_choice", doc_to_choice="choices", doc_to_target="answer",
        metric_list=[{"metric": "acc"}],
    )  # fmt: skip
    result = evaluate(
        server, "local-completions", "/completions", made,
        extra={"tokenizer_backend": "remote", "auth_token": server.api_key, "num_concurrent": 4},
    )  # fmt: skip
    samples = result["samples"]["local_multiple_choice"]
    scored = [
        [*arguments, *answer[0]]
        for sample in samples
        for arguments, answer in zip(sample["arguments"], sample["resps"], strict=True)
    ]
    assert len(scored) == 3 * len(ITEMS)
    Path(os.environ["CONTRACT_OUT"]).write_text(json.dumps(scored))
    # One entry too early or too late would give chance, a third.
    assert result["results"]["local_multiple_choice"]["acc,none"] >= 0.8


def test_chat(server: Any, tmp_path: Path) -> None:
    made = task(
        tmp_path, "generate_until", doc_to_target="{{choices[answer]}}",
        generation_kwargs={"until": ["\n"], "max_gen_toks": 16},
        metric_list=[{"metric": "exact_match"}],
    )  # fmt: skip
    result = evaluate(
        server, "local-chat-completions", "/chat/completions", made, apply_chat_template=True
    )
    answers = [sample["resps"][0][0] for sample in result["samples"]["local_generate_until"]]
    assert len(answers) == len(ITEMS) and any(answers)


ORDERS = [("replace hose", "hydraulics"), ("replace turbo", "engine"), ("pump leaks", "hydraulics")]


def test_a_task_is_asked_by_its_name(server: Any, tmp_path: Path) -> None:
    data = tmp_path / "orders.jsonl"
    data.write_text("\n".join(json.dumps({"text": t, "label": label}) for t, label in ORDERS))
    made = {
        **task(tmp_path, "generate_until", doc_to_target="{{label}}"),
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "generation_kwargs": {"until": [], "max_gen_toks": 16},
        "metric_list": [{"metric": "exact_match"}],
    }
    result = evaluate(
        server, "local-chat-completions", "/chat/completions", made,
        named=server.task, apply_chat_template=True,
    )  # fmt: skip
    samples = result["samples"]["local_generate_until"]
    answers = [sample["resps"][0][0] for sample in samples]
    assert len(answers) == 3 and set(answers) <= {"hydraulics", "engine"}
    right = [answer == label for answer, (_, label) in zip(answers, ORDERS, strict=True)]
    told = result["results"]["local_generate_until"]["exact_match,none"]
    assert told == sum(right) / 3
