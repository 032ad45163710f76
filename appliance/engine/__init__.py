"""The confined child: scheduler, cells, kept prefixes, sampling; the runner over llama.cpp."""
