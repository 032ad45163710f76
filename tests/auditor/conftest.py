"""The auditor's programs verify the logs of tests/audit."""

from tests.audit.conftest import intruder, pristine, three, victim, whole

__all__ = ["intruder", "pristine", "three", "victim", "whole"]
