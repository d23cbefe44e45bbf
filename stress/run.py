"""`make stress`: runs the random and the long tests, and prints their figures at the end.

`make test` runs the parts in the form of `--short`; `--tiny` is for valgrind. Arguments name parts.
"""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

import futures_actors

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/support"))


def run_faults(size):
    import faults

    if not faults.available():
        return "skipped: this extension was built without the feature `faults`"
    if size == "long":
        return faults.run()
    methods = [futures_actors.get_start_method()]
    return faults.run(step=17 if size == "short" else 31, start_methods=methods)


def run_graphs(size):
    import graphs

    with tempfile.TemporaryDirectory() as folder:
        return graphs.run(folder, rounds={"long": 1000, "short": 12, "tiny": 2}[size])


def run_loops(size):
    import loops

    with tempfile.TemporaryDirectory() as folder:
        return loops.run(folder, rounds={"long": 1000, "short": 25, "tiny": 3}[size])


def run_members(size):
    import members

    with tempfile.TemporaryDirectory() as folder:
        return members.run(folder, rounds={"long": 1000, "short": 25, "tiny": 2}[size])


def run_model(size):
    import model

    steps = 12 if size == "tiny" else 30
    return model.run(histories={"long": 300, "short": 8, "tiny": 3}[size], steps=steps)


def run_panics(size):
    import panics

    if not panics.available():
        return "skipped: this extension was built without the feature `faults`"
    return panics.run(step={"long": 1, "short": 5, "tiny": 19}[size])


def run_signals(size):
    import signals

    with tempfile.TemporaryDirectory() as folder:
        return signals.run(folder, rounds={"long": 1000, "short": 25, "tiny": 2}[size])


def run_soak(size):
    import soak

    if size == "long":
        return soak.run()
    if size == "short":
        return soak.run(starts=60, messages=60_000)
    return soak.run(warm=1, starts=4, messages=4_000, threads=2)


def run_streams(size):
    import streams

    return streams.run(rounds={"long": 1000, "short": 25, "tiny": 3}[size])


def run_trips(size):
    import trips

    return trips.run(seconds={"long": 120, "short": 5, "tiny": 1}[size])


PARTS = {
    "faults": run_faults,
    "graphs": run_graphs,
    "loops": run_loops,
    "members": run_members,
    "model": run_model,
    "panics": run_panics,
    "signals": run_signals,
    "soak": run_soak,
    "streams": run_streams,
    "trips": run_trips,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=[], help=", ".join(PARTS))
    for size in ("short", "tiny"):
        parser.add_argument(f"--{size}", dest="size", action="store_const", const=size)
    parser.add_argument("--start-method", help="which to use")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    size = arguments.size or "long"
    futures_actors.set_start_method(arguments.start_method)
    # Deaths of actors and lost messages are logged there; do not print them.
    logging.getLogger("futures_actors").addHandler(logging.NullHandler())
    lines = []
    for name in arguments.parts or PARTS:
        print(f"{name} ...", flush=True)
        start = time.monotonic()
        figures = PARTS[name](size)
        lines.append(f"{name:8} {figures} [{time.monotonic() - start:.0f} s]")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
