"""Several appliances at one site: each is a witness of the logs of the others."""
