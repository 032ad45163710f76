"""The installer, standard library only: manifest, copies, phases, ledger, health gate, rollback.

It is shipped as one zip archive (`install.pyz`). It never imports the product: it starts commands
of it.
"""
