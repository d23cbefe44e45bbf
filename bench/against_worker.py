"""One side of `make bench-against`: a process that runs a sample on request.

It runs the workloads of this tree on the futures_actors that is installed in its interpreter, so it
may only use what every version has. `against_worker.py FD CPUS` reads one request per line from
standard input and writes the measurements to the descriptor FD.
"""

import json
import os
import sys

import rows
from contenders import NotYetError

WARM_UP = 10  # for each so many messages, one unmeasured message is sent first


def main():
    chosen = [int(cpu) for cpu in sys.argv[2].split(",") if cpu]
    if chosen:
        # This must come before anything starts a thread or a process: both inherit the affinity.
        os.sched_setaffinity(0, chosen)
    known = {row.key: row for row in rows.all_rows()}
    with os.fdopen(int(sys.argv[1]), "w", buffering=1) as answers:
        for request in sys.stdin:
            print(json.dumps(answer(known, **json.loads(request))), file=answers)


def answer(known, row, is_fast):
    row = known[row]
    amount = row.fast if is_fast else row.full
    try:
        return sample(row, amount.size)
    except NotYetError as reason:
        return {"not_yet": str(reason)}
    except Exception as error:  # noqa: BLE001 - the other process reports it
        return {"failed": f"{type(error).__name__}: {error}"}


def sample(row, size):
    """Run one round with a new actor, so that the system chooses its CPU and memory again."""
    contender = row.contenders[0]
    if not row.kept_open:
        return {"ns": row.sample(contender, size), "shares_cpu": None}
    with contender:
        row.sample(contender, max(1, size // WARM_UP))
        ns = row.sample(contender, size)
        return {"ns": ns, "shares_cpu": contender.shares_cpu()}


if __name__ == "__main__":
    main()
