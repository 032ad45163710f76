"""Runs an example: `python -m examples NAME ...`; each is shown as it goes, command by command."""

import argparse
import sys

from examples import demo, tour, tour_licences
from examples.demo import DemoError, say

EXAMPLES = {"demo": demo, "tour": tour, "licences": tour_licences}


def main() -> int:
    """Run one; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples")
    names = parser.add_subparsers(dest="name", required=True)
    for name, module in EXAMPLES.items():
        module.options(names.add_parser(name, description=module.__doc__))
    given = parser.parse_args()
    try:
        EXAMPLES[given.name].run(given)
    except DemoError as error:
        say(f"{given.name} failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
