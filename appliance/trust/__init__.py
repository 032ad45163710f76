"""Pure verifiers: artifacts | ceremony → statements → policy → bytes | gguf."""
