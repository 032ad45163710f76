"""The confined process that makes a GGUF file of a directory of safetensors."""
