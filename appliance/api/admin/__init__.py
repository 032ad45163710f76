"""The routes of the admin socket; roles from the peer's uid."""
