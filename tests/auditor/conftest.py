"""The logs that the auditor's programs look at are those of tests/audit."""

from tests.audit.conftest import intruder, pristine, three, victim, whole

__all__ = ["intruder", "pristine", "three", "victim", "whole"]
