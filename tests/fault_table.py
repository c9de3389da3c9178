"""Counts what is tried, by kind, and prints the table at the end of a session."""

from collections import Counter

import pytest


@pytest.fixture
def tried(record_property):
    """A function `tried(kind, number)`: so many faults of a kind had the outcome they must have."""
    return lambda kind, number=1: record_property(f"fault: {kind}", number)


def pytest_terminal_summary(terminalreporter):
    counts = Counter()
    for report in terminalreporter.stats.get("passed", []):
        for name, number in report.user_properties:
            if name.startswith("fault: "):
                counts[name.removeprefix("fault: ")] += number
    if counts:
        terminalreporter.section("faults")
        terminalreporter.write_line("| fault | tried | as it must be |\n|---|---:|---:|")
        for kind, number in sorted(counts.items()):
            terminalreporter.write_line(f"| {kind} | {number} | {number} |")
