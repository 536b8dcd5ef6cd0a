"""Importing the package costs no more than it must."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skmaxent

OPTIONAL = {
    "dask",
    "formulaic",
    "matplotlib",
    "narwhals",
    "onnx",
    "onnxruntime",
    "polars",
    "skl2onnx",
    "skops",
}
NEIGHBOURS = {"torch", "shap", "mlflow", "skore", "optuna"}


def imported_by(module):
    code = f"import sys, sklearn.linear_model, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()}


def test_no_optional_package_is_imported():
    added = imported_by("skmaxent") - imported_by("sklearn")
    assert "skmaxent" in added
    assert not added & (OPTIONAL | NEIGHBOURS)


def test_a_fit_imports_neither_inference_nor_plots():
    code = """
import sys
import numpy as np
from skmaxent import MaxentClassifier
X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 3
for C in (1.0, np.inf):
    MaxentClassifier(C=C).fit(X, y).predict_proba(X)
print(*{name.split(".")[1] for name in sys.modules if name.startswith("skmaxent._")})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    late = {"_effects", "_formula", "_inference", "_leverage", "_model_selection", "_plotting"}
    assert not late & set(done.stdout.split())


def test_late_names_are_those_of_type_checkers():
    tree = ast.parse(Path(skmaxent.__file__).read_text())
    (checked,) = (
        node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    )
    found = {node.module: tuple(alias.name for alias in node.names) for node in checked.body}
    assert found == skmaxent._LATE_NAMES
    names = [name for group in found.values() for name in group]
    assert sorted([*names, "MaxentClassifier"]) == sorted(skmaxent.__all__)
    assert set(skmaxent.__all__) <= set(dir(skmaxent))
    for name in skmaxent.__all__:
        assert getattr(skmaxent, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'skmaxent' has no attribute 'other'"):
        skmaxent.other  # noqa: B018
