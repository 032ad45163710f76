"""Whom the appliance trusts: root, metadata, policy, people and their certificates."""
