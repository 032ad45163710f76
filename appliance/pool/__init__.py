"""Models in memory, and the one door to it: load, wait, evict, suspend, retire, revoke."""
