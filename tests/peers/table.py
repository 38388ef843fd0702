#!/usr/bin/env python3
"""Prints how many tests of each suite passed on Dohle and on Apache Kafka: `table.py RESULTS EXCLUDED SUITE...`.

Ends with 1 if a test passed on Apache Kafka and not on Dohle.
"""

import pathlib
import sys


def results(path):
    """Returns the state (PASS, FAIL, SKIP) of each test in a file of results, or None without a file."""
    if not path.exists():
        return None
    lines = (line.split(None, 1) for line in path.read_text().splitlines())
    return {name: state for state, name in lines}


def excluded(path):
    """Returns how many names a list of excluded tests has."""
    if not path.exists():
        return 0
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return sum(1 for line in lines if line)


def passed(states):
    return "-" if states is None else str(sum(state == "PASS" for state in states.values()))


def main():
    out, lists, suites = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
    rows = [("suite", "tests", "passed on Dohle", "passed on Kafka", "excluded")]
    worse = []
    for suite in suites:
        dohle = results(out / suite / "dohle" / "results.txt")
        kafka = results(out / suite / "kafka" / "results.txt")
        run = {name for states in (dohle, kafka) for name, state in (states or {}).items() if state != "SKIP"}
        rows.append((suite, str(len(run)), passed(dohle), passed(kafka), str(excluded(lists / f"{suite}.txt"))))
        for name, state in sorted((kafka or {}).items()):
            if state == "PASS" and dohle is not None and dohle.get(name) == "FAIL":
                worse.append(f"{suite}: {name}")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    if worse:
        print("\nPassed on Apache Kafka and failed on Dohle:")
        print("\n".join(f"  {line}" for line in worse))
        sys.exit(1)


main()
