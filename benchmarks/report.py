"""Tables and pictures of the results, written into docs/."""

import json
import os
import platform
import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from cases import REAL
from cluster import CLASSES, COLUMNS, MEMORY, ROWS, THREADS, predicted
from contenders import OURS
from pictures import draw, draw_ratios, draw_scaling
from real_data import COMMAND

DOCS = Path(__file__).parents[1] / "docs"
README = DOCS.parent / "README.md"
# The table and the geometric mean of the cases with real data stand between these in the README.
HEADLINE = "<!-- real data -->", "<!-- end of real data -->"
# The cases of the README's table, and what it calls them.
README_ROWS = {
    "mnist": "MNIST, 5,000 x 784, 10 classes",
    "mnist_weak_penalty": "the same with a tenth of the penalty",
    "mnist_polynomial": "averaged pixels and their products, 5,000 x 1,274",
    "newsgroups": "20 newsgroups, 11,293 x 73,686 sparse",
    "reviews": "product reviews, 35,123 x 100,462 sparse, 2 classes",
    "reuters_r8": "Reuters R8, 5,485 x 19,956 sparse, 8 classes",
    "diamonds": "diamonds, 53,940 x 22, raw units, 5 classes",
    "yeast": "yeast, 2,417 x 103, 198 classes",
    "digits": "digits, 1,797 x 64, 10 classes",
    "wine": "wine, 178 x 13, raw units",
    "lasso_digits": "lasso on digits",
    "lasso_cancer": "lasso on breast cancer, 569 x 30",
    "lasso_penguins": "lasso on penguins, 333 x 9",
}
REAL_NAMES = [case.__name__ for case in REAL]
PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-learn-intelex",
    "cyanure",
    "statsmodels",
    "torch",
    "adelie",
    "distributed",
)
GAPS = ("0.001", "1e-06", "1e-09")
# Below this many seconds a fit is all fixed cost, and the target is another.
TINY = "tiny"


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def machine():
    """What a figure depends on."""
    model = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": (model or [platform.machine()])[0],
        "threads": os.cpu_count(),
        "python": platform.python_version(),
        "skmaxent": _version("skmaxent"),
        "environment": {k: v for k, v in os.environ.items() if k.startswith(("OPENBLAS", "OMP"))},
        **{package: _version(package) for package in PACKAGES},
    }


def machines(found):
    """The processor and the versions of all results, then what differs between cases."""
    states = [(result["case"], _flat(result["machine"])) for result in found]
    shared = set.intersection(*(set(state.items()) for _, state in states))
    of_cases = {}
    for case, state in states:
        own = tuple(sorted(set(state.items()) - shared))
        of_cases.setdefault(own, []).append(case)
    known = dict(shared)
    lines = [
        f"- Processor: {known.pop('processor', 'see below')}, {known.pop('threads', '?')} threads",
        f"- Python: {known.pop('python', 'see below')}",
        f"- Packages: {_listed(known.items())}",
    ]
    most = max(of_cases, key=lambda own: len(of_cases[own]))
    for own, cases in sorted(of_cases.items(), key=lambda item: item[0] == most):
        where = "all other cases" if own == most else ", ".join(cases)
        lines += [f"- Besides, in {where}: {_listed(own)}"] if own else []
    return "\n".join(lines)


def _flat(machine):
    """A machine's properties without those of packages that are not installed."""
    properties = {k: str(v) for k, v in machine.items() if k != "environment"}
    properties |= {f"{k}={v}": "" for k, v in machine["environment"].items()}
    return {k: v for k, v in properties.items() if v != "not installed"}


def _listed(items):
    return ", ".join(f"{name} {value}".strip() for name, value in sorted(items))


def best_peer(result, gap):
    """(name, seconds) of the fastest peer that reaches the gap, or None."""
    times = {k: v["seconds"] for k, v in result["times"][gap].items() if k != OURS}
    return min(times.items(), key=lambda item: item[1]) if times else None


