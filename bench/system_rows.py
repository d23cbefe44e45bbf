"""The rows of streams, references, pools and async actors: data only, as in `rows.py`."""

import between
import patterns
import placements
import systems
import workloads as work
from row import (
    MIB,
    MICROSECONDS,
    MILLISECONDS,
    OF_IDEAL,
    PER_SECOND,
    Amount,
    Row,
    Target,
    gigabytes_per_second,
    placed_rows,
)


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


def reference_rows(threads=(), processes=()):
    """Return the rows in which one actor asks another. The arguments are classes of peers."""
    near = between.Between("Thread"), between.PoolToPool(), *(peer() for peer in threads)
    far = between.Between("Process"), between.PipeBetween(), *(peer() for peer in processes)
    pipe, main = between.PipeBetween.name, between.FromMain("Reader")
    less_than_pykka = tuple(Target("<=", 0.8, peer.name) for peer in threads)
    less_than_xoscar = tuple(Target("<=", 0.15, peer.name) for peer in processes)
    one_by_one = work.between(patterns.one_at_a_time)
    amounts = {"full": Amount(15, 2_000), "fast": Amount(1, 100, warm_ups=0)}
    return (
        *placed_rows(
            "thread-to-thread", "thread to thread, round trip", one_by_one, near, **amounts,
            targets=dict.fromkeys(placements.ALL, less_than_pykka),
        ),
        *placed_rows(
            "process-to-process", "process to process, round trip", one_by_one, far, **amounts,
            targets={
                placements.IDLE: (Target("<=", 1.6, pipe), *less_than_xoscar),
                placements.ONE_CORE: (Target("<=", 0.9, pipe), *less_than_xoscar),
            },
        ),
        system_row(
            "process-to-process-in-flight", "process to process, 64 in flight", PER_SECOND,
            work.between(patterns.sliding_window), far, 10_000, 300, Target(">=", 1.18, pipe),
        ),
        system_row(
            "array-between", "process to process, 64 MiB numpy array one way",
            gigabytes_per_second(64 * MIB), work.arrays_between(64 * MIB),
            (between.Between("Process", "Reader"), main), 2, 1, Target(">=", 0.45, main.name),
        ),
    )  # fmt: skip


def pool_rows():
    """Return the rows of pools: bounds on time are the other way round for messages a second."""
    made = PER_SECOND, work.stateless(patterns.sliding_window)
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
        within, standard = Target("<=", 1.1), spread[1].name
        made_of_naps = {work.LONGER: (within,)}
        if kind == "process":
            made_of_naps = {
                work.LONGER: (
                    within,
                    Target("<=", 0.85, standard, "not even the ideal reaches it"),
                ),
                work.SHORTER: (within, Target("<=", 0.85, standard)),
            }
        for load, bounds in made_of_naps.items():
            key = f"{kind}-pool-makespan" + ("-shorter" if load == work.SHORTER else "")
            title = (
                f"{kind}, pool of {size}, mixed load of {load.short_us} and {load.long_us:,} µs "
                "over the ideal"
            )
            rows.append(
                system_row(
                    key, title, OF_IDEAL, work.makespan(size, load), spread, 1_000, 60, *bounds,
                )
            )  # fmt: skip
    return tuple(rows)


def async_rows(peers=()):
    """Return the rows of async actors. `peers` are classes that do the same in another process."""
    one_by_one = work.stateless(patterns.one_at_a_time)
    in_flight = work.stateless(patterns.sliding_window)
    thread = systems.SystemActor("Thread", "AsyncAdder"), systems.LoopThread()
    by_hand = systems.SystemActor("Process", "LoopAdder", "run_until_complete in handle")
    process = systems.SystemActor("Process", "AsyncAdder"), by_hand, *(peer() for peer in peers)
    more_than_peers = tuple(Target(">=", 1 / 0.08, peer.name) for peer in peers)
    asleep = MILLISECONDS, work.sleepers
    loop, others = systems.LoopThread("sleep_async"), [peer("sleep_async") for peer in peers]
    near = systems.SystemActor("Thread", "AsyncSleeper"), loop
    far = systems.SystemActor("Process", "AsyncSleeper"), loop, *others
    return (
        system_row(
            "thread-async-round-trip", "thread, async, round trip", MICROSECONDS, one_by_one,
            thread, 2_000, 100, Target("<=", 0.6, systems.LoopThread.name),
        ),
        system_row(
            "process-async-in-flight", "process, async, 64 in flight", PER_SECOND, in_flight,
            process, 5_000, 300, Target(">=", 2.5, by_hand.name), *more_than_peers,
        ),
        system_row(
            "thread-async-sleepers", "thread, async, 1,000 sleep 0.1 s at the same time", *asleep,
            near, 1_000, 50, Target("<=", 300),
        ),
        system_row(
            "process-async-sleepers", "process, async, 1,000 sleep 0.1 s at the same time", *asleep,
            far, 1_000, 50, Target("<=", 300),
        ),
    )  # fmt: skip
