"""The numbers of a decoder: those of the trainer's architectures, and nothing that is left out."""

from typing import Any

import pytest

from appliance.errors import TuningRefused
from appliance.tuning.conversion.config import ARCHITECTURES, read
from appliance.tuning.conversion.documents import Members
from appliance.tuning.conversion.messages import CONFIG
from appliance.tuning.trainer import weights
from tests.tuning.conversion.directories import HEAD, HEADS_KV, config


def test_the_architectures_are_those_of_the_trainer() -> None:
    assert set(ARCHITECTURES.values()) == set(weights.ARCHITECTURES)


def test_what_is_absent_follows_from_the_rest() -> None:
    found = read(Members(CONFIG, config("llama")))
    assert (found.head, found.heads_kv, found.base, found.tied) == (HEAD, HEADS_KV, 1e5, True)
    table = config("qwen2", num_key_value_heads=None, head_dim=None, tie_word_embeddings=None)
    table["rope_parameters"] = {"rope_theta": 1e6, "rope_type": "default"}
    del table["rope_theta"]
    found = read(Members(CONFIG, table))
    assert (found.heads_kv, found.head, found.base, found.tied) == (4, HEAD, 1e6, False)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"auto_map": {"AutoModel": "code.Model"}}, "convert_source"),
        ({"architectures": ["MambaForCausalLM"]}, "convert_architecture"),
        ({"architectures": ["LlamaForCausalLM", "Qwen2ForCausalLM"]}, "convert_architecture"),
        ({"architectures": "LlamaForCausalLM"}, "convert_architecture"),
        ({"model_type": "mistral"}, "convert_architecture"),
        ({"quantization_config": {"quant_method": "gptq"}}, "convert_architecture"),
        ({"hidden_act": "gelu"}, "convert_architecture"),
        ({"use_sliding_window": True}, "convert_architecture"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8}}, "convert_architecture"),
        ({"rope_parameters": {"type": "yarn"}}, "convert_architecture"),
        ({"num_key_value_heads": 3}, "convert_architecture"),
        ({"hidden_size": 0}, "convert_source"),
        ({"hidden_size": 2**40}, "convert_source"),
        ({"hidden_size": True}, "convert_source"),
        ({"num_hidden_layers": "2"}, "convert_source"),
        ({"vocab_size": None}, "convert_source"),
        ({"rms_norm_eps": -1}, "convert_source"),
        ({"rope_theta": "big"}, "convert_source"),
    ],
)
def test_what_would_be_another_model_is_refused(more: dict[str, Any], code: str) -> None:
    with pytest.raises(TuningRefused) as refused:
        read(Members(CONFIG, config("llama", **more)))
    assert refused.value.code == code
