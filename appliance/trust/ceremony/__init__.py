"""Making and renewing the trust root by several people."""
