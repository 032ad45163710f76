"""The installer, standard library only: manifest, copies, phases, ledger, health gate, rollback.

Shipped as one zip archive (`install.pyz`).
"""
