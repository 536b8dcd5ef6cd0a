"""The code of the page on array types runs, in a process in which SciPy dispatches."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "arrays.md"


def test_the_code_of_the_page_runs():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    code += (
        "assert type(P) is torch.Tensor and P.shape == (10_000, 2) and clf.score(X.cpu(), y) > 0.6"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
