"""The server's end of a worker: children, supervision, memory, processor variants, GPUs."""
