#!/usr/bin/env python3
"""Prints how many tests of each suite passed on Dohle and on Apache Kafka: `table.py RESULTS EXCLUDED INTENDED SUITE...`.

Ends with 1 if a test passed on Apache Kafka and failed on Dohle, unless INTENDED has it as `suite: test`.
"""

import os
import pathlib
import sys


def results(path):
    """Returns the state (PASS, FAIL, SKIP) of each test in a file of results, or None without a file."""
    if not path.exists():
        return None
    lines = (line.split(None, 1) for line in path.read_text().splitlines())
    return {name: state for state, name in lines}


def listed(path):
    """Returns the lines of a list, without comments."""
    if not path.exists():
        return []
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def passed(states):
    return "-" if states is None else str(sum(state == "PASS" for state in states.values()))


def main():
    out, lists, intended = map(pathlib.Path, sys.argv[1:4])
    suites, intended = sys.argv[4:], listed(intended)
    rows = [("suite", "tests", "passed on Dohle", "passed on Kafka", "excluded")]
    worse = []
    # A whole run that lacks a test ended before it.
    missing = "SKIP" if os.environ.get("TESTS") else "FAIL"
    for suite in suites:
        dohle = results(out / suite / "dohle" / "results.txt")
        kafka = results(out / suite / "kafka" / "results.txt")
        run = {name for states in (dohle, kafka) for name, state in (states or {}).items() if state != "SKIP"}
        rows.append((suite, str(len(run)), passed(dohle), passed(kafka), str(len(listed(lists / f"{suite}.txt")))))
        for name, state in sorted((kafka or {}).items()):
            if state == "PASS" and dohle is not None and dohle.get(name, missing) == "FAIL":
                worse.append(f"{suite}: {name}")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    faults = [line for line in worse if line not in intended]
    for title, lines in (("as intended", [line for line in worse if line in intended]), ("a fault", faults)):
        if lines:
            print(f"\nPassed on Apache Kafka and failed on Dohle, {title}:")
            print("\n".join(f"  {line}" for line in lines))
    sys.exit(1 if faults else 0)


main()
