"""Importing the package costs no more than it must."""

import subprocess
import sys

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
