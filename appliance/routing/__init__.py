"""Routes: the small stage answers what a certificate lets it answer; the rest goes further."""
