"""The number of right answers, by no code of the product. Standard library alone.

usage: score.py ITEMS.jsonl ANSWERS.jsonl; prints items, majority and accuracy of the test split.
"""

import collections
import json
import pathlib
import sys


def lines(path: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in pathlib.Path(path).read_text("utf-8").splitlines()]


def main() -> None:
    """Each line has an id and an answer; a missing answer is wrong."""
    items = lines(sys.argv[1])
    answers = {row["id"]: row["answer"] for row in lines(sys.argv[2])}
    trained = collections.Counter(row["expected"] for row in items if row["split"] == "train")
    majority = trained.most_common(1)[0][0]
    tests = [row for row in items if row["split"] == "test"]
    right = sum(answers.get(row["id"]) == row["expected"] for row in tests)
    common = sum(row["expected"] == majority for row in tests)
    found = {
        "items": len(tests),
        "majority": common / len(tests),
        "accuracy": right / len(tests),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
