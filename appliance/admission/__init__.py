"""Admission of requests: places in the queue, fair turns between keys, quotas."""
