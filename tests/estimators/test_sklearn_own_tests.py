"""scikit-learn's tests of its logistic regression, run with our classes in the place of its own.

The tests are those of the installed scikit-learn. The source of its module is executed with
`LogisticRegression` and `LogisticRegressionCV` replaced, and its test functions are collected here.
`sklearn_tests_that_do_not_apply.txt` names the tests that cannot pass, each with the reason: they
must fail (a test that begins to pass is an error too), and all others must pass.
"""

import ast
import importlib.util
import types
import warnings
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import sklearn
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from skmaxent import MaxentClassifier, MaxentClassifierCV

# The solvers of scikit-learn that `MaxentClassifier` has too: all but liblinear.
SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky", "sag", "saga")


class Refused:
    """An estimator with parameters that ours does not have: it cannot be fitted."""

    solver = "none"

    def __init__(self, error):
        self.error = error

    def fit(self, *args, **kwargs):
        raise self.error


class _StandIn(type):
    # Parameters of tests are made where the tests are defined.
    are_defined = False

    def __call__(cls, *args, **params):
        if issubclass(cls, MaxentClassifierCV):
            # In scikit-learn, the fits of folds end at `tol`, too.
            params.setdefault("cv_tol", 0.0)
        try:
            return super().__call__(*args, **params)
        except TypeError as error:
            if _StandIn.are_defined:
                raise
            return Refused(error)


class LogisticRegression(MaxentClassifier, metaclass=_StandIn):
    """`MaxentClassifier` under the name that messages of scikit-learn have."""


class LogisticRegressionCV(MaxentClassifierCV, metaclass=_StandIn):
    """`MaxentClassifierCV`, likewise."""


OURS = {"LogisticRegression": LogisticRegression, "LogisticRegressionCV": LogisticRegressionCV}


def executed_with_ours(path):
    """The namespace of a module of tests, and the tests that use a class that was replaced."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"), path)
    module = types.ModuleType("sklearn_tests_of_logistic_regression")
    replaced = set(OURS)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            theirs = [alias for alias in node.names if alias.name in OURS]
            for alias in theirs:
                replaced.add(alias.asname or alias.name)
                vars(module)[alias.asname or alias.name] = OURS[alias.name]
            node.names = [alias for alias in node.names if alias not in theirs] or [
                ast.alias("__name__")
            ]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SOLVERS":
            node.value = ast.parse(repr(SOLVERS), mode="eval").body
    with warnings.catch_warnings():
        # Marks of plugins that are not installed.
        warnings.simplefilter("ignore", pytest.PytestUnknownMarkWarning)
        exec(compile(ast.fix_missing_locations(tree), path, "exec"), vars(module))
    _StandIn.are_defined = True
    uses = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(name, ast.Name) and name.id in replaced for name in ast.walk(node))
    }
    tests = [name for name in vars(module) if name.startswith("test_")]
    return module, [name for name in tests if name in uses]


def with_collection(mark):
    """The mark with its parameters in a list, where it has a generator, which pytest deprecates."""
    if mark.name == "parametrize" and isinstance(mark.args[1], types.GeneratorType):
        return pytest.mark.parametrize(mark.args[0], list(mark.args[1]), **mark.kwargs).mark
    return mark


_spec = importlib.util.find_spec("sklearn.linear_model.tests.test_logistic")
_module, _names = executed_with_ours(_spec.origin)
for _name in _names:
    _test = getattr(_module, _name)
    # scikit-learn's own filters of warnings come after this one.
    default = pytest.mark.filterwarnings("default").mark
    _test.pytestmark = [default, *map(with_collection, getattr(_test, "pytestmark", []))]
    globals()[_name] = _test
pytestmark = getattr(_module, "pytestmark", [])


@pytest.fixture
def global_random_seed():
    return 42


def do_not_apply():
    """Patterns and reasons of the tests that do not apply with the installed scikit-learn."""
    text = Path(__file__).with_name("sklearn_tests_that_do_not_apply.txt").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    rows = [[part.strip() for part in line.split("|")] for line in lines]
    version = Version(sklearn.__version__).base_version
    return {name: why for name, versions, why in rows if version in SpecifierSet(versions)}


DO_NOT_APPLY = do_not_apply()


@pytest.fixture(autouse=True)
def _applies_or_fails(request):
    for pattern, why in DO_NOT_APPLY.items():
        if fnmatchcase(request.node.name, pattern):
            request.applymarker(pytest.mark.xfail(reason=why, strict=True))


def test_every_line_of_the_list_names_a_test(request):
    names = [item.name for item in request.node.getparent(pytest.Module).collect()]
    unused = [p for p in DO_NOT_APPLY if not any(fnmatchcase(name, p) for name in names)]
    assert not unused
