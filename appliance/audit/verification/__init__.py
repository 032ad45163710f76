"""Reading a log back and proving that nothing was changed."""
