"""The shapes of a model, without a file."""

from appliance.trust.gguf.gguf import GgufFacts
from appliance.trust.gguf.tensors import Tensor

MIB = 1 << 20


def facts(width: int = 576, inner: int = 1536, layers: int = 30) -> GgufFacts:
    shapes = {
        "attn_q": (width, 576), "attn_k": (width, 192), "attn_v": (width, 192),
        "attn_output": (576, width), "ffn_gate": (width, inner), "ffn_up": (width, inner),
        "ffn_down": (inner, width),
    }  # fmt: skip
    tensors = {"token_embd.weight": Tensor("token_embd.weight", (width, 49_152), 0, 3)}
    for layer in range(layers):
        for kind, shape in shapes.items():
            name = f"blk.{layer}.{kind}.weight"
            tensors[name] = Tensor(name, shape, 0, 3)
    return GgufFacts(
        architecture="llama", n_tensors=len(tensors), file_bytes=98 * MIB, tensor_bytes=98 * MIB,
        n_ctx_train=8192, n_layer=layers, n_embd=width, n_head=9, n_head_kv=3, head_dim_k=64,
        head_dim_v=64, n_vocab=49_152, chat_template=None, has_template=False, name="",
        kind="generate", matrices={}, layer_bytes=0, output_bytes=0, n_wide=0, n_window=0,
        n_merges=0, tensors=tensors,
    )  # fmt: skip
