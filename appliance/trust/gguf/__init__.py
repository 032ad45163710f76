"""GGUF files: a strict parser and the checks on what it finds. Pure."""
