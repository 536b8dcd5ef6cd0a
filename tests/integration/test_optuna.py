"""A study of optuna over the penalty finds a better one than the default."""

import numpy as np
import optuna
import pytest
from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifier

N_NOISE = 60


@pytest.fixture(scope="module")
def data():
    """Wine, whose 13 features are lost among others that say nothing."""
    X, y = load_wine(return_X_y=True)
    noise = np.random.default_rng(0).normal(size=(len(X), N_NOISE))
    return np.hstack([X, noise]), y


def score_of(data, **params):
    pipe = make_pipeline(StandardScaler(), MaxentClassifier(**params))
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    return cross_val_score(pipe, *data, scoring="neg_log_loss", cv=folds).mean()


@pytest.fixture(scope="module")
def study(data):
    def objective(trial):
        return score_of(
            data,
            C=trial.suggest_float("C", 1e-2, 1e2, log=True),
            l1_ratio=trial.suggest_float("l1_ratio", 0.0, 1.0),
        )

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=15)
    return study


def test_the_best_trial_is_better_than_the_default(study, data):
    assert len(study.trials) == 15
    assert study.best_value > score_of(data) + 0.01
    assert study.best_value == pytest.approx(score_of(data, **study.best_params), rel=1e-9)


def test_the_best_penalty_has_less_of_the_noise(study, data):
    X, y = data
    X = StandardScaler().fit_transform(X)

    def share_of_noise(clf):
        size = np.abs(clf.fit(X, y).coef_).sum(axis=0)
        return size[-N_NOISE:].sum() / size.sum()

    best, default = MaxentClassifier(**study.best_params), MaxentClassifier()
    assert share_of_noise(best) < share_of_noise(default)
    assert not best.coef_[:, -N_NOISE:].any(axis=0).all()
