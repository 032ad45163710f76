"""The process that trains: confined, without network, with the tuning set beside the product."""
