"""Facts of the machine: hardware, usage, removable media."""
