"""Who may run now: places in the queue, fair turns between keys, quotas."""
