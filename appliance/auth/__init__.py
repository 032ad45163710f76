"""API keys of apps, and later their quotas and shares."""
