"""The listeners: sockets, TLS, signals, draining."""
