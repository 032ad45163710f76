"""Facts of the machine: hardware, usage, joules, removable media; no core dumps."""
