"""`make stress`: everything that is random or long, with its figures at the end.

`--short` is what `make test` does of it. Parts can be named: faults, model, signals, soak.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def run_faults(short):
    import faults

    if not faults.available():
        return "skipped: this extension was built without the feature `faults`"
    return faults.run(step=17, start_methods=["forkserver"]) if short else faults.run()


def run_model(short):
    import model

    return model.run(histories=8 if short else 300)


def run_signals(short):
    import signals

    with tempfile.TemporaryDirectory() as folder:
        return signals.run(folder, rounds=25 if short else 1000)


def run_soak(short):
    import soak

    return soak.run(starts=60, messages=60_000) if short else soak.run()


PARTS = {"faults": run_faults, "model": run_model, "signals": run_signals, "soak": run_soak}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=[], help=", ".join(PARTS))
    parser.add_argument("--short", action="store_true", help="seconds instead of minutes")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    lines = []
    for name in arguments.parts or PARTS:
        print(f"{name} ...", flush=True)
        start = time.monotonic()
        figures = PARTS[name](arguments.short)
        lines.append(f"{name:8} {figures} [{time.monotonic() - start:.0f} s]")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
