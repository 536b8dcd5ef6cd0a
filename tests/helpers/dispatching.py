"""Tests of arrays of another library, in a process whose SciPy supports them from its import on."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

CASES = Path(__file__).parents[1] / "cases"


def run_cases(library, path, tmp_path, at_least):
    """Run the tests of a file in `tests/cases` with arrays of a library.

    All must pass, none may be skipped, and there must be `at_least` so many.
    """
    report = tmp_path / "report.xml"
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", "-o", "addopts="]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", str(CASES / path), f"--junitxml={report}", *options],
        env=os.environ | {"SCIPY_ARRAY_API": "1", "ARRAY_LIBRARY": library, "OMP_NUM_THREADS": "1"},
        cwd=CASES.parents[1],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2000:]
    (suite,) = ElementTree.parse(report).getroot().iter("testsuite")
    assert int(suite.get("skipped")) == 0, run.stdout[-5000:]
    assert int(suite.get("tests")) >= at_least
