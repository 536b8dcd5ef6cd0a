"""The code of the README and of the pages prints what they show, and commands run as printed."""

import ast
import itertools
import re
import tomllib
from pathlib import Path

import pytest
from helpers.pages import differences
from sklearn.exceptions import ConvergenceWarning

from skmaxent._sklearn import HAS_CALLBACKS

README = Path(__file__).parents[2] / "README.md"
DOCS = README.parent / "docs"
FENCE = re.compile(r"```sh\n(.*?)```", re.S)


def test_the_readme_prints_what_it_shows():
    namespace = {}
    with pytest.warns() as warned:
        assert differences(README, namespace) == []
    assert [w.category for w in warned] == [ConvergenceWarning]  # that of LogisticRegression
    assert "failed to converge" in str(warned[0].message)
    assert namespace["ours"].optimality_gap_ < 1e-8
    assert abs(namespace["ours"].coef_ - namespace["exact"].coef_).max() < 1e-6


@pytest.mark.parametrize(
    "page",
    [
        "index",
        "solvers",
        "memory",
        "migrating",
        "effects",
        "penalties",
        "inference",
        "targets",
        "formulas",
        *(["callbacks"] if HAS_CALLBACKS else []),
    ],
)
def test_the_pages_print_what_they_show(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert differences(DOCS / f"{page}.md", {}) == []


def test_the_page_on_leverages_prints_what_it_shows(monkeypatch):
    monkeypatch.chdir(README.parent)  # the page reads a file of the repository
    assert differences(DOCS / "leverages.md", {}) == []


def test_an_output_that_is_not_printed_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    (message,) = differences(page, {})
    assert "shows\n3\n\nbut its code prints\n2" in message


def test_the_page_on_penalties_does_what_its_comments_say():
    namespace = {}
    assert differences(DOCS / "penalties.md", namespace) == []
    assert namespace["path"].n_nonzero[0] == 0
    assert namespace["today"].coef_frame().loc["alcohol"].min() >= 0
    assert len(namespace["table"]) == 60


def test_the_readme_sets_up_environments_before_it_uses_them():
    made = set()
    commands = " && ".join(FENCE.findall(README.read_text())).replace("\n", " && ")
    for command in filter(None, map(str.strip, commands.split("&&"))):
        if command.startswith("python3 -m venv "):
            made.add(command.split()[-1])
        else:
            assert command.split("/")[0] in made, command


@pytest.mark.parametrize(
    "path",
    [README, README.parent / "CONTRIBUTING.md", *DOCS.glob("*.md"), *DOCS.glob("guides/*.py")],
    ids=lambda path: path.name,
)
def test_commands_install_from_the_checkout_into_an_environment(path):
    project = tomllib.loads((README.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    text = path.read_text()
    for start, options in re.findall(r"(\S*)pip install ([^\n`]*)", text):
        assert re.fullmatch(r"`*\.venv[\w-]*/bin/", start), f"{start}pip install {options}"
        assert "skmaxent[" not in options
        for extra in re.findall(r"\.\[([^\]]*)\]", options):
            assert set(extra.split(",")) <= set(extras)


@pytest.mark.parametrize(
    "words",
    [
        "odds",
        "ConvergenceWarning",
        "feature importance",
        "class weights",
        "robust standard errors",
        "overfitting",
    ],
)
def test_headings_have_the_words_that_people_search_for(words):
    headings = [
        line
        for path in [*DOCS.glob("*.md"), *DOCS.glob("guides/*.py")]
        for line, underline in itertools.pairwise(path.read_text().splitlines())
        if line.startswith("## ") or re.fullmatch(r"(# )?[=-]{4,}", underline)
    ]
    assert any(words.lower() in heading.lower() for heading in headings)


def code_without_prose(script):
    """Return the code of a script in docs/guides without comments and docstrings."""
    tree = ast.parse((DOCS / "guides" / script).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
    return ast.unparse(tree)


def test_the_japanese_page_has_the_same_code():
    assert code_without_prose("softmax_ja.py") == code_without_prose("softmax.py")


def test_every_page_of_a_task_says_for_whom_it_is():
    guide = (DOCS / "user_guide.md").read_text()
    pages = re.findall(r"^(?:guides_built/)?([a-z_]+)$", guide, re.M)
    assert len(pages) > 12
    for page in set(pages) - {"contributing"}:
        path = DOCS / f"{page}.md"
        path = path if path.exists() else DOCS / "guides" / f"{page}.py"
        beginning = " ".join(path.read_text().split()[:120])
        assert re.search("for people", beginning), page


def test_the_example_of_a_rare_class_gets_its_share_right(capsys):
    exec((README.parent / "examples" / "rare_class.py").read_text(), {})
    lines = capsys.readouterr().out.splitlines()
    values = {line[:36].strip(): float(line[36:]) for line in lines if line[36:].strip()}
    share = values.pop("eights among all digits")
    assert abs(values["corrected"] - share) < 0.02
    assert abs(values["corrected with the known share"] - share) < 0.02
    assert values["all rows, balanced"] > share + 0.02
    assert values["as many of each"] > share + 0.02
