"""A directory becomes a file that the vetting of an import passes, or nothing."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.engine.quantized import Order
from appliance.errors import ApplianceError
from appliance.trust.gguf.gguf import vet
from appliance.trust.gguf.reader import Reader, read_header
from appliance.trust.gguf.tensors import places, read_tensors
from appliance.tuning.conversion.process import convert
from appliance.tuning.quantizer_process import made_by_child
from appliance.workers.cpu_variants import best_variant, library_directory
from tests.tuning.conversion import directories
from tests.tuning.conversion.directories import TEMPLATE, VOCABULARY, write
from tests.tuning.runs import sealed

Q8_0 = 7


def tensors(path: Path) -> dict[str, bytes]:
    data = path.read_bytes()
    reader = Reader(data, len(data))
    header = read_header(reader)
    found = places(reader, header, read_tensors(reader, header))
    return {tensor.name: data[at : at + tensor.bytes] for tensor, at in found}


@pytest.mark.parametrize(
    ("architecture", "dtype", "kind"), [("llama", "BF16", "smollm"), ("qwen2", "F16", "qwen2")]
)
async def test_the_file_is_vetted_and_the_engine_reads_it(
    tmp_path: Path, architecture: str, dtype: str, kind: str
) -> None:
    source = write(tmp_path / "tiny", architecture, dtype, kind)
    made = convert(source, tmp_path / "tiny.gguf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny", "tiny.gguf"]
    data = made.path.read_bytes()
    facts = vet(data)
    assert (facts.architecture, facts.name, facts.n_vocab) == (architecture, "tiny", VOCABULARY)
    assert (facts.chat_template, facts.n_ctx_train, facts.n_head_kv) == (TEMPLATE, 128, 2)
    assert (made.size, made.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (made.result.type, made.result.tokenizer) == (dtype, kind)
    config = (source / "config.json").read_bytes()
    assert made.sources["config.json"] == hashlib.sha256(config).hexdigest()
    assert made.result.confinement["seccomp"] and int(made.result.confinement["landlock"]) >= 1
    weights = directories.weights(architecture, dtype)
    found = tensors(made.path)
    assert found["token_embd.weight"] == weights["model.embed_tokens.weight"].tobytes()
    assert (
        found["blk.1.ffn_down.weight"] == weights["model.layers.1.mlp.down_proj.weight"].tobytes()
    )
    assert ("output.weight" in found) == (architecture == "qwen2")
    base = sealed(made.path)
    order = Order(Q8_0, 1, [[257, 5, 6, 7]], 0, 4 << 30, 1 << 30)
    fd, result = await made_by_child(base, order, best_variant(library_directory()))
    os.close(fd)
    base.close()
    assert result.compared and result.compared.kld < 0.1


def test_weights_in_several_files_are_one_model(tmp_path: Path) -> None:
    whole = convert(write(tmp_path / "tiny"), tmp_path / "whole.gguf")
    (tmp_path / "parts").mkdir()
    parts = write(tmp_path / "parts" / "tiny")  # the name is in the file
    (parts / "model.safetensors").unlink()
    weights = list(directories.weights("llama", "BF16").items())
    placed: dict[str, str] = {}
    for number, part in enumerate((weights[:7], weights[7:]), 1):
        name = f"model-0000{number}-of-00002.safetensors"
        directories.write_safetensors(parts / name, dict(part))
        placed |= dict.fromkeys(dict(part), name)
    index = parts / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    assert convert(parts, tmp_path / "again.gguf").sha256 == whole.sha256
    index.write_text(json.dumps({"weight_map": {**placed, "model.norm.weight": "other"}}))
    with pytest.raises(ApplianceError, match="names other tensors"):
        convert(parts, tmp_path / "third.gguf")
    directories.write_safetensors(parts / "twice.safetensors", dict(weights[:1]))
    with pytest.raises(ApplianceError, match="is in two files"):
        convert(parts, tmp_path / "third.gguf")
    assert not (tmp_path / "third.gguf").exists()


def rewrite(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda path: (path / name).write_bytes(data)


def linked(name: str) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        (path / name).rename(path.parent / "elsewhere")
        (path / name).symlink_to(path.parent / "elsewhere")

    return change


def longer(path: Path) -> None:
    with (path / "model.safetensors").open("ab") as file:
        file.write(b"x")


def code(path: Path) -> None:
    document = directories.config("llama", auto_map={"AutoModel": "code.Model"})
    (path / "config.json").write_text(json.dumps(document))


def broken_text(path: Path) -> None:
    document = directories.given(chat_template="\ud800")
    (path / "tokenizer_config.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (rewrite("pytorch_model.bin", b"\x80\x02"), "convert_source"),
        (rewrite("optimizer.PT", b"\x80\x02"), "convert_source"),
        (linked("model.safetensors"), "file_symlink"),
        (linked("config.json"), "file_symlink"),
        (lambda path: (path / "x").hardlink_to(path / "config.json"), "file_hardlink"),
        (lambda path: (path / "tokenizer.json").unlink(), "convert_source"),
        (lambda path: (path / "model.safetensors").unlink(), "convert_source"),
        (lambda path: path.rename(path.parent / "away"), "convert_source"),
        (rewrite("two\nlines.safetensors", b""), "convert_source"),
        (code, "convert_source"),
        (longer, "convert_tensors"),
        (broken_text, "convert_source"),
    ],
)
def test_what_is_no_plain_model_leaves_nothing(
    tmp_path: Path, change: Callable[[Path], object], expected: str
) -> None:
    source = write(tmp_path / "tiny")
    change(source)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ApplianceError) as refused:
        convert(source, tmp_path / "tiny.gguf")
    assert refused.value.code == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_the_vetting_refuses_is_not_left(tmp_path: Path) -> None:
    source = write(tmp_path / "tiny")
    document = directories.tokenizer()
    document["added_tokens"][2]["content"] = "[PAD260]"  # as an id without a token is called
    (source / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(ApplianceError) as refused:
        convert(source, tmp_path / "tiny.gguf")
    assert refused.value.code == "gguf_tokenizer" and not list(tmp_path.glob("tiny.gguf*"))


def test_nothing_is_overwritten_and_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    source, target = write(tmp_path / "tiny"), tmp_path / "tiny.gguf"
    (tmp_path / "tiny.gguf.part").write_bytes(b"half")
    convert(source, target)
    made = target.read_bytes()
    with pytest.raises(ApplianceError) as refused:
        convert(source, target)
    assert refused.value.code == "data_exists" and target.read_bytes() == made
    with pytest.raises(ApplianceError) as refused:
        convert(source, tmp_path / "none" / "tiny.gguf")
    assert refused.value.code == "convert_failed"
