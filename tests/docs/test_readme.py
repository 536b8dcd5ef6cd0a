"""The README's code does what its comments say."""

import re
from pathlib import Path

import pytest
from sklearn.exceptions import ConvergenceWarning

README = Path(__file__).parents[2] / "README.md"


def test_the_side_by_side_does_what_it_says():
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    before, first, after = re.split(r"(?m)^(theirs = .*\n)", code, maxsplit=1)
    namespace = {}
    exec(before, namespace)
    with pytest.warns(ConvergenceWarning, match="failed to converge"):
        exec(first, namespace)
    exec(after, namespace)
    assert namespace["ours"].optimality_gap_ < 1e-8
    assert abs(namespace["ours"].coef_ - namespace["theirs"].coef_).max() < 1e-6


def test_the_page_on_penalties_runs():
    page = README.parent / "docs" / "penalties.md"
    namespace = {}
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        exec(code, namespace)
    assert namespace["path"].n_nonzero[0] == 0
    assert namespace["today"].coef_frame().loc["alcohol"].min() >= 0
    assert len(namespace["clf"].cv_results_frame()) == 60


def test_the_page_on_inference_runs(capsys):
    page = README.parent / "docs" / "inference.md"
    namespace = {}
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        exec(code, namespace)
    assert "McFadden" in capsys.readouterr().out


@pytest.mark.parametrize("page", ["index", "solvers", "memory", "migrating", "effects"])
def test_the_code_of_the_other_pages_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    text = (README.parent / "docs" / f"{page}.md").read_text()
    for code in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(code, namespace)


def test_the_page_on_targets_runs(capsys):
    page = README.parent / "docs" / "targets.md"
    namespace = {}
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        exec(code, namespace)
    assert "severe" in capsys.readouterr().out
    assert namespace["clf"].threshold_.shape == (5,)


def test_the_example_of_a_rare_class_gets_its_share_right(capsys):
    exec((README.parent / "examples" / "rare_class.py").read_text(), {})
    lines = capsys.readouterr().out.splitlines()
    values = {line[:36].strip(): float(line[36:]) for line in lines if line[36:].strip()}
    share = values.pop("eights among all digits")
    assert abs(values["corrected"] - share) < 0.02
    assert abs(values["corrected with the known share"] - share) < 0.02
    assert values["all rows, balanced"] > share + 0.02
    assert values["as many of each"] > share + 0.02
