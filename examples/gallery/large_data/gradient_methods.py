r"""
Gradient methods and preconditioning
====================================

`MaxentObjective` computes the function that `MaxentClassifier` minimises, and its derivatives, for
a vector of coefficients. This example minimises the function for handwritten digits by four
methods: gradient descent, Nesterov's momentum, SciPy's L-BFGS-B, and the solver of the classifier.
It counts how often each method passes over the data.

Softmax and cross-entropy suit gradient methods for three reasons:

- The objective is convex, so that every local minimum is a global minimum.
- The gradient of the loss with respect to the logits is probabilities minus targets. The gradient
  with respect to the coefficients is therefore :math:`X^\top(P - Y)/n`, which needs two matrix
  products and no division by a probability.
- The curvature has a bound that does not depend on the coefficients. The bound gives a step size
  with which gradient descent never increases the objective.

Gradient methods are slow if the problem is badly conditioned, that is, if the curvature is much
larger in one direction than in another. The ratio of the curvatures depends on the units and the
correlation of the features. A preconditioner is a change of coordinates that makes the curvatures
more equal.
"""

# %%
# The objective
# -------------

import contextlib
import io
import re

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_digits

from skmaxent import MaxentClassifier, MaxentObjective

X, y = load_digits(return_X_y=True)
C, n_passes = 0.01, 1000
objective = MaxentObjective(X, y, C=C)
best = MaxentClassifier(C=C, tol=1e-9).fit(X, y)
minimum = objective.fun(objective.flatten(best.coef_, best.intercept_))
print(f"{objective.n_parameters} parameters, minimum {minimum:.6f}")

# %%
# Methods that use gradients alone
# --------------------------------
#
# The second derivative of the loss of a row with respect to its logits,
# :math:`\operatorname{diag} p - p p^\top`, has no eigenvalue above 1/2 (Böhning 1992). Half the
# largest eigenvalue of :math:`X^\top X/n`, plus the ridge strength, therefore bounds the
# curvature of the objective. With the inverse of this bound as its step size, gradient descent
# never increases the objective.


def gradient_descent(function, step):
    x, values = function.x0, []
    for _ in range(n_passes):
        value, gradient = function.fun_and_grad(x)
        values.append(value)
        x = x - step * gradient
    return values


def nesterov(function, step):
    """Momentum with restarts when the objective increases (O'Donoghue & Candès 2015)."""
    x = previous = function.x0
    values, k = [], 0
    for _ in range(n_passes):
        k = 0 if len(values) > 1 and values[-1] > values[-2] else k + 1
        ahead = x + (k - 1) / (k + 2) * (x - previous) if k else x
        value, gradient = function.fun_and_grad(ahead)
        values.append(value)
        previous, x = x, ahead - step * gradient
    return values


def lbfgs(function):
    values = []

    def counted(x):
        value, gradient = function.fun_and_grad(x)
        values.append(value)
        return value, gradient

    minimize(
        counted,
        function.x0,
        jac=True,
        method="L-BFGS-B",
        options={"maxfun": n_passes, "maxiter": n_passes, "ftol": 0.0, "gtol": 0.0},
    )
    return values


rows = np.column_stack([X, np.ones(len(X))])
curvature = 0.5 * np.linalg.eigvalsh(rows.T @ rows / len(X))[-1] + 1.0 / (C * len(X))
runs = {
    ("gradient descent", "pixels"): gradient_descent(objective, 1.0 / curvature),
    ("Nesterov's momentum", "pixels"): nesterov(objective, 1.0 / curvature),
    ("L-BFGS-B", "pixels"): lbfgs(objective),
}

# %%
# The same methods in preconditioned coordinates
# ----------------------------------------------
#
# In the model without features all rows have the same probabilities, and the Hessian is a Kronecker
# product that is cheap to factor. `MaxentObjective.preconditioned` changes to coordinates in which
# this Hessian is nearly the identity. The curvature in these coordinates has a bound too. Let
# :math:`\pi` be the smallest share of a class. For coefficients whose sum over the classes is zero,
# the Hessian of the model without features is at least :math:`\pi X^\top X/n`, and the Hessian at
# any other point is at most half of :math:`X^\top X/n`. The curvature is therefore at most about
# :math:`1/(2\pi)`. The inverse of this bound is the ``step``.

preconditioned = objective.preconditioned()
step = 2.0 * np.bincount(y).min() / len(y)
runs |= {
    ("gradient descent", "preconditioned"): gradient_descent(preconditioned, step),
    ("Nesterov's momentum", "preconditioned"): nesterov(preconditioned, step),
    ("L-BFGS-B", "preconditioned"): lbfgs(preconditioned),
}

# %%
# The solver of the classifier
# ----------------------------
#
# ``solver="auto"`` is Newton's method. It solves its linear systems by preconditioned conjugate
# gradients, and renews the preconditioner during the fit. Each gradient and each product with the
# Hessian is a pass over the data.

out = io.StringIO()
with contextlib.redirect_stdout(out):
    MaxentClassifier(C=C, tol=1e-6, verbose=1).fit(X, y)
line = r"objective (\S+) .* (\d+) gradients, (\d+) Hessian products"
newton = np.array([list(map(float, found)) for found in re.findall(line, out.getvalue())])

# %%
# Comparison
# ----------

colors = {"gradient descent": "#D55E00", "Nesterov's momentum": "#009E73", "L-BFGS-B": "#0072B2"}
figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
for (name, where), values in runs.items():
    gap = np.minimum.accumulate(values) - minimum
    passes = np.arange(1, len(gap) + 1)
    seen = gap > 1e-9
    style = "-" if where == "preconditioned" else "--"
    axis.plot(passes[seen], gap[seen], style, color=colors[name], label=f"{name}, {where}")
    within = passes[gap < 1e-4 * minimum]
    found = f"{within[0]} passes" if len(within) else f"more than {n_passes} passes"
    print(f"{name + ', ' + where:40s} within 0.01 % of the minimum after {found}")
gap = newton[:, 0] - minimum
passes = newton[:, 1:].sum(axis=1)
seen = (gap > 1e-9) & (passes > 0)
axis.plot(passes[seen], gap[seen], "o-", color="black", label='MaxentClassifier, solver="auto"')
found = int(passes[gap < 1e-4 * minimum][0])
print(f"{'MaxentClassifier':40s} within 0.01 % of the minimum after {found} passes")
axis.set(
    xscale="log",
    yscale="log",
    xlabel="passes over X (gradients and Hessian products)",
    ylabel="objective above its minimum",
    title="Digits: solid lines are in preconditioned coordinates",
)
axis.legend(frameon=False, loc="lower left")

# %%
# Without the preconditioner, gradient descent is still far from the minimum after a thousand
# passes. The standard deviation of some pixels at the border of the image is 0.02, and that of
# pixels in the middle is 6. A step size that is small enough for the middle hardly changes the
# coefficients of the border. Momentum and L-BFGS-B come closer to the minimum, but do not reach
# 0.01 % either.
#
# The preconditioner removes the effect of the units and the correlation of the pixels. The
# curvature still changes between the start and the minimum: L-BFGS-B estimates the change from
# gradients, and Newton's method computes it. Both need about 30 passes.
#
# ``MaxentClassifier(solver="lbfgs")`` combines L-BFGS-B with this preconditioner, and has the
# `tol`, the warnings and the certificate of the other solvers.
#
# References: Nesterov (1983), Sov. Math. Dokl. 27, 372-376; O'Donoghue & Candès (2015), Found.
# Comput. Math. 15, 715-732; Böhning (1992), Ann. Inst. Stat. Math. 44, 197-200.
