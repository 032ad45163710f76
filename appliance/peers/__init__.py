"""Several appliances at one site: each witnesses the others; documents travel, looks are agreed."""
