"""A GGUF as a directory of safetensors in 16 bits, for vLLM, which reads no GGUF on a processor.

It runs in vLLM's environment: transformers reads the GGUF, and nothing is fetched.

usage: HF_HUB_OFFLINE=1 python -P league_convert.py GGUF DIRECTORY
"""

import copy
import sys
from pathlib import Path


def convert(gguf: Path, directory: str) -> None:
    """Write the weights as the GGUF's numbers stand for them, and the tokeniser."""
    import torch
    import transformers  # type: ignore[import-not-found,unused-ignore]

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**source)
    read = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    config = copy.deepcopy(read.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = type(read)(config)  # the one that was read says that it is quantised
    plain.load_state_dict(read.state_dict())
    plain.tie_weights()
    plain.generation_config = read.generation_config
    plain.to(torch.bfloat16).save_pretrained(directory)
    tokenizer.save_pretrained(directory)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), sys.argv[2])