def ratio(result, gap):
    """The fastest peer's time over ours, and True; or the longest time of a peer, and False."""
    ours = result["times"][gap].get(OURS)
    if ours is None:
        return None, False
    peer = best_peer(result, gap)
    if peer is not None:
        return peer[1] / ours["seconds"], True
    spent = [
        max((point["seconds"] for point in points), default=0.0)
        for name, points in result["points"].items()
        if name != OURS
    ]
    return (max(spent) / ours["seconds"], False) if spent else (None, False)


def _seconds(value):
    return f"{value * 1e3:.2g} ms" if value < 0.1 else f"{value:.2g} s"


def _ratio_cell(result, gap):
    value, reached = ratio(result, gap)
    if value is None:
        return "not reached"
    return f"{value:.1f}" if reached else f"no other, > {value:.1f}"


def summary(results):
    lines = [
        "| case | skmaxent, 1e-6 | fastest other, 1e-6 | ratio at 1e-3 | ratio at 1e-6 | "
        "ratio at 1e-9 | passes |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        ours = result["times"]["1e-06"].get(OURS)
        peer = best_peer(result, "1e-06")
        ours_cell = "not reached" if ours is None else _seconds(ours["seconds"])
        units = "" if ours is None else f"{ours['seconds'] / result['pair']:.0f}"
        lines.append(
            f"| {result['case']}: {result['description']} | {ours_cell} | "
            f"{'none' if peer is None else f'{_seconds(peer[1])} ({peer[0]})'} | "
            + " | ".join(_ratio_cell(result, gap) for gap in GAPS)
            + f" | {units} |"
        )
    return "\n".join(lines)


def geometric_mean(results, gap="1e-06"):
    values = [ratio(result, gap)[0] for result in results]
    return float(np.exp(np.mean([np.log(value) for value in values if value])))


def headline(real):
    """Sentences with the geometric mean of the cases with real data, and what it leaves out."""
    ratios = {result["case"]: ratio(result, "1e-06") for result in real}
    missed = [name for name, (value, _) in ratios.items() if value is None]
    bounds = [name for name, (value, is_reached) in ratios.items() if value and not is_reached]
    text = (
        f"The geometric mean of the ratios at a gap of 1e-6 over the {len(real) - len(missed)} "
        f"cases with real data is **{geometric_mean(real):.1f}**."
    )
    if bounds:
        text += (
            f" It includes {len(bounds)} lower bounds: in the cases {_named(bounds)} of the "
            "benchmark no other solver reached the gap within its time limit."
        )
    if missed:
        text += f" It does not include {_named(missed)}, where skmaxent does not reach the gap."
    return text


def _named(cases):
    """The names of some cases as code, with "and" before the last."""
    *others, last = (f"`{name}`" for name in cases)
    return f"{', '.join(others)} and {last}" if others else last


def readme_table(real):
    """The rows of README_ROWS, with the times at a gap of 1e-6."""
    by_name = {result["case"]: result for result in real}
    lines = ["| data | MaxentClassifier | fastest other solver | ratio |", "|---|---|---|---|"]
    for name, words in README_ROWS.items():
        result = by_name[name]
        ours, peer = result["times"]["1e-06"].get(OURS), best_peer(result, "1e-06")
        lines.append(
            f"| {words} | {'not reached' if ours is None else _seconds(ours['seconds'])} | "
            f"{'none' if peer is None else f'{_seconds(peer[1])} ({peer[0]})'} | "
            f"{_ratio_cell(result, '1e-06')} |"
        )
    return "\n".join(lines)


def with_headline(readme, sentence):
    """The README's text with `sentence` between the two markers."""
    if any(readme.count(marker) != 1 for marker in HEADLINE):
        raise ValueError(f"README.md must contain each of {HEADLINE} once")
    before, rest = readme.split(HEADLINE[0])
    after = rest.split(HEADLINE[1])[1]
    return f"{before}{HEADLINE[0]}\n{sentence}\n{HEADLINE[1]}{after}"


def details(result):
    lines = [
        f"### {result['case']}",
        "",
        f"{result['description']} ![gap against seconds](figures/{result['case']}.png)",
        "",
        "| solver | gap 1e-3 | gap 1e-6 | gap 1e-9 | extra memory | |",
        "|---|---|---|---|---|---|",
    ]
    for name, points in result["points"].items():
        cells = []
        for gap in GAPS:
            time = result["times"][gap].get(name)
            cells.append(
                "" if time is None else f"{_seconds(time['seconds'])} (tol {time['tol']:g})"
            )
        memory = max((point["megabytes"] for point in points), default=np.nan)
        memory = "" if np.isnan(memory) else f"{memory:.0f} MB"
        lines.append(
            f"| {name} | {' | '.join(cells)} | {memory} | {result['notes'].get(name, '')} |"
        )
    return "\n".join(lines)


def _ratios(times):
    lines = ["| data | skmaxent | scikit-learn | ratio |", "|---|---|---|---|"]
    for data, by_name in times.items():
        peers = {name: value for name, value in by_name.items() if name != OURS}
        name = min(peers, key=peers.get)
        lines.append(
            f"| {data} | {_seconds(by_name[OURS])} | {_seconds(peers[name])} ({name}) | "
            f"{peers[name] / by_name[OURS]:.2f} |"
        )
    return lines


def _threads(times):
    lines = [
        "| data | 1 thread | 2 threads | gain | difference of coefficients | reproducible |",
        "|---|---|---|---|---|---|",
    ]
    for data, row in times.items():
        one, two = row["1 thread"], row["2 threads"]
        lines.append(
            f"| {data} | {_seconds(one)} | {_seconds(two)} | {one / two:.2f} | "
            f"{row['difference']:.0e} | {'yes' if row['reproducible'] else 'no'} |"
        )
    return lines


def _memory(m):
    return [
        f"X is a file of {m['X']:.0f} MB. The fit took {m['seconds']:.3g} s and "
        f"{m['n_iter']:.0f} iterations, and its `optimality_gap_` is {m['gap']:.1e}. At the peak "
        f"it used {m['extra']:.0f} MB of memory besides the file.",
    ]


def _scaling(sweeps):
    slopes = draw_scaling(sweeps, DOCS / "figures" / "scaling.png")
    names = dict.fromkeys(name for _, name in slopes)
    caption = "; ".join(
        f"{name}: " + ", ".join(f"{letter}^{slopes[letter, name]:.2f}" for letter in sweeps)
        for name in names
    )
    return [
        "![time against n, d and K](figures/scaling.png)",
        "",
        f"The times grow with these powers: {caption}.",
    ]


def _paths(found):
    lines = [
        "The table has the time of a whole path. skmaxent runs with the fastest of the tolerances "
        "for which its objective at the end of the path is no higher than that of glmnet. The "
        "column `lower by` has the relative difference of the two objectives. The last column is "
        "the time of skmaxent at the default `tol`.",
        "",
        "| path | penalties | glmnet | skmaxent | ratio | tol | lower by | at tol=1e-4 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        lines.append(
            f"| {name} | {row['points']} | {_seconds(row['glmnet'])} | "
            f"{_seconds(row['skmaxent'])} | {row['glmnet'] / row['skmaxent']:.1f} | "
            f"{row['tol']:g} | {row['lower by']:.0e} | {_seconds(row['default tol'])} |"
        )
    return lines


def _folds(found):
    lines = [
        "iris, wine, cancer and digits are scikit-learn's, with columns of unit variance; dense "
        "has the data of the case lasso. All have the same folds and penalties, but in the folds "
        "of `LogisticRegressionCV` the penalty is that of C, not of the mean loss. Its solver is "
        "lbfgs for the digits, else newton-cholesky. `paths` is the time of skmaxent divided by "
        "that of one path of all rows. The last columns have the largest error of a mean "
        "log-likelihood, in its standard errors over the folds, among the penalties up to two "
        "standard errors from the best score. The truth are fits with `cv_tol=0` and `tol=1e-6`.",
        "",
        "| data | skmaxent | paths | cv.glmnet | ratio | scikit-learn | ratio | error | "
        "error of cv.glmnet |",
        "|" + "---|" * 9,
    ]
    for name, row in found.items():
        ours, theirs = row["skmaxent"], row.get("scikit-learn")
        other = "| |" if theirs is None else f"{_seconds(theirs)} | {theirs / ours:.1f} |"
        lines.append(
            f"| {name} | {_seconds(ours)} | {ours / row['path']:.1f} | "
            f"{_seconds(row['cv.glmnet'])} | {row['cv.glmnet'] / ours:.1f} | {other} "
            f"{row['our error']:.3f} | {row['error of glmnet']:.3f} |"
        )
    return lines


def _labels(found):
    first = next(iter(found.values()))["seconds"]
    lines = [
        "The objective is the sum over labels, and `gap` is its relative distance from the best "
        "value. The F1 scores are those of the test rows, and the last column counts the test rows "
        "for which no label is predicted. The rows `f1_micro` and `f1_macro` learn thresholds on "
        "the probabilities that maximise this score, which takes five more fits.",
        "",
        "| | seconds | relative to the first | gap | micro F1 | macro F1 | rows without label |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        gap = "" if row["gap"] is None else f"{row['gap']:.0e}"
        lines.append(
            f"| {name} | {_seconds(row['seconds'])} | {row['seconds'] / first:.1f} | {gap} | "
            f"{row['micro']:.3f} | {row['macro']:.3f} | {row['empty']} |"
        )
    return lines


def _cluster(rows, model, passes):
    lines = [
        "| rows x columns, classes | chunks | workers | kB moved | seconds | "
        "relative to one thread in memory |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['n']:,} x {row['d']}, {row['K']} | {row['tasks']} of {row['chunk MB']} MB | "
        f"{row['workers']} | {row['kilobytes']:,.0f} | {_seconds(row['seconds'])} | "
        f"{row['seconds'] / row['alone']:.2f} |"
        for row in rows
    ]
    lines += [
        "",
        "The cost model that was fitted to these times is: "
        f"{1e3 * model['latency']:.1f} ms, plus {1e3 * model['each']:.2f} ms per task, plus "
        f"{1e9 * model['byte']:.2f} ns per byte, plus {model['factor']:.2f} times the time of one "
        f"thread in memory, divided by the number of threads. Its median error is "
        f"{model['error']:.0%}, and its largest is {model['largest error']:.0%}.",
        "",
        f"The model predicts these times of a gradient over {ROWS:,} x {COLUMNS} with {CLASSES} "
        f"classes ({8e-9 * ROWS * COLUMNS:.0f} GB), on workers with {THREADS} threads and "
        f"{MEMORY / 1e9:.0f} GB:",
        "",
        "| workers | tasks | MB moved | latency | tasks | bytes | compute | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for n_workers in (60, 100, 200, 400, 1000):
        tasks, moved, parts = predicted(model, n_workers)
        cells = " | ".join(_seconds(part) for part in parts.values())
        lines.append(
            f"| {n_workers} | {tasks:,.0f} | {moved / 1e6:.0f} | {cells} | "
            f"{_seconds(sum(parts.values()))} |"
        )
    lines += [
        "",
        "The next table counts how often all rows are read. L-BFGS runs on columns of unit "
        "variance until the gap is 1e-6. skmaxent runs at the default `tol`, and the table has the "
        "gap that it reaches. The count of skmaxent includes the reading of samples of rows, and "
        "of all rows for the moments of the columns.",
        "",
        "| data | skmaxent | of these, gradients | Hessian products | gap of skmaxent | L-BFGS |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in passes.items():
        theirs = "more than 2,000" if row["lbfgs"] is None else row["lbfgs"]
        lines.append(
            f"| {name} | {row['ours']:.0f} | {row['gradients']} | {row['products']} | "
            f"{row['our gap']:.0e} | {theirs} |"
        )
    return lines


def _limits(found):
    kinds = list(next(iter(found.values()))["shares"])
    lines = [
        f"| case | MB of X | GFLOP a pair | GFLOP/s | pairs | limit | fit | {' | '.join(kinds)} |",
        "|" + "---|" * (7 + len(kinds)),
    ]
    for name, row in found.items():
        shares = " | ".join(f"{row['shares'][kind]:.0%}" for kind in kinds)
        lines.append(
            f"| {name} | {row['bytes'] / 1e6:.3g} | {row['flop'] / 1e9:.2g} | "
            f"{row['flop'] / 1e9 / row['pair']:.2g} | {row['pairs']} | "
            f"{_seconds(row['pairs'] * row['pair'])} | {_seconds(row['seconds'])} | {shares} |"
        )
    return lines


SECTIONS = {
    "cluster": _cluster,
    "labels": _labels,
    "limits": _limits,
    "folds": _folds,
    "paths": _paths,
    "whole": _ratios,
    "threads": _threads,
    "memory": _memory,
    "sweeps": _scaling,
}


def whole_tasks(results):
    lines = []
    for result in results:
        kind = next(kind for kind in SECTIONS if kind in result)
        lines += [f"### {result['case']}", "", result["description"], ""]
        more = [result[part] for part in ("model", "passes") if part in result]
        lines += [*SECTIONS[kind](result[kind], *more), ""]
    return "\n".join(lines)


def write(folder, order):
    """docs/benchmark.md and a picture a case, from all results in the folder."""
    found = [
        json.loads((folder / f"{name}.json").read_text())
        for name in order
        if (folder / f"{name}.json").exists()
    ]
    fits = [result for result in found if "times" in result]
    DOCS.joinpath("figures").mkdir(exist_ok=True)
    for result in fits:
        draw(result, GAPS, DOCS / "figures" / f"{result['case']}.png")
    real = [result for result in fits if result["case"] in REAL_NAMES]
    synthetic = [result for result in fits if result["case"] not in REAL_NAMES]
    kinds = {
        "Real data": real,
        "Synthetic data with a ridge": [r for r in synthetic if not r.get("l1_ratio")],
        "Synthetic data with L1, elastic net and groups": [
            r for r in synthetic if r.get("l1_ratio")
        ],
    }
    if len(real) == len(REAL):
        ratios = {result["case"]: ratio(result, "1e-06") for result in real}
        draw_ratios(ratios, DOCS / "figures" / "real_data.png")
        sentences = textwrap.fill(
            headline(real), 100, break_long_words=False, break_on_hyphens=False
        )
        between = f"{readme_table(real)}\n\n{sentences}"
        README.write_text(with_headline(README.read_text(), between))
    sections = "".join(
        f"## {kind}\n\nThe geometric mean of the ratios at 1e-6 is **{geometric_mean(some):.1f}**. "
        'A cell "no other" means that no other solver reached the gap; its number is a lower bound '
        "of the ratio.\n\n"
        f"{summary(some)}\n\n"
        for kind, some in kinds.items()
        if some
    )
    text = f"""# Benchmark

This page is for people who want to check how fast the fits are. The benchmark measures the time
until the objective is within a relative gap of 1e-3, 1e-6 and 1e-9 of the best value. The gap is
(F - F*)/F*, where F is the objective of a fit, and F* is the smallest
objective that any solver found.

- Each solver runs in its own process, with the same data and the same number of threads. The
  solvers take turns.
- Each solver is timed at that of its tolerances which reaches the gap in the shortest time.
- The ratio is the time of the fastest other solver, divided by the time of skmaxent.
- `passes` is the time of skmaxent at a gap of 1e-6, divided by the time of one `X @ W` and one
  `X.T @ G`. These two products are the least that an evaluation of the gradient can cost.
- Sizes are given as rows x columns. Names of other cases refer to the data of these cases.
- `alpha` is the ridge penalty beside the mean loss, which is 1/(C n) for n rows.

{headline(real)}

`.venv/bin/python benchmarks/run.py` runs all cases and writes this page, and `.venv/bin/python
benchmarks/run.py CASE` runs one case. The other solvers are installed by
`.venv/bin/pip install ".[bench]"` and `.venv/bin/pip install --no-deps adelie`. The paths need R
with glmnet. The texts are in two archives, which
`.venv/bin/{COMMAND}`
downloads.

{sections}## Whole tasks

{whole_tasks([result for result in found if "times" not in result])}
## Each case

Each picture has a point for each tolerance, with the time of one fit. Points that are further down
and further left are better. In the tables, an empty cell means that no tolerance of the solver
reached the gap. `extra memory` is the growth of the peak memory of the process during a fit.

{chr(10).join(details(result) + chr(10) for result in fits)}
## Machine

{machines(found)}
"""
    DOCS.joinpath("benchmark.md").write_text(text)
    print(sections)
