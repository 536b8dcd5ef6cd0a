r"""
Gradient methods and preconditioning
====================================

`MaxentObjective` is the function that `MaxentClassifier` minimises, with its derivatives, as a
function of a vector. This example minimises it for handwritten digits by gradient descent, by
Nesterov's momentum, by SciPy's L-BFGS-B and by the classifier's own solver, and counts passes over
the data.

Softmax and cross-entropy suit gradient methods. The objective is convex, so that a method that
keeps going down ends at the one minimum. The gradient of the mean loss with respect to the logits
is probabilities minus targets, so that the gradient with respect to the coefficients is
:math:`X^\top(P - Y)/n`: two products of matrices, and no division by a probability. The curvature
has a bound that does not depend on the coefficients, so that a step size is known that never goes
up.

What the bound does not help with is the condition: how much larger the curvature is in one
direction than in another. It depends on the units and the correlation of the features, and each
gradient step removes an error along a direction only in proportion to its curvature.
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
# The second derivative of the loss of a row with respect to its logits, :math:`\operatorname{diag}
# p - p p^\top`, has no eigenvalue above 1/2 (Böhning 1992). With the largest eigenvalue of the
# matrix of the features' products this bounds the curvature of the objective, and one over the
# bound is a step size for which gradient descent never increases it.


def gradient_descent(function, step):
    x, values = function.x0, []
    for _ in range(n_passes):
        value, gradient = function.fun_and_grad(x)
        values.append(value)
        x = x - step * gradient
    return values


def nesterov(function, step):
    """Momentum, which begins anew where the objective increases."""
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
# At the model without features, all rows have the same probabilities, and the Hessian is a
# Kronecker product that is cheap to factor. `MaxentObjective.preconditioned` changes to
# coordinates in which it is the identity. There, too, the curvature has a bound: the Hessian at
# the start is at least the least share of a class times the features' products, the Hessian
# elsewhere at most half of these.

preconditioned = objective.preconditioned()
step = 2.0 * np.bincount(y).min() / len(y)
runs |= {
    ("gradient descent", "preconditioned"): gradient_descent(preconditioned, step),
    ("Nesterov's momentum", "preconditioned"): nesterov(preconditioned, step),
    ("L-BFGS-B", "preconditioned"): lbfgs(preconditioned),
}

# %%
# The classifier's own solver
# ---------------------------
#
# ``solver="auto"`` is Newton's method, whose linear systems preconditioned conjugate gradients
# solve. It renews its preconditioner on the way. Its passes are gradients and products with the
# Hessian.

out = io.StringIO()
with contextlib.redirect_stdout(out):
    MaxentClassifier(C=C, tol=1e-6, verbose=1).fit(X, y)
line = r"objective (\S+) .* (\d+) gradients, (\d+) Hessian products"
newton = np.array([list(map(float, found)) for found in re.findall(line, out.getvalue())])

# %%
# How far each has come
# ---------------------

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
# In pixels, gradient descent is still far from the minimum after a thousand passes. Pixels at the
# border are nearly always white and vary a thousand times less than those in the middle, so that
# the step size that suits the latter hardly moves the coefficients of the former. Momentum and
# L-BFGS-B depend less on that. The preconditioner removes the units and the correlation of the
# pixels altogether. What is left is how the probabilities, and with them the curvature, differ
# between the start and the minimum: L-BFGS-B learns it from gradients, Newton's method computes
# it.
#
# ``MaxentClassifier(solver="lbfgs")`` is this combination of L-BFGS-B and preconditioner, with
# `tol`, warnings and the certificate of the other solvers.
#
# References: Nesterov (1983), Sov. Math. Dokl. 27, 372-376; O'Donoghue & Candès (2015), Found.
# Comput. Math. 15, 715-732, on beginning anew; Böhning (1992), Ann. Inst. Stat. Math. 44, 197-200.
