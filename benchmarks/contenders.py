"""The solvers that are compared, each with its own tolerances from loose to tight.

A contender is a function of (X, y, penalty, tol) that returns coefficients (K, d) and intercepts
(K,), or (1, d) and (1,) for two classes. Libraries are imported where they are used.
"""

import numpy as np
import scipy.sparse as sp

DECADES = (1e-2, 1e-4, 1e-6, 1e-8, 1e-10)
OURS = "skmaxent"
# Above this size an assembled Hessian takes more than a gigabyte.
CHOLESKY_SIZE = 11_000


def skmaxent(X, y, penalty, tol):
    from skmaxent import MaxentClassifier

    model = MaxentClassifier(
        C=penalty.C, l1_ratio=penalty.l1_ratio, grouped=penalty.grouped, tol=tol
    ).fit(X, y)
    return model.coef_, model.intercept_


def _logistic_regression(solver, max_iter):
    def fit(X, y, penalty, tol):
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(
            C=penalty.C, l1_ratio=penalty.l1_ratio, solver=solver, tol=tol, max_iter=max_iter
        ).fit(X, y)
        return model.coef_, model.intercept_

    return fit


def sklearnex(X, y, penalty, tol):
    from sklearnex.linear_model import LogisticRegression

    model = LogisticRegression(C=penalty.C, tol=tol, max_iter=10_000).fit(X, y)
    return model.coef_, model.intercept_


def cyanure(X, y, penalty, tol):
    from cyanure.estimators import Classifier

    # Its elastic net has the L1 part first.
    kind = "l2" if penalty.l1_ratio == 0 else "l1" if penalty.l1_ratio == 1 else "elasticnet"
    strength = 1 / (penalty.C * len(y))
    model = Classifier(
        loss="multiclass-logistic" if y.max() > 1 else "logistic",
        penalty="l1l2" if penalty.grouped else kind,
        lambda_1=strength * (penalty.l1_ratio or 1.0),
        lambda_2=strength * (1.0 - penalty.l1_ratio),
        tol=tol,
        max_iter=2000,
        fit_intercept=True,
        verbose=False,
    ).fit(X, y)
    weights, intercept = model.get_weights()
    return np.atleast_2d(np.asarray(weights).T), np.ravel(intercept)


def statsmodels(X, y, penalty, tol):
    from statsmodels.discrete.discrete_model import MNLogit

    result = MNLogit(y, np.column_stack([np.ones(len(X)), X])).fit(
        method="newton", tol=tol, maxiter=200, disp=False
    )
    coef = np.column_stack([np.zeros(X.shape[1] + 1), result.params]).T
    return coef[:, 1:], coef[:, 0]


def torch(X, y, penalty, tol):
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as binary_cross_entropy
    from torch.nn.functional import cross_entropy

    n_logits = int(y.max()) + 1 if y.max() > 1 else 1
    features, targets = torch.from_numpy(X), torch.from_numpy(y.astype(np.int64))
    coef = torch.zeros((n_logits, X.shape[1]), dtype=features.dtype, requires_grad=True)
    intercept = torch.zeros(n_logits, dtype=features.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [coef, intercept],
        max_iter=10_000,
        max_eval=20_000,
        tolerance_grad=tol,
        tolerance_change=tol * 1e-4,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        logits = features @ coef.T + intercept
        if n_logits == 1:
            loss = binary_cross_entropy(logits[:, 0], targets.to(features.dtype))
        else:
            loss = cross_entropy(logits, targets)
        loss = loss + (coef**2).sum() / (2 * penalty.C * len(y))
        loss.backward()
        return loss

    optimizer.step(closure)
    return coef.detach().numpy(), intercept.detach().numpy()


def adelie(X, y, penalty, tol):
    """Down a path of ten penalties to the one that is asked for; its loss is a K-th of ours."""
    import adelie as ad

    n, K = len(y), int(y.max()) + 1
    targets = np.eye(K)[y]
    gradient = np.asarray(X.T @ (targets - targets.mean(axis=0))) / n
    largest, strength = np.linalg.norm(gradient, axis=1).max() / K, 1 / (penalty.C * n * K)
    X = ad.matrix.sparse(sp.csc_matrix(X)) if sp.issparse(X) else np.asfortranarray(X)
    state = ad.grpnet(
        X,
        ad.glm.multinomial(y=targets),
        alpha=penalty.l1_ratio,
        penalty=np.ones(X.shape[1]),
        lmda_path=np.geomspace(largest, min(strength, largest), 10),
        tol=tol,
        irls_tol=tol,
        early_exit=False,
        progress_bar=False,
    )
    coef = state.betas[-1].toarray().reshape(-1, K).T
    return coef, np.asarray(state.intercepts[-1]).ravel()


# Name: function, tolerances.
CONTENDERS = {
    OURS: (skmaxent, (3.0, 1.0, 0.3, 0.1, 0.03, 1e-2, 1e-3, 1e-4, 1e-6)),
    "lbfgs": (_logistic_regression("lbfgs", 10_000), DECADES),
    "newton-cg": (_logistic_regression("newton-cg", 1000), DECADES),
    "newton-cholesky": (_logistic_regression("newton-cholesky", 1000), DECADES),
    "sklearnex lbfgs": (sklearnex, DECADES),
    "cyanure": (cyanure, (1e-2, 1e-3, 1e-5, 1e-7, 1e-9)),
    "saga": (_logistic_regression("saga", 20_000), (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)),
    "adelie": (adelie, (1e-3, 1e-5, 1e-7, 1e-9, 1e-11)),
    "torch L-BFGS": (torch, (1e-3, 1e-4, 1e-5, 1e-6, 1e-8)),
    "statsmodels": (statsmodels, (1e-4, 1e-8)),
}
MODULES = {
    "sklearnex lbfgs": "sklearnex",
    "cyanure": "cyanure",
    "adelie": "adelie",
    "torch L-BFGS": "torch",
    "statsmodels": "statsmodels",
}


def applies(name, X, n_classes, penalty):
    """Whether a contender can be asked for this case at all."""
    if penalty.l1_ratio > 0:
        return {
            OURS: True,
            "saga": not penalty.grouped,
            "cyanure": not penalty.grouped or penalty.l1_ratio == 1,
            "adelie": penalty.grouped,
        }.get(name, False)
    if name in ("saga", "adelie"):
        return False
    if name == "newton-cholesky":
        return X.shape[1] * n_classes <= CHOLESKY_SIZE
    if name == "statsmodels":
        return bool(np.isinf(penalty.C))
    if name == "cyanure":
        return not np.isinf(penalty.C) and X.dtype == np.float64
    if name in ("sklearnex lbfgs", "torch L-BFGS"):
        return not sp.issparse(X)
    return True
