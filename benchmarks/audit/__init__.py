"""The audit log measured by itself: `make bench-audit`."""
