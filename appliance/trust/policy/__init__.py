"""Trust of the appliance: root, metadata, policy, people and their certificates."""
