"""The checks P1 to P11, one module per subject."""
