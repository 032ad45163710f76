"""Programs for machines that are not the appliance: each is one file that needs no other."""
