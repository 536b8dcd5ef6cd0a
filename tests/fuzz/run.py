"""Run random problems in processes of their own, and report those that fail."""

import argparse
import itertools
import multiprocessing
import multiprocessing.connection
import os
import time
from collections import Counter

from .problems import KINDS

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
BATCH = 8


def main(arguments=None):
    options = _parser().parse_args(arguments)
    os.environ.update(dict.fromkeys(THREADS, "1"))  # Workers import NumPy after this.
    report = _Report(options.kind)
    started = time.monotonic()
    seeds = iter(range(options.seed, options.seed + options.problems))
    deadline = None if options.seconds is None else started + options.seconds
    try:
        _run(options, seeds, deadline, report)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    report.table(time.monotonic() - started)
    return int(bool(report.failures))


def _parser():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first problem")
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument(
        "--limit", type=float, default=60.0, help="seconds after which a problem hangs"
    )
    return parser


class _Report:
    def __init__(self, kind):
        self.kind = kind
        self.counts, self.failures, self.skipped, self.notes = (Counter() for _ in range(4))

    def add(self, seed, result):
        failures, skipped, notes, kind, description = result
        self.counts["problems"] += 1
        self.notes.update(notes)
        if failures:
            self.counts["failed"] += 1
        elif skipped is not None:
            self.counts["skipped"] += 1
            self.skipped[skipped] += 1
        else:
            self.counts["compared"] += 1
        for check, figures in failures:
            self.failures[check] += 1
            print(
                f"{check}: --kind {kind} --seed {seed} --problems 1: {figures}: {description}",
                flush=True,
            )

    def table(self, seconds):
        total = self.counts["problems"]
        print(f"\n{total} problems in {seconds:.0f} s, {total / max(seconds, 1e-9):.1f} a second")
        for name in ("compared", "skipped", "failed"):
            print(f"{self.counts[name]:8d}  {name}")
        for title, counter in (
            ("skipped because", self.skipped),
            ("seen", self.notes),
            ("failures", self.failures),
        ):
            if counter:
                print(f"{title}:")
                for name, count in sorted(counter.items()):
                    print(f"{count:8d}  {name}")


class _Worker:
    """A process that examines batches of seeds, one result after the other."""

    def __init__(self, kind, seeds=()):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, kind), daemon=True)
        self.process.start()
        theirs.close()
        self.give(seeds)

    def give(self, seeds):
        self.seeds, self.since = list(seeds), time.monotonic()
        if self.seeds:
            self.pipe.send(self.seeds)

    def receive(self, report):
        """Report what has come; false where the process has ended."""
        try:
            while self.pipe.poll():
                result = self.pipe.recv()
                report.add(self.seeds.pop(0), result)
                self.since = time.monotonic()
        except (EOFError, OSError):
            return False
        return True

    def end(self):
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(pipe, kind):
    from .examine import examine

    while True:
        for seed in pipe.recv():
            outcome, problem = examine(kind, seed)
            pipe.send(
                (outcome.failures, outcome.skipped, outcome.notes, problem.kind, str(problem))
            )


def _run(options, seeds, deadline, report):
    workers = [_Worker(options.kind) for _ in range(options.jobs)]
    try:
        while workers:
            multiprocessing.connection.wait([worker.pipe for worker in workers], timeout=0.5)
            for worker in list(workers):
                is_alive = worker.receive(report)
                has_hung = worker.seeds and time.monotonic() - worker.since > options.limit
                if has_hung or not is_alive:
                    if not worker.seeds:
                        raise RuntimeError("a worker ended before it was given anything")
                    seed, *left = worker.seeds
                    figures = f"over {options.limit:g} s" if is_alive else "the process has ended"
                    result = [("HANG", figures)], None, {}, options.kind, ""
                    report.add(seed, result)
                    worker.end()
                    workers[workers.index(worker)] = _Worker(options.kind, left)
                elif not worker.seeds:
                    is_late = deadline is not None and time.monotonic() > deadline
                    batch = [] if is_late else list(itertools.islice(seeds, BATCH))
                    if batch:
                        worker.give(batch)
                    else:
                        workers.remove(worker)
                        worker.end()
    finally:
        for worker in workers:
            worker.end()
