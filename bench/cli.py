"""The command line: which rows to run, how long, and where to write the results.

This file must not measure or format anything itself.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import network
import peers
import report
from measure import ContenderFailedError, measure
from rows import all_rows
from workloads import WrongAnswerError


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description="Measure futures_actors against the standard library."
    )
    parser.add_argument("--fast", action="store_true", help="a smoke test: figures mean nothing")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="a row's key, or a part of some")
    parser.add_argument("--list", action="store_true", help="print the keys of the rows")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument("--cpus", metavar="N,N", help="pin the run and its children to these cores")
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="PROGRAM",
        help="a program that times its own round trips (README.md); may be repeated",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="loky, pykka, xoscar, aiomultiprocess, Ray and Dask too (PEERS=1)",
    )
    arguments = parser.parse_args(argv)
    arguments.rows = chosen(parser, arguments)
    return arguments


def chosen(parser, arguments):
    rows = all_rows(arguments.limit, with_peers=arguments.peers, is_fast=arguments.fast)
    if not arguments.only:
        return rows
    for word in arguments.only:
        if not any(word in row.key for row in rows):
            parser.error(f"no row {word!r}; there are: {', '.join(row.key for row in rows)}")
    keys = {row.key for row in rows}

    def is_meant(word, key):
        return word == key if word in keys else word in key

    return [row for row in rows if any(is_meant(word, row.key) for word in arguments.only)]


def main(argv=None):
    arguments = parse(argv)
    if arguments.list:
        print(*(row.key for row in arguments.rows), sep="\n")
        return 0
    if arguments.cpus:
        os.sched_setaffinity(0, {int(cpu) for cpu in arguments.cpus.split(",")})
    if arguments.peers:
        try:
            network.leave()
        except OSError as error:
            print(f"the network cannot be left: {error}", file=sys.stderr)
    # Since Python 3.12 the pool that forks warns that this process has threads.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
    try:
        results = run(arguments)
    except (WrongAnswerError, ContenderFailedError) as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 1
    return 1 if any(result.over for result in results) else 0


def compile_modules():
    """Write bytecode, as an installer does.

    Otherwise, with `PYTHONDONTWRITEBYTECODE` set, each measured child would compile what it
    imports. A separate process does it, so that no contender forks what compiling loads.
    """
    package = importlib.util.find_spec("futures_actors")
    folders = [Path(__file__).parent, *(package.submodule_search_locations if package else ())]
    subprocess.run([sys.executable, "-m", "compileall", "-q", "-l", *folders], check=False)


def run(arguments):
    compile_modules()
    described = report.machine(peers.PACKAGES if arguments.peers else ())
    report.print_machine(described)
    if arguments.fast:
        print("--fast: a smoke test, its figures mean nothing\n")
    report.print_legend()
    results = []
    for row in arguments.rows:
        results.append(measure(row, row.fast if arguments.fast else row.full))
        report.print_row(results[-1])
        if arguments.json:
            # Write the file after each row: a later row may hang, which ends the run.
            told = report.as_json(described, results, is_fast=arguments.fast)
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(told, indent=1) + "\n")
    report.print_summary(results)
    return results
