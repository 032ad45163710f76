"""The log: entries, Merkle trees, checkpoints, proofs; writer, reader, recovery, segments."""
