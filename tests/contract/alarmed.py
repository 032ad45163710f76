"""`appliance` whose table of alarms finds more than is wrong: each code that a file names.

    python -m tests.contract.alarmed CODES serve …
The alarms are those of the table's own rules, in the facts of tests/incidents/test_rules.py.
"""

import sys
from pathlib import Path

from appliance.cli.main import cli
from appliance.incidents import rules
from appliance.incidents.facts import Facts
from tests.incidents.test_rules import BAD


def raise_codes(named: Path) -> None:
    found = rules.alarms

    def alarms(facts: Facts) -> list[rules.Alarm]:
        codes = named.read_text().split() if named.exists() else []
        return found(facts) + [a for code in codes for a in found(BAD[code]) if a.code == code]

    rules.alarms = alarms


if __name__ == "__main__":
    raise_codes(Path(sys.argv[1]))
    cli(sys.argv[2:])
