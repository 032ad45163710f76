"""The listeners of both surfaces in one event loop: TLS, signals, draining."""
