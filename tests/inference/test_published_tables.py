"""Tables for publications: ratios, printed results, LaTeX, Markdown, HTML and comparisons."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import skmaxent
from skmaxent import MaxentClassifier, compare
from skmaxent._inference._table_formats import latex
from tests.helpers.beps import DATA, VOTE, R, pipeline

X = DATA[["age", "Blair", "Europe"]]


def fit(X, y, C=np.inf, **infer):
    return MaxentClassifier(C=C, tol=1e-10).fit(X, y).infer(X, y, **infer)


@pytest.fixture(scope="module")
def results():
    return skmaxent.infer(pipeline().fit(DATA, VOTE), DATA, VOTE)


@pytest.fixture(scope="module")
def odd():
    """Names with special characters, and two classes."""
    y = np.where(VOTE == "Labour", "50% & more_{of} $", "other")
    return fit(X.set_axis(["a_b|c", "[x]\\y", "<b>~^#"], axis=1), y)


def test_relative_risk_ratios_are_those_of_r(results):
    table = results.summary(exponentiate=True, conf_level=0.9)
    coefficients = results.summary()
    estimate = coefficients["coef"].to_numpy()
    of_r = np.sort(np.exp(np.ravel(R["coef"])))
    np.testing.assert_allclose(np.sort(table["relative_risk_ratio"]), of_r, rtol=1e-6)
    errors_of_r = np.exp(np.ravel(R["coef"])) * np.ravel(R["se"])
    np.testing.assert_allclose(np.sort(table["std_err"]), np.sort(errors_of_r), rtol=1e-5)
    error = coefficients["std_err"].to_numpy()
    q = stats.norm.ppf(0.95)
    np.testing.assert_allclose(table["relative_risk_ratio"], np.exp(estimate))
    np.testing.assert_allclose(table["std_err"], np.exp(estimate) * error)
    np.testing.assert_allclose(table["lower"], np.exp(estimate - q * error))
    np.testing.assert_allclose(table["upper"], np.exp(estimate + q * error))
    for name in ("z", "p_value"):
        np.testing.assert_array_equal(table[name], coefficients[name])
    assert "coef" not in table


def test_ratios_of_two_classes_of_a_posterior_and_of_a_bootstrap(odd):
    table = odd.summary()
    assert table.columns[-1] == "odds_ratio" in str(odd)
    np.testing.assert_allclose(table["odds_ratio"], np.exp(table["coef"]))
    assert odd.summary(exponentiate=True).columns[0] == "odds_ratio"
    posterior = fit(X, VOTE, C=0.1)
    table, plain = posterior.summary(exponentiate=True), posterior.summary()
    np.testing.assert_allclose(table[["lower", "upper"]], np.exp(plain[["lower", "upper"]]))
    assert "p_value" not in table
    draws = fit(X[:300], VOTE[:300], method="bootstrap", n_bootstrap=20)
    table = draws.summary(exponentiate=True)
    expected = np.exp(np.quantile(draws.replicates, [0.025, 0.975], axis=0))
    np.testing.assert_allclose(table["lower"], expected[0].ravel())
    np.testing.assert_allclose(table["upper"], expected[1].ravel())


def test_printed_results_have_fixed_decimals_and_say_what_they_are(results):
    text = str(results)
    assert "nonrobust, inverse Fisher information" in text
    assert "95 % confidence intervals of the normal distribution" in text
    (line,) = re.findall(r"^ +Blair .*", text.split("Liberal Democrat  gender")[0], re.M)
    row = results.summary().loc[("Labour", "Blair")]
    assert line.split()[1:4] == [f"{row['coef']:.4f}", f"{row['std_err']:.4f}", f"{row['z']:.2f}"]
    assert line.split()[4] == "<0.001"
    body = text.split("\n\n")[1].splitlines()
    assert len({len(line) for line in body}) == 1
    assert "&lt;0.001" in results._repr_html_()
    assert "credible" in str(fit(X, VOTE, C=0.1))
    clusters = np.arange(len(X)) % 40
    text = str(fit(X, VOTE, cov_type="cluster", groups=clusters))
    assert "cluster, G/(G−1)·(n−1)/(n−p), as statsmodels" in text
    assert "HC1 (sandwich), n/(n−p)" in str(fit(X, VOTE, cov_type="HC1"))


def test_long_tables_are_abbreviated_and_say_how_to_get_all_rows():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(600, 100)), columns=[f"{i}{'x' * 90}" for i in range(100)])
    y = np.array([f"class {i:03d} {'long' * 30}" for i in np.arange(600) % 30])
    results = MaxentClassifier(C=1.0).fit(X, y).infer(X, y, features=list(X.columns[:20]))
    text = str(results)
    assert "520 of 580 rows are not shown: results.summary() returns all rows." in text
    assert "(30 classes)" in text
    head = text.split("\n\n")[0]
    assert max(map(len, head.splitlines())) <= 100
    assert all(f"class {i:03d}" in " ".join(head.split()) for i in range(20))
    assert "520 of 580 rows" in results._repr_html_()


def test_infinite_and_missing_numbers_are_named(results):
    from dataclasses import replace

    coef = results.coef.copy()
    coef[0, :3] = np.nan, np.inf, -800.0
    strange = replace(results, coef=coef)
    assert "n/a" in str(strange)
    assert "∞" in str(strange)
    assert r"$\infty$" in strange.to_latex()
    assert "nan" not in strange.to_markdown(exponentiate=True).lower()


def test_latex_has_no_ligatures_of_signs():
    assert latex("a--b ?`c") == "a-{}-b ?{}`c"
    assert latex("-0.5") == "$-$0.5"


def cells_of_latex(text):
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == 1
    plain = re.sub(r"\\[{}&%$#_\\]", lambda found: "x" * (found[0] != "\\\\"), text)
    depth = 0
    for sign in plain:
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    assert plain.count("$") % 2 == 0
    for line in text.splitlines():
        if line.endswith(r"\\"):
            bare = re.sub(r"\\[&]", "", line)
            spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", bare)]
            yield bare.count("&") + 1 + sum(spans) - len(spans)


@pytest.mark.parametrize("options", [{}, {"stars": True}, {"conf_level": 0.9}])
def test_latex_is_balanced_and_has_the_same_number_of_cells_in_all_rows(results, odd, options):
    for model in (results, odd):
        text = model.to_latex(**options)
        assert set(cells_of_latex(text)) == {len(model.rows) + 1}
    assert r"a\_b\textbar{}c" in text
    assert r"{[x]\textbackslash{}y}" in text
    # A note in the tabular environment would stretch its last column to its own width.
    tabular, notes = text.split("\\end{tabular}")
    assert "Covariance" not in tabular
    assert "Covariance" in notes
    both = compare(odd, odd.relative_to("other"), names=["one & two", "3%"])
    assert set(cells_of_latex(both.to_latex(**options))) == {3}


class Cells(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.spans, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.spans.append(0)
        if tag in ("td", "th"):
            self.spans[-1] += int(dict(attributes).get("colspan", 1))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_html_and_markdown_are_complete_and_escaped(odd, results):
    page = Cells(odd.to_html(stars=True))
    assert set(page.spans) == {2}
    assert {"<b>~^#", "50% & more_{of} $"} & set(page.texts) == {"<b>~^#"}
    assert set(Cells(results.to_html()).spans) == {3}
    Cells(results._repr_html_().replace("<p>", "").replace("</p>", ""))
    lines = [line for line in odd.to_markdown().splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}
    assert r"a\_b\|c" in odd.to_markdown()


def test_tables_have_the_numbers_of_the_summary(results):
    table = results.summary(conf_level=0.8, exponentiate=True)
    lines = results.to_markdown(conf_level=0.8, exponentiate=True, decimals=2).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("| Blair"))
    one = table.loc[("Labour", "Blair")]
    assert f"{one['relative_risk_ratio']:.2f} |" in lines[at]
    assert rf"\[{one['lower']:.2f}, {one['upper']:.2f}\]" in lines[at + 1]
    text = "\n".join(lines)
    assert f"| Log-likelihood | {R['ll']:.2f}" in text
    assert f"| AIC | {R['aic']:.2f}" in text
    assert f"| BIC | {R['bic']:.2f}" in text


def test_what_cannot_be_printed_is_refused(results):
    with pytest.raises(ValueError, match="stars stand for p-values"):
        fit(X, VOTE, C=0.1).to_latex(stars=True)
    with pytest.raises(ValueError, match="decimals must be an integer"):
        results.to_html(decimals=-1)
    with pytest.raises(ValueError, match="conf_level"):
        results.to_html(conf_level=95)
    with pytest.raises(ValueError, match="exponentiate must be True or False"):
        results.to_html(exponentiate="no")
    with pytest.raises(ValueError, match="stars must be True or False"):
        results.to_html(stars="no")


def test_models_side_by_side_align_by_name():
    small, large = fit(X[["Blair"]], VOTE), fit(X, VOTE)
    lines = compare(small, large).to_markdown().splitlines()
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines if "|" in line}
    blair = [f"{value:.3f}" for value in [*small.coef[:, 0], *large.coef[:, 1]]]
    assert [cell.strip() for cell in rows["Blair"]] == blair
    assert [cell.strip() for cell in rows["age"]][:2] == ["", ""]
    assert float(rows["AIC"][2]) == pytest.approx(large.aic, abs=0.005)
    text = str(compare(small, large, names=["Leaders", "All"]))
    assert "Leaders (reference: Conservative)" in text
    assert "not of the same data" not in text


def test_results_of_different_data_are_noted():
    first, second = fit(X, VOTE), fit(X[:-1], VOTE[:-1])
    with pytest.warns(UserWarning, match=r"not of the same data.*1525 \(a\), 1524 \(b\)"):
        both = compare(first, second, names=["a", "b"])
    for text in (str(both), both.to_html(), both.to_latex(), both.to_markdown()):
        assert "not of the same data" in text
    shuffled = fit(X, VOTE.sample(frac=1, replace=True, random_state=0).to_numpy())
    with pytest.warns(UserWarning, match="null log-likelihood"):
        compare(first, shuffled)


def test_compare_refuses_other_arguments():
    one = fit(X, VOTE)
    with pytest.raises(TypeError, match="found an object of type int"):
        compare(one, 3)
    with pytest.raises(ValueError, match="two or more results, found 1"):
        compare(one)
    with pytest.raises(ValueError, match="names must be a list with a name for each of the 2"):
        compare(one, one, names=["a"])


def test_large_figures_keep_their_whole_numbers():
    """Counts are exact, and criteria of large samples have a decimal, so that they can differ."""
    counts = np.array([[100_000, 217_003], [170_001, 230_000], [250_000, 267_563]])
    x = pd.DataFrame({"x": [0.0, 1.0, 2.0]})
    found = fit(x, counts)
    assert counts.sum() == 1_234_567
    text = str(found)
    assert re.search(r"Observations +1234567\n", text)
    assert re.search(rf"Log-likelihood +{found.log_likelihood:.1f}\n", text)
    assert f"residual {1_234_567 - 2})" in text
    assert f"{found.aic:.1f}, {found.bic:.1f}" in text
    assert "| Observations | 1234567 |" in found.to_markdown()


def test_a_small_difference_of_the_null_log_likelihoods_is_reported():
    x, counts = pd.DataFrame({"x": [0.0, 1.0]}), np.array([[40_000, 30_000], [50_000, 30_005]])
    other = counts + np.array([[1, -1], [0, 0]])
    with pytest.warns(UserWarning, match="differ in null log-likelihood"):
        compare(fit(x, counts), fit(x, other))
