"""The audit of dependencies never takes silence for health (the audit itself: ``audit_dependencies.py``)."""

from __future__ import annotations

from tests.reliability.audit_dependencies import judge

FOUND = {"id": "CVE-2021-1", "fix_versions": ["2.0"]}


def test_clean_vulnerable_and_unknown() -> None:
    clean = {"name": "a", "version": "1", "vulns": []}
    bad = {"name": "b", "version": "1.9", "vulns": [FOUND]}
    unknown = {"name": "c", "skip_reason": "not found"}
    assert judge([clean]) == (0, ["1 packages, no known vulnerability"])
    assert judge([clean, bad, unknown]) == (1, ["b 1.9: CVE-2021-1, fixed in 2.0"])
    assert judge([clean, unknown]) == (3, ["not audited: 1 of 2 packages are unknown to the service"])
    assert judge([])[0] == 3
