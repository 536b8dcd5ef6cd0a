"""
Held-out scores, influence and sets of classes from one fit
===========================================================

What would a model predict for a row if it had been fitted without this row? One Newton step from
the fit to all rows gives a good approximation, so that no row needs a fit of its own. This example
uses these steps for four questions about a model of votes: how well it predicts, how strong the
penalty should be, which voters influence the model most, and which parties are possible for a
voter. The guide on :doc:`leverages </leverages>` has the formulas.

The data are 1,525 voters of the British Election Panel Study of 1997 to 2001. They are ``BEPS`` of
R's package carData. This repository has a copy in ``tests/oracles/beps.csv``.
"""

# %%
# Fit
# ---
# ``vote`` is one of three parties. The features are the age, the opinions on the economy and on the
# leaders of the parties (Blair, Hague and Kennedy), the attitude towards Europe, and the political
# knowledge.
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmaxent import DiagnosticsDisplay, MaxentClassifier, leave_one_out

colors = {"Conservative": "#0072B2", "Labour": "#D55E00", "Liberal Democrat": "#E69F00"}
folders = [Path.cwd(), *Path.cwd().parents]
data = pd.read_csv(
    next(folder for folder in folders if (folder / "tests").is_dir()) / "tests/oracles/beps.csv"
)
X, y = data.drop(columns=["vote", "gender"]), data["vote"]
results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)

# %%
# Held-out scores
# ---------------
# ``loo`` computes the probabilities that each voter has in the fit without this voter. The output
# is the mean log-probability of the voters' parties, in the fit and held out, and the held-out
# accuracy, with standard errors.
scores = results.loo()
print(f"in the fit  {results.log_likelihood / results.n_obs:.4f}")
print(f"held out    {scores.log_score:.4f} ± {scores.log_score_std_err:.4f}")
print(f"accuracy    {scores.accuracy:.3f} ± {scores.accuracy_std_err:.3f}")

# %%
# The difference is larger in a small sample. The next figure shows the probability of the voter's
# party for 60 voters. The horizontal axis has the probability in a new fit to the other 59 voters.
# The probability in the fit to all 60 voters is larger (left figure). One Newton step leads to
# nearly the probability of the new fit (right figure).
few = data.sample(60, random_state=1).index
X_few, y_few = X.loc[few], y.loc[few]
model = MaxentClassifier(C=1.0).fit(X_few, y_few)
observed = model.classes_.searchsorted(y_few)
rows = np.arange(len(few))
refitted = np.empty(len(few))
for i in rows:
    kept = rows != i
    without = MaxentClassifier(C=1.0).fit(X_few[kept], y_few[kept])
    refitted[i] = without.predict_proba(X_few.iloc[[i]])[0, observed[i]]
in_fit = model.predict_proba(X_few)[rows, observed]
one_step = np.exp(leave_one_out(model, X_few, y_few, max_refits=0).log_proba[rows, observed])

figure, axes = plt.subplots(1, 2, figsize=(8, 4.6), sharex=True, sharey=True, layout="constrained")
for ax, values, title in zip(
    axes, (in_fit, one_step), ("Fit to all 60 voters", "One Newton step"), strict=True
):
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    for party, color in colors.items():
        of_party = (y_few == party).to_numpy()
        ax.plot(refitted[of_party], values[of_party], "o", ms=5, color=color, label=party)
    ax.set(title=title, xlabel="probability in the fit without the voter", aspect="equal")
axes[0].set_ylabel("probability of the voter's party")
axes[0].legend(frameon=False)

# %%
# The strength of the penalty
# ---------------------------
# One fit for each ``C`` gives its held-out score. Cross-validation with five folds needs five fits
# for each ``C``. The bars are one standard error. The scores of neighbouring values of ``C`` come
# from the same voters, so that their difference is more certain than the bars suggest. The vertical
# line is at the best held-out score.
Cs = np.geomspace(1e-3, 100, 11)
start = perf_counter()
found = [leave_one_out(MaxentClassifier(C=C).fit(X_few, y_few), X_few, y_few) for C in Cs]
print(f"{perf_counter() - start:.2f} seconds for {len(Cs)} values of C")
held_out = np.array([one.log_score for one in found])
fitted = [
    MaxentClassifier(C=C).fit(X_few, y_few).predict_log_proba(X_few)[rows, observed].mean()
    for C in Cs
]
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.errorbar(
    Cs, held_out, [one.log_score_std_err for one in found], fmt="o-", capsize=3, label="held out"
)
ax.plot(Cs, fitted, "s--", color="0.5", label="in the fit")
ax.axvline(Cs[held_out.argmax()], color="0.7", linewidth=1)
ax.set(xscale="log", xlabel="C", ylabel="mean log-probability", title="60 voters")
for C, one in list(zip(Cs, found, strict=True))[::2]:
    ax.annotate(f"{one.effective_df:.1f}", (C, one.log_score), (4, -12), textcoords="offset points")
ax.legend(frameon=False, loc="lower left", title="numbers: effective degrees of freedom")

# %%
# Influence
# ---------
# The display has four figures for the model of all voters: residuals of groups of voters with
# similar probabilities, the loss of log-probability of each voter when the voter is held out,
# Cook's distance (how much a voter changes the coefficients), and residuals against leverages. The
# labels are the row numbers of the three voters with the largest Cook's distances, whose data are
# printed.
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=list(colors.values()))
display = DiagnosticsDisplay.from_results(results)
display.figure_.set_size_inches(9, 7)
display.figure_.suptitle("Diagnostics of each voter")
print(data.loc[display.labelled_].T.to_string())

# %%
# Possible parties
# ----------------
# A conformal set is a set of parties that contains the party of a new voter with a given
# probability, here 0.9. A party is in the set if its predicted probability is above a threshold.
# The held-out probabilities give the threshold, so that no voters have to be set aside for it. In
# the figure the model is fitted to half of the voters. The bars are the shares of the other half
# whose party is in the set. With one threshold the share differs between the parties. With a
# threshold for each party it is near 0.9 for all parties.
half = np.random.default_rng(0).permutation(len(data))[: len(data) // 2]
train = np.isin(np.arange(len(data)), half)
results = MaxentClassifier(C=np.inf).fit(X[train], y[train]).infer(X[train], y[train])
new = y[~train].to_numpy()
coverage, sizes = {}, {}
for title, by_class in (("one threshold", False), ("a threshold for each class", True)):
    sets = results.conformal(alpha=0.1, class_conditional=by_class).predict(X[~train])
    inside = sets.to_numpy()[np.arange(len(new)), sets.columns.get_indexer(new)]
    coverage[title] = pd.Series(inside).groupby(new).mean()
    coverage[title]["all"] = inside.mean()
    sizes[title] = sets.sum(axis=1).mean()
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for at, (title, shares) in enumerate(coverage.items()):
    places = np.arange(len(shares)) + 0.36 * (at - 0.5)
    bars = ax.bar(places, shares, 0.34, color=["#56B4E9", "#009E73"][at])
    bars.set_label(f"{title}: {sizes[title]:.2f} parties in a set")
ax.axhline(0.9, color="0.3", linewidth=1, linestyle="--")
ax.set_xticks(range(len(shares)), shares.index)
ax.set_title("Share of new voters whose party is in the set")
ax.set(ylim=(0, 1.25), ylabel="share of voters whose party is in the set")
ax.legend(frameon=False, loc="upper left")
plt.show()
