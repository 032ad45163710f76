"""Bytes in, verdict out: signatures and certificates, strict JSON, directories, sealed memory."""
