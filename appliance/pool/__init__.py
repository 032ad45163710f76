"""Models in memory: loading, waiting, eviction."""
