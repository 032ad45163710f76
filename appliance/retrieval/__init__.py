"""The customer's documents as evidence: collections, access rights, search, citations, removal."""
