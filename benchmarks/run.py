"""Time to a relative objective gap: skmaxent against its peers.

    python benchmarks/run.py [case ...] [--repeats 3]

Every contender has a process of its own with the same data and the same number of threads; they
take turns. For each gap a contender gets the quickest of its own tolerances that reach it, and
that fit is timed again; times are medians. A contender is stopped where it takes more than
`--patience` times as long as skmaxent at its tightest tolerance (and at least 10 s). Figures are
kept in benchmarks/results/, one file a case; docs/benchmark.md and its pictures are written from
all of them.
"""

import argparse
import importlib.util
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import report
import scipy.sparse as sp
from cases import CASES, problem
from contenders import CONTENDERS, MODULES, OURS, applies
from measure import Process, fitting, objective, pair_seconds, save
from whole import TASKS

GAPS = (1e-3, 1e-6, 1e-9)
# Seconds that no contender is given more than.
LONGEST = 900.0
LONG = 20.0
RESULTS = Path(__file__).parent / "results"


def explore(contenders, X, y, penalty, patience):
    """Each contender at each of its tolerances, once: points of (tol, seconds, MB, value)."""
    limit, points, notes = 600.0, {}, {}
    for contender in contenders:
        points[contender.name] = []
        best, least = np.inf, np.inf
        for tol in CONTENDERS[contender.name][1]:
            if tol > least:
                continue
            error, seconds, megabytes, coef = contender.time(tol, limit)
            if error:
                notes[contender.name] = error
                break
            value = objective(*coef, X, y, penalty)
            points[contender.name].append((tol, seconds, megabytes, value))
            print(
                f"  {contender.name:18s} tol {tol:7.0e} {seconds:9.4f} s   {value:.12g}", flush=True
            )
            if seconds > LONG:
                least = tol / 30  # not every tolerance is worth minutes
            if seconds > min(limit / 3, LONG) and value > best * (1 - 1e-11):
                break  # a tighter tolerance takes longer and gains nothing
            best = min(best, value)
        if contender.name == OURS:
            limit = min(max(10.0, patience * points[OURS][-1][1]), LONGEST)
    return points, notes


def chosen(points, least):
    """For each gap and contender the tolerance that reaches it in the shortest time."""
    found = {}
    for gap in GAPS:
        reached = {
            name: [(s, tol) for tol, s, _, value in rows if value - least <= gap * abs(least)]
            for name, rows in points.items()
        }
        found[gap] = {name: min(times)[1] for name, times in reached.items() if times}
    return found


def repeated(contenders, choice, repeats):
    """Median seconds for every (contender, tolerance) that was chosen, runs alternating."""
    wanted = {(name, tol) for by_name in choice.values() for name, tol in by_name.items()}
    times = {key: [] for key in wanted}
    by_name = {contender.name: contender for contender in contenders}
    for _ in range(repeats):
        for name, tol in sorted(wanted):
            error, seconds, *_ = by_name[name].time(tol)
            if not error:
                times[name, tol].append(seconds)
    return {key: float(np.median(values)) for key, values in times.items()}


def run(name, repeats, patience):
    X, y, penalty = problem(name)
    n_classes = int(y.max()) + 1
    print(f"{name}: {CASES[name].__doc__}", flush=True)
    names = [
        contender
        for contender in CONTENDERS
        if applies(contender, X, n_classes, penalty)
        and importlib.util.find_spec(MODULES.get(contender, "sklearn"))
    ]
    with tempfile.TemporaryDirectory() as folder:
        save(X, y, folder)
        contenders = [
            Process(contender, fitting, contender, folder, penalty) for contender in names
        ]
        try:
            points, notes = explore(contenders, X, y, penalty, patience)
            least = min(value for rows in points.values() for *_, value in rows)
            choice = chosen(points, least)
            medians = repeated(contenders, choice, repeats)
        finally:
            for contender in contenders:
                contender.stop()
    return {
        "case": name,
        "description": CASES[name].__doc__,
        "sparse": bool(sp.issparse(X)),
        "l1_ratio": penalty.l1_ratio,
        "least": least,
        "pair": pair_seconds(X, n_classes),
        "points": {
            contender: [
                {"tol": tol, "seconds": s, "megabytes": mb, "gap": (value - least) / abs(least)}
                for tol, s, mb, value in rows
            ]
            for contender, rows in points.items()
        },
        "notes": notes,
        "times": {
            f"{gap:g}": {
                contender: {"tol": tol, "seconds": medians[contender, tol]}
                for contender, tol in choice[gap].items()
            }
            for gap in GAPS
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    every = [*CASES, *TASKS]
    parser.add_argument("cases", nargs="*", default=every, help=", ".join(every))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--patience", type=float, default=20.0)
    arguments = parser.parse_args()
    os.environ.setdefault("SKLEARNEX_VERBOSE", "ERROR")
    RESULTS.mkdir(exist_ok=True)
    for name in arguments.cases:
        if name in TASKS:
            result = TASKS[name](arguments.repeats)
        else:
            result = run(name, arguments.repeats, arguments.patience)
        result["machine"] = report.machine()
        RESULTS.joinpath(f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    report.write(RESULTS, every)


if __name__ == "__main__":
    main()
