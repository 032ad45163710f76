"""Signed directories: facts, signing, intake, inventory, and the store that verifies them."""
