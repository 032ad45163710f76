"""The logs that the auditor's programs look at are those of tests/audit."""

from tests.audit.conftest import intruder, pristine, victim

__all__ = ["intruder", "pristine", "victim"]
