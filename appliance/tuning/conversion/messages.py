"""Messages between the command and the child that converts. Pure."""

import msgspec

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
INDEX = "model.safetensors.index.json"


class ConversionOrder(msgspec.Struct, frozen=True):
    """A conversion to do.

    Attributes:
        memory_bytes: address space that may be mapped beyond what is mapped at the drop.
        most_bytes: limit of the new file.
    """

    name: str
    files: dict[str, int]
    memory_bytes: int
    most_bytes: int


class ConversionResult(msgspec.Struct, frozen=True):
    """Result of a conversion.

    Attributes:
        code: stable code of a refusal; "" otherwise.
        type: of the matrices.
        tokenizer: llama.cpp's name of its way of cutting texts.
    """

    code: str = ""
    message: str = ""
    architecture: str = ""
    type: str = ""
    tokenizer: str = ""
    tensors: int = 0
    confinement: dict[str, bool | int | str] = {}
