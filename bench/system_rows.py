"""The rows of streams, pools and async actors: data only, as in `rows.py`."""

import systems
import workloads as work
from row import MICROSECONDS, OF_IDEAL, PER_SECOND, Amount, Row, Target


def system_row(key, title, unit, sample, contenders, full, fast, *targets):
    amounts = Amount(9, full), Amount(1, fast, warm_ups=0)
    return Row(key, title, unit, sample, contenders, *amounts, targets)


def stream_rows():
    pipe, imap = systems.PipeFlow, systems.PoolImap
    made = MICROSECONDS, work.stream_items
    thread = systems.Stream("Thread", 16), systems.QueueFlow()
    near = systems.Stream("Process", 16), pipe(), imap()
    far = systems.Stream("Process", 1024), pipe(), imap()
    return (
        system_row(
            "thread-stream", "thread, an item of a stream, 16 ahead", *made, thread, 20_000, 500,
            Target("<=", 1.5, systems.QueueFlow.name),
        ),
        system_row(
            "process-stream", "process, an item of a stream, 16 ahead", *made, near, 20_000, 500,
            Target("<=", 1.0, pipe.name), Target("<=", 0.2, imap.name),
        ),
        system_row(
            "process-stream-1024", "process, an item of a stream, 1,024 ahead", *made, far, 20_000,
            500, Target("<=", 0.6, pipe.name), Target("<=", 0.2, imap.name),
        ),
    )  # fmt: skip


def pool_rows():
    """Return the rows of pools: bounds on time are the other way round for messages a second."""
    made = PER_SECOND, work.stateless(work.sliding_window)
    rows = []
    for kind, size, bound in (("thread", 4, 0.3), ("process", 2, 0.1)):
        other = systems.StandardPool(size, processes=kind == "process")
        pool = systems.ActorPool(kind.title(), size), other
        one = systems.ActorPool(kind.title(), 1), systems.SystemActor(kind.title(), "Adder")
        rows += [
            system_row(
                f"{kind}-pool-in-flight", f"{kind}, pool of {size}, 64 in flight", *made, pool,
                10_000, 300, Target(">=", 1 / bound, other.name),
            ),
            system_row(
                f"{kind}-pool-of-one", f"{kind}, pool of 1 beside the actor, 64 in flight", *made,
                one, 10_000, 300, Target(">=", 1 / 1.1, one[1].name),
            ),
        ]  # fmt: skip
        spread = (
            systems.ActorPool(kind.title(), size, "Napping"),
            systems.StandardPool(size, processes=kind == "process", function="nap"),
            systems.RoundRobin(kind.title(), size, "Napping"),
        )
        bounds = [Target("<=", 1.1)]
        if kind == "process":
            bounds.append(Target("<=", 0.85, spread[1].name))
        rows.append(
            system_row(
                f"{kind}-pool-makespan", f"{kind}, pool of {size}, mixed load over the ideal",
                OF_IDEAL, work.makespan(size), spread, 1_000, 60, *bounds,
            )
        )  # fmt: skip
    return tuple(rows)


def async_rows():
    one_by_one, in_flight = work.stateless(work.one_at_a_time), work.stateless(work.sliding_window)
    thread = systems.SystemActor("Thread", "AsyncAdder"), systems.LoopThread()
    by_hand = systems.SystemActor("Process", "LoopAdder", "run_until_complete in handle")
    process = systems.SystemActor("Process", "AsyncAdder"), by_hand
    return (
        system_row(
            "thread-async-round-trip", "thread, async, round trip", MICROSECONDS, one_by_one,
            thread, 2_000, 100, Target("<=", 0.6, systems.LoopThread.name),
        ),
        system_row(
            "process-async-in-flight", "process, async, 64 in flight", PER_SECOND, in_flight,
            process, 5_000, 300, Target(">=", 2.5, by_hand.name),
        ),
    )  # fmt: skip
