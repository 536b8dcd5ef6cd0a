r"""
Softmax, explained
==================

This page is for people who want to understand the softmax function or to look up one of its
formulas. Its topics are the definition, numerical stability, properties, the derivative,
cross-entropy, gradient methods, temperature, and a comparison with sigmoid, tanh and ReLU. You need
a little calculus and linear algebra.

This page is also available in Japanese: :doc:`softmax_ja`.

The softmax turns a vector of real numbers, the *logits*, into probabilities:

.. math::

   p_i = \operatorname{softmax}(z)_i = \frac{e^{z_i}}{\sum_{j=1}^K e^{z_j}} .

From this definition the page derives the gradient that is used to train a classifier. The
functions below compute each step. They take arrays, with the classes along the last axis. In the
formulas :math:`t` is the target distribution of a row, :math:`x` contains the features of the row,
and :math:`\delta_{ik}` is 1 for :math:`i = k` and 0 otherwise. If the class of the row is known,
:math:`t` is 1 for this class and 0 for the others.

.. list-table::
   :header-rows: 1
   :widths: 40 60

   * - function
     - formula
   * - :func:`skmaxent.softmax`
     - :math:`p_i = e^{z_i}/\sum_j e^{z_j}`
   * - :func:`skmaxent.log_softmax`
     - :math:`\log p_i = z_i - \log\sum_j e^{z_j}`
   * - :func:`skmaxent.logsumexp`
     - :math:`\log\sum_j e^{z_j}`
   * - :func:`skmaxent.sigmoid`
     - :math:`1/(1 + e^{-z})`, the softmax of :math:`(0, z)`
   * - :func:`skmaxent.softmax_jacobian`
     - :math:`\partial p_i/\partial z_k = p_i(\delta_{ik} - p_k)`
   * - :func:`skmaxent.cross_entropy`
     - :math:`-\sum_i t_i\log p_i`
   * - :func:`skmaxent.cross_entropy_gradient`
     - :math:`p - t`
   * - :func:`skmaxent.cross_entropy_coef_gradient`
     - means over the rows of :math:`(p - t)\,x^\top` and of :math:`p - t`

All code on this page runs when the page is built.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmaxent import (
    MaxentClassifier,
    cross_entropy,
    cross_entropy_coef_gradient,
    cross_entropy_gradient,
    log_softmax,
    sigmoid,
    softmax,
    softmax_jacobian,
)

# Okabe and Ito's colours, which colour-blind readers can distinguish.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#595959"
plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

# %%
# Softmax of a vector and of a matrix
# -----------------------------------
#
# The softmax of a vector of logits is a probability distribution. The largest logit has the largest
# probability, and all probabilities are positive.

z = np.array([2.0, 1.0, 0.1])
print(softmax(z))

# %%
# For a matrix with a row of logits for each sample, the result has a row of probabilities for each
# sample. The classes are along the last axis by default, or along ``axis``.

Z = np.array([[2.0, 1.0, 0.1], [0.0, 0.0, 0.0], [-1.0, 3.0, 1.0]])
print(softmax(Z))

# %%
# Numerical stability: subtraction of the maximum
# -----------------------------------------------
#
# A direct implementation of the definition overflows. In double precision :math:`e^{z}` is infinite
# for :math:`z > 709.8`, and infinity divided by infinity is NaN. If all logits are far below zero,
# all exponentials are rounded to 0, and 0 divided by 0 is NaN too.


def naive_softmax(z):
    e = np.exp(z)
    return e / e.sum(axis=-1, keepdims=True)


with np.errstate(all="ignore"):
    print("large logits    ", naive_softmax(np.array([1000.0, 1001.0, 1002.0])))
    print("negative logits ", naive_softmax(np.array([-1000.0, -999.0, -998.0])))

# %%
# A constant added to all logits cancels,
#
# .. math::
#
#    \frac{e^{z_i + c}}{\sum_j e^{z_j + c}} = \frac{e^c\, e^{z_i}}{e^c \sum_j e^{z_j}}
#    = \frac{e^{z_i}}{\sum_j e^{z_j}} ,
#
# so that every :math:`c` gives the same result. For :math:`c = -\max_j z_j` the largest exponent is
# 0. Then no term exceeds 1, and the denominator is at least 1. Neither overflow nor 0 divided by 0
# can occur. In a matrix, subtract from each row its own maximum. If the maximum of the whole matrix
# is subtracted, a row whose logits are far below this maximum still becomes 0 divided by 0.

print("large logits    ", softmax([1000.0, 1001.0, 1002.0]))
print("negative logits ", softmax([-1000.0, -999.0, -998.0]))

Z = np.array([[1000.0, 1001.0], [-1000.0, -999.0]])
with np.errstate(all="ignore"):
    print("one maximum for the matrix\n", naive_softmax(Z - Z.max()))
print("one for each row\n", softmax(Z))

# %%
# The logarithm of a probability has a similar problem. The smallest positive double is about
# :math:`5 \times 10^{-324}`. A probability below half of it is rounded to 0, and its logarithm is
# then :math:`-\infty`. :func:`skmaxent.log_softmax` computes the logarithm from the logits, without
# the probability, and its result is finite.

with np.errstate(divide="ignore"):
    print("log(softmax)", np.log(softmax([0.0, 1000.0])))
print("log_softmax ", log_softmax([0.0, 1000.0]))

# %%
# Properties: the axioms of probability
# -------------------------------------
#
# For every vector of finite logits the result is a probability distribution over the classes:
#
# 1. *Nonnegativity.* :math:`p_i \ge 0`. The softmax even has :math:`p_i > 0`, because
#    :math:`e^{z_i} > 0`. (In floating point a probability may be rounded to 0.)
# 2. *Sum of one.* :math:`\sum_i p_i = \sum_i e^{z_i} / \sum_j e^{z_j} = 1`.
# 3. *Additivity.* Classes exclude each other, so that the probability of a set of classes is
#    defined as the sum of their probabilities.
#
# Every probability distribution has these properties. The softmax has another one: the odds of two
# classes, :math:`p_i / p_j = e^{z_i - z_j}`, do not depend on the logits of the other classes,
# because the denominator cancels. In models of the choices of voters and buyers this property is
# called the *independence of irrelevant alternatives*. The page :doc:`/inference` describes tests
# of it.

rng = np.random.default_rng(0)
P = softmax(rng.normal(scale=5.0, size=(100_000, 4)))
print("smallest probability      ", P.min())
print("largest distance from one ", abs(P.sum(axis=1) - 1).max())

three, two = softmax([2.0, 1.0, 0.1]), softmax([2.0, 1.0])
print("odds of the first two classes, with and without the third:")
print(three[0] / three[1], two[0] / two[1], np.exp(2.0 - 1.0))

# %%
# Sigmoid: the softmax of two classes
# -----------------------------------
#
# With two classes the probabilities depend only on the difference of the logits. Divide numerator
# and denominator by :math:`e^{z_2}`:
#
# .. math::
#
#    \operatorname{softmax}(z_1, z_2)_2 = \frac{e^{z_2}}{e^{z_1} + e^{z_2}}
#    = \frac{1}{1 + e^{-(z_2 - z_1)}} = \sigma(z_2 - z_1) .
#
# Binary logistic regression is therefore the softmax with two classes, with the logits
# :math:`(0, z)`.

print(softmax([0.3, 1.7])[1], sigmoid(1.7 - 0.3))

t = np.linspace(-6, 6, 241)
fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained", sharey=True)
axes[0].plot(t, sigmoid(t), color=BLUE, lw=5, alpha=0.35, label="sigmoid(z)")
axes[0].plot(
    t, softmax(np.c_[0 * t, t])[:, 1], color=ORANGE, lw=1.5, ls="--", label="softmax(0, z), second"
)
axes[0].set(title="Two classes", xlabel="logit z", ylabel="probability")
axes[0].legend(frameon=False, loc="upper left")
curves = softmax(np.c_[t, 0 * t + 1, 0 * t - 1])
styles = zip(curves.T, (BLUE, ORANGE, GREEN), ("-", "--", "-."), ("z", "1", "−1"), strict=True)
for curve, colour, line, name in styles:
    axes[1].plot(t, curve, color=colour, ls=line, label=f"class with logit {name}")
axes[1].set(title="Three classes, one logit varies", xlabel="logit z")
axes[1].legend(frameon=False, loc="center left", bbox_to_anchor=(0.0, 0.62))
plt.show()

# %%
# Jacobian of the softmax
# -----------------------
#
# Write :math:`s = \sum_j e^{z_j}`, so that :math:`p_i = e^{z_i}/s` and
# :math:`\partial s/\partial z_k = e^{z_k}`. The quotient rule has two cases.
#
# *The logit of the same class,* :math:`i = k`. Numerator and denominator depend on :math:`z_k`:
#
# .. math::
#
#    \frac{\partial p_k}{\partial z_k} = \frac{e^{z_k} s - e^{z_k} e^{z_k}}{s^2}
#    = \frac{e^{z_k}}{s}\Bigl(1 - \frac{e^{z_k}}{s}\Bigr) = p_k (1 - p_k) .
#
# *The logit of another class,* :math:`i \ne k`. Only the denominator depends on :math:`z_k`:
#
# .. math::
#
#    \frac{\partial p_i}{\partial z_k} = \frac{0 \cdot s - e^{z_i} e^{z_k}}{s^2} = -p_i\, p_k .
#
# With :math:`\delta_{ik}` one formula covers both cases:
#
# .. math::
#
#    \frac{\partial p_i}{\partial z_k} = p_i(\delta_{ik} - p_k),
#    \qquad J = \operatorname{diag}(p) - p\,p^\top .
#
# The matrix is symmetric. Each column sums to zero, because the sum of the probabilities is
# constant. Each row sums to zero too, because the same constant added to all logits changes
# nothing.

z = np.array([2.0, 1.0, 0.1, -1.0])
J = softmax_jacobian(z)
p = softmax(z)
step = 1e-6 * np.eye(4)
differences = (softmax(z + step) - softmax(z - step)).T / 2e-6
print("diag(p) - p pᵀ      ", abs(J - (np.diag(p) - np.outer(p, p))).max())
print("central differences ", abs(J - differences).max())
print("row sums            ", J.sum(axis=1))

# %%
# The figure shows this matrix. If the logit of a class rises, the probability of this class rises
# too (the diagonal), and the probability of every other class falls. The slope on the diagonal,
# :math:`p_k(1 - p_k)`, is largest for a probability of 1/2, and small for probabilities near 0 or
# 1.

limit = abs(J).max()
fig, ax = plt.subplots(figsize=(5.2, 4.2), layout="constrained")
image = ax.imshow(J, cmap="RdBu_r", vmin=-limit, vmax=limit)
for i, row in enumerate(J):
    for k, value in enumerate(row):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        ax.text(k, i, f"{value:.3f}".replace("-", "−"), ha="center", va="center", color=colour)
ticks = range(len(z))
ax.set_xticks(ticks, [f"{value:g}".replace("-", "−") for value in z])
ax.set_yticks(ticks, [f"{value:.2f}" for value in p])
ax.spines[:].set_visible(False)
ax.set(
    xlabel="logit that varies, $z_k$",
    ylabel="probability that changes, $p_i$",
    title="Jacobian of the softmax",
)
fig.colorbar(image, ax=ax, label=r"$\partial p_i / \partial z_k$")
plt.show()

# %%
# Gradient of the cross-entropy
# -----------------------------
#
# A model gives the true class :math:`y` of a row the probability :math:`p_y`. The loss of the row
# is :math:`-\log p_y`. For a target distribution :math:`t` the loss is the cross-entropy,
#
# .. math::
#
#    \ell(z) = -\sum_i t_i \log p_i .
#
# which is equal to :math:`-\log p_y` if :math:`t` is 1 for the class :math:`y` and 0 for the others
# (*one-hot*). The derivative of :math:`\log p_i` is :math:`1/p_i` times the derivative of
# :math:`p_i`, so that the factor :math:`p_i` of the Jacobian cancels:
#
# .. math::
#
#    \frac{\partial \ell}{\partial z_k} = -\sum_i \frac{t_i}{p_i}\, p_i(\delta_{ik} - p_k)
#    = -t_k + p_k \sum_i t_i = p_k - t_k ,
#
# because the targets sum to one. The gradient is the vector of probabilities minus the vector of
# targets. If a model is confident and wrong, the derivative with respect to the logit of the true
# class, :math:`p_y - 1`, is near −1, however small :math:`p_y` is.

z = np.array([2.0, 1.0, 0.1, -1.0])
label = 2
t = np.eye(4)[label]
print("loss      ", cross_entropy(z, label), -np.log(softmax(z)[label]))
print("gradient  ", cross_entropy_gradient(z, label))
print("p − t     ", softmax(z) - t)

# %%
# The left figure shows probabilities, targets and their difference. The right figure is for two
# classes, of which the second is true and has the probability :math:`p`. It compares the gradient
# of the cross-entropy with the gradient of the squared error :math:`\tfrac12(p - 1)^2`. The
# gradient of the squared error has the factor :math:`p(1 - p)`. If the model is confident and
# wrong, this gradient is nearly zero, and training hardly changes the model.

fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
place = np.arange(4)
parts = (
    ("p", softmax(z), BLUE),
    ("t", t, GREY),
    ("p − t", cross_entropy_gradient(z, label), ORANGE),
)
for shift, (name, values, colour) in zip((-0.26, 0.0, 0.26), parts, strict=True):
    axes[0].bar(place + shift, values, 0.24, color=colour, label=name)
axes[0].axhline(0, color="black", lw=0.8)
axes[0].set_xticks(place, [f"class {k}" for k in place])
axes[0].set(title="Gradient of the cross-entropy, label 2", ylabel="value", ylim=(-1.05, 1.3))
axes[0].legend(frameon=False, ncols=3, loc="upper left")

logit = np.linspace(-8, 8, 321)
right = sigmoid(logit)
axes[1].plot(logit, right - 1, color=BLUE, label="cross-entropy: p − 1")
axes[1].plot(
    logit,
    (right - 1) * right * (1 - right),
    color=ORANGE,
    ls="--",
    label="squared error: (p − 1) p (1 − p)",
)
axes[1].axhline(0, color="black", lw=0.8)
axes[1].set(
    title="Two classes, the second is true",
    xlabel="logit of the true class",
    ylabel="gradient",
    ylim=(-1.05, 0.45),
)
axes[1].legend(frameon=False, loc="upper left")
plt.show()

# %%
# For a linear model :math:`z = Wx + b` the chain rule gives the gradient :math:`(p - t)\,x^\top`
# for :math:`W` and :math:`p - t` for :math:`b`. :func:`skmaxent.cross_entropy_coef_gradient`
# computes the means of both over the :math:`n` rows. :class:`skmaxent.MaxentClassifier` with a
# ridge penalty finds the coefficients at which the gradient of the penalised objective is zero. The
# mean of :math:`(p - t)\,x^\top`, plus :math:`W/(Cn)`, is then zero. The mean of :math:`p - t` is
# zero without such a term, because intercepts are not penalised. With two classes ``coef_`` is the
# second row of :math:`W`, for which this holds. The first row of :math:`W` is fixed at zero.
#
# Gradient methods
# ----------------
#
# Gradient descent repeatedly multiplies this gradient by a step size and subtracts the result from
# the coefficients. The loss of a linear model is convex. Let :math:`L` be a number that no
# eigenvalue of the Hessian exceeds, whatever the coefficients. If the loss has a minimum, gradient
# descent converges to a minimum with every step size below :math:`2/L`. Here :math:`L` is half the
# largest eigenvalue of :math:`X^\top X/n`, because no eigenvalue of the Jacobian
# :math:`\operatorname{diag}(p) - p\,p^\top` exceeds 1/2. The code uses the step size :math:`1/L`.
# If one feature has much larger values than the others, this step size is far too small for the
# coefficients of the others, and the descent takes very long. The figure shows the descent for two
# features with the standard deviations 1 and 10, and for the same features divided by their
# standard deviations.
#
# The solver of :class:`skmaxent.MaxentClassifier` is Newton's method. Its first preconditioner is
# the Hessian of the model without features, or a small Hessian is factored. The units and the
# correlation of the features therefore hardly slow it down; see :doc:`/objective`. The example
# :doc:`/gallery/large_data/gradient_methods` compares four methods on handwritten digits.

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 2)) * [1.0, 10.0]
labels = (X @ [1.0, 0.1] + rng.logistic(size=300) > 0).astype(int)


def descend(X, n_steps=200):
    """Return the loss before each step. The step size is 1/L."""
    coef, losses = np.zeros((2, 2)), []
    step = 2 / np.linalg.eigvalsh(X.T @ X / len(X)).max()
    for _ in range(n_steps):
        losses.append(cross_entropy(X @ coef.T, labels).mean())
        coef -= step * cross_entropy_coef_gradient(X, labels, coef)[0]
    return np.array(losses)


best = MaxentClassifier(C=np.inf, fit_intercept=False).fit(X, labels)
minimum = cross_entropy(np.c_[np.zeros(len(X)), X @ best.coef_[0]], labels).mean()
fig, ax = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
ax.semilogy(descend(X) - minimum, color=ORANGE, label="raw units")
ax.semilogy(descend(X / X.std(axis=0)) - minimum, color=BLUE, ls="--", label="standardised")
ax.set(title="Gradient descent", xlabel="step", ylabel="loss minus its minimum", ylim=(1e-12, 1))
ax.legend(frameon=False)
plt.show()

# %%
# Temperature
# -----------
#
# Logits can be divided by a temperature :math:`T` before the softmax. :math:`T < 1` makes the
# distribution more concentrated, and :math:`T > 1` makes it more uniform. The order of the classes
# does not change. For :math:`T \to 0` the probability of the class with the largest logit goes to
# 1, and for :math:`T \to \infty` the distribution becomes uniform.
#
# Temperature scaling fits :math:`T` to rows that were not used for training, and so corrects
# overconfident probabilities. In distillation, a high temperature makes the probabilities of a
# large model more uniform, and a small model is fitted to them.

z = np.array([2.0, 1.0, 0.1, -1.0])
temperatures = (0.25, 1.0, 4.0)
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
for shift, T, colour in zip((-0.26, 0.0, 0.26), temperatures, (ORANGE, BLUE, GREEN), strict=True):
    axes[0].bar(np.arange(4) + shift, softmax(z / T), 0.24, color=colour, label=f"T = {T:g}")
axes[0].set_xticks(range(4), [f"z = {value:g}".replace("-", "−") for value in z])
axes[0].set(title="The same logits at three temperatures", ylabel="probability")
axes[0].legend(frameon=False)

T = np.geomspace(0.05, 50, 200)
P = softmax(z / T[:, None])
entropy = -(P * log_softmax(z / T[:, None])).sum(axis=1)
axes[1].semilogx(T, entropy, color=PURPLE)
axes[1].axhline(np.log(4), color=GREY, ls=":", lw=1)
axes[1].annotate("uniform: log 4", (0.05, np.log(4)), xytext=(2, -12), textcoords="offset points")
axes[1].set(title="Entropy", xlabel="temperature T", ylabel="entropy, base e", ylim=(0, 1.5))
plt.show()

# %%
# Comparison with sigmoid, tanh and ReLU
# --------------------------------------
#
# The softmax maps a vector to a vector. The other functions map each number separately. For the
# softmax the figure shows the probability of the first of three classes as a function of its logit;
# the other two logits are 0.


def relu(z):
    return np.maximum(z, 0)


z = np.linspace(-5, 5, 401)
row = np.c_[z, 0 * z, 0 * z]
functions = {
    "softmax": (softmax(row)[:, 0], softmax_jacobian(row)[:, 0, 0], BLUE, "-"),
    "sigmoid": (sigmoid(z), sigmoid(z) * sigmoid(-z), ORANGE, "--"),
    "tanh": (np.tanh(z), 1 - np.tanh(z) ** 2, GREEN, "-."),
    "ReLU": (relu(z), np.where(z > 0, 1.0, 0.0), PURPLE, ":"),
}
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.8), layout="constrained")
for name, (value, slope, colour, line) in functions.items():
    width = 2.2 if name == "ReLU" else 1.6
    axes[0].plot(z, value, color=colour, ls=line, lw=width, label=name)
    axes[1].plot(z, slope, color=colour, ls=line, lw=width, label=name)
axes[0].axhline(0, color="black", lw=0.6)
axes[0].set(title="Function", xlabel="z", ylabel="value", ylim=(-1.15, 2.3))
axes[0].legend(frameon=False, loc="upper left")
axes[1].set(title="Derivative", xlabel="z", ylabel="slope", ylim=(-0.03, 1.1))
axes[1].legend(frameon=False, loc="upper left")
plt.show()

# %%
# .. list-table::
#    :header-rows: 1
#    :widths: 12 24 16 24 34
#
#    * - function
#      - formula
#      - range
#      - derivative
#      - used for
#    * - softmax
#      - :math:`e^{z_i}/\sum_j e^{z_j}`
#      - :math:`(0, 1)`, sum 1
#      - :math:`p_i(\delta_{ik} - p_k)`
#      - output, one of :math:`K` classes that exclude each other; attention weights
#    * - sigmoid
#      - :math:`1/(1 + e^{-z})`
#      - :math:`(0, 1)`
#      - :math:`\sigma(1 - \sigma)`, at most 1/4
#      - output, two classes, or several labels at once; gates
#    * - tanh
#      - :math:`2\sigma(2z) - 1`
#      - :math:`(-1, 1)`
#      - :math:`1 - \tanh^2 z`, at most 1
#      - hidden layers, centred on zero; recurrent states
#    * - ReLU
#      - :math:`\max(0, z)`
#      - :math:`[0, \infty)`
#      - 0 for :math:`z < 0`, 1 for :math:`z > 0`
#      - hidden layers; the slope does not vanish for large :math:`z`
#
# The first three functions saturate: their slope vanishes far from zero. In hidden layers
# saturation slows learning down. At the output, with a softmax or sigmoid and the cross-entropy, it
# does not, because the slope cancels and the gradient is :math:`p - t`. ReLU has slope 1 for all
# positive numbers and does not saturate there. Its weakness is the *dying unit*: if the input of a
# unit is negative for all rows, the output and the slope of the unit are zero for all rows. The
# weights of the unit then get no gradient and stop changing. Steps of the training that are too
# large can cause this. Leaky ReLU, which has a small slope for negative numbers, avoids it.
#
# The next code draws the weights of a hidden layer of 50 units at random, and counts the units
# whose slope is zero for all of the 300 rows of the section on gradient methods. Too large a step
# can make the bias strongly negative. Most units then die.

hidden = X @ rng.normal(size=(2, 50))
for bias in (0.0, -50.0, -100.0):
    dead = (hidden + bias <= 0).all(axis=0)
    print(f"bias {bias:6.1f}: {dead.sum()} of 50 units are dead")

# %%
# Labels that do not exclude each other, such as the tags of a photograph, need a sigmoid for each
# label; see :class:`skmaxent.MultilabelMaxentClassifier`.
#
# The last code block prints the smallest and the largest value of the four functions in the figure
# above and their largest slopes, and checks the formula of tanh:

for name, (value, slope, _, _) in functions.items():
    print(
        f"{name:8s} values {value.min():6.3f} to {value.max():5.3f}   slope up to {slope.max():.3f}"
    )
print("tanh(z) = 2 sigmoid(2 z) - 1, up to", abs(np.tanh(z) - (2 * sigmoid(2 * z) - 1)).max())

# %%
# What to read next
# -----------------
#
# - :doc:`fit_and_predict`: how to use the classifier that is made of these functions.
# - :doc:`interpret`: what the coefficients of the classifier mean.
# - :doc:`/objective`: the function that a fit minimises, and the algorithms.
# - :doc:`/gallery/labels/temperature` and :doc:`/gallery/labels/distillation`: temperature
#   with real data.
