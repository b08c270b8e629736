"""Counts of what readers corrected or left out."""

import pytest

from stadet.engine.errors import UserError
from stadet.engine.findings import Findings


def test_counts_by_file_and_kind_with_the_first_examples(caplog):
    findings = Findings("d.jsonl")
    findings.note("a.xml", "boxes clipped", 2, first="frame 7")
    findings.note("a.xml", "boxes clipped", 1000, first="frame 9")
    findings.note("a.xml", "nothing", 0, first="never")
    findings.add("rows", 5, (f"line {n}" for n in range(1, 6)), "left out")
    findings.add("rows", 1, ["line 9"], "used")
    assert findings.notes() == [
        "a.xml: 1,002 boxes clipped (first: frame 7)",
        "d.jsonl: 5 rows, left out (line 1; line 2; line 3)",
        "d.jsonl: 1 rows, used (line 9)",
    ]
    assert findings.lines()[1] == (
        "d.jsonl: 5 rows, left out (line 1; line 2; line 3); 1 rows, used (line 9)"
    )
    assert len(findings) == 1008
    findings.report()
    assert caplog.messages == findings.lines()
    with pytest.raises(UserError, match=r"^a\.xml: .* \| d\.jsonl: .*correct the file"):
        findings.raise_if_any()
    Findings().raise_if_any()
    assert Findings().lines() == []


def test_examples_are_read_only_as_far_as_they_are_kept():
    def endless():
        while True:
            yield "line"

    findings = Findings("a")
    findings.add("rows", 10**6, endless(), "left out")
    assert findings.notes() == ["a: 1,000,000 rows, left out (line; line; line)"]
