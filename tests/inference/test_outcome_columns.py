"""The outcomes of a model as columns of tables of maketables, by the attributes that it reads."""

import numpy as np
from helpers.beps import DATA, VOTE

from skmaxent import MaxentClassifier

X = DATA[["age", "Europe"]]


def results(C=np.inf, **options):
    return MaxentClassifier(C=C).fit(X, VOTE).infer(X, VOTE, **options)


def test_columns_are_those_of_the_summary():
    found = results(cov_type="HC0")
    columns = found.to_list()
    assert [column.outcome for column in columns] == found.rows
    for column in columns:
        table, expected = column.__maketables_coef_table__, found.summary().loc[column.outcome]
        assert list(table.index) == ["age", "Europe", "Intercept"]
        for theirs, ours in (("b", "coef"), ("se", "std_err"), ("t", "z"), ("p", "p_value")):
            np.testing.assert_array_equal(table[theirs], expected[ours])
        np.testing.assert_array_equal(table[["ci95l", "ci95u"]], expected[["lower", "upper"]])
        assert column.__maketables_depvar__ == f"{column.outcome} / Conservative"


def test_figures_are_those_of_the_results():
    found = results()
    column = found.to_list()[0]
    figures = {key: column.__maketables_stat__(key) for key in column.__maketables_stat_labels__}
    assert figures == {
        "N": 1525,
        "ll": found.log_likelihood,
        "aic": found.aic,
        "bic": found.bic,
        "pseudo_r2": found.mcfadden_r2,
        "se_type": "nonrobust",
    }
    assert list(figures) == column.__maketables_default_stat_keys__
    assert column.__maketables_stat__("r2_within") is None


def test_what_does_not_exist_is_left_out():
    posterior = results(C=1.0).to_list()[0]
    assert posterior.__maketables_coef_table__["p"].isna().all()
    assert posterior.__maketables_stat__("aic") is None
    symmetric = results(reference="symmetric").to_list()
    assert [column.__maketables_depvar__ for column in symmetric] == sorted(set(VOTE))


def test_two_labels_that_are_no_strings_are_named():
    y = VOTE == "Labour"
    column = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y).to_list()[0]
    assert column.__maketables_depvar__ == "True / False"
