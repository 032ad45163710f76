"""API keys and groups of them, counts of rejected traffic, TLS certificates."""
