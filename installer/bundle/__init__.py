"""The connected side: locks, wheels, GPU plugins, bills of materials, default model, bundle."""
