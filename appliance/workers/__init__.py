"""The server's end of a worker: spawn, supervise, memory, processor variants, GPUs."""
