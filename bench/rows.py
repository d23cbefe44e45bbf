"""The rows of the table: which contenders do which work, how often, and the targets of the project.

This file and `system_rows.py` are only data: the work is in `workloads.py`, the contenders are in
`contenders.py`, and `row.py` says what a row is. The first contender of a row is its subject. A
ratio is the subject's figure divided by the other's.
"""

import contenders as who
import patterns
import peers
import placements
import workloads as work
from row import (
    BYTES,
    MIB,
    MICROSECONDS,
    MILLISECONDS,
    PER_SECOND,
    Amount,
    Row,
    Target,
    gigabytes_per_second,
    placed_rows,
)
from system_rows import async_rows, pool_rows, reference_rows, stream_rows

UPSTREAM_OF_POOL = 1_855 / 1_989  # bytes per queued message, measured in one run

THREAD_POOL = who.ThreadPool.name
PROCESS_POOL = who.ProcessPool.name
LOOP = who.PipeLoop.name
COPY = who.WarmCopy.name
PYTHON = who.BareInterpreter.name
FORK, FORKSERVER, SPAWN = (f"{PROCESS_POOL} {method}" for method in ("fork", "forkserver", "spawn"))


def thread_rows(others=()):
    return (
        *placed_rows(
            "thread-round-trip",
            "thread, round trip",
            work.messages(patterns.one_at_a_time),
            (who.ThreadActor(), who.ThreadPool(), *(made() for made in others)),
            full=Amount(21, 2_000),
            fast=Amount(2, 100),
            targets={place: (Target("<=", 0.3, THREAD_POOL),) for place in placements.ALL},
        ),
        Row(
            key="thread-post-all",
            title="thread, post 20,000 then wait",
            unit=PER_SECOND,
            sample=work.messages(patterns.all_then_wait),
            contenders=(who.ThreadActor(), who.ThreadPool(), *(made() for made in others)),
            full=Amount(9, 20_000),
            fast=Amount(2, 1_000),
            targets=(Target(">=", 8, THREAD_POOL),),
        ),
        Row(
            key="thread-in-flight",
            title="thread, 64 in flight",
            unit=PER_SECOND,
            sample=work.messages(patterns.sliding_window),
            contenders=(who.ThreadActor(), who.ThreadPool(), *(made() for made in others)),
            full=Amount(15, 10_000),
            fast=Amount(2, 500),
            targets=(Target(">=", 5, THREAD_POOL),),
        ),
    )


def process_rows(limits=(), others=()):
    return (
        *placed_rows(
            "process-round-trip",
            "process, round trip",
            work.messages(patterns.one_at_a_time),
            (
                who.ProcessActor(),
                who.ProcessPool(),
                who.PipeLoop(),
                who.BarePipe(),
                *(made() for made in others),
                *map(who.OwnClock, limits),
            ),
            full=Amount(21, 1_000),
            fast=Amount(2, 50),
            targets={
                placements.IDLE: (Target("<=", 0.08, PROCESS_POOL), Target("<=", 0.1, LOOP)),
                placements.ONE_CORE: (Target("<=", 0.55, LOOP),),
            },
        ),
        Row(
            key="process-post-all",
            title="process, post 20,000 then wait",
            unit=PER_SECOND,
            sample=work.messages(patterns.all_then_wait),
            contenders=(who.ProcessActor(), who.ProcessPool(), *(made() for made in others)),
            full=Amount(5, 20_000, warm_ups=0),
            fast=Amount(1, 500, warm_ups=0),
            targets=(Target(">=", 30, PROCESS_POOL),),
        ),
        Row(
            key="process-in-flight",
            title="process, 64 in flight",
            unit=PER_SECOND,
            sample=work.messages(patterns.sliding_window),
            contenders=(
                who.ProcessActor(),
                who.ProcessPool(),
                who.PipeLoop(),
                who.BarePipe(),
                *(made() for made in others),
            ),
            full=Amount(9, 5_000),
            fast=Amount(2, 300),
            targets=(Target(">=", 30, PROCESS_POOL), Target(">=", 3.5, LOOP)),
        ),
    )


def turn_rows(kind, actor, *, is_fast):
    """Return rows that show how the cost of a message grows with the number of actors."""
    widths = (1, 10) if is_fast else (1, 10, 100)
    crews = tuple(who.Crew(actor, width) for width in widths)
    return (
        Row(
            key=f"{kind}-turns-round-trip",
            title=f"{kind}, round trips with 1, 10 and 100 actors in turn",
            unit=MICROSECONDS,
            sample=work.messages(patterns.one_at_a_time),
            contenders=crews,
            full=Amount(15, 2_000),
            fast=Amount(1, 100, warm_ups=0),
            is_growth=True,
        ),
        Row(
            key=f"{kind}-turns-post-all",
            title=f"{kind}, post 20,000 to 1, 10 and 100 actors in turn, then wait",
            unit=MICROSECONDS,
            sample=work.messages(patterns.all_then_wait),
            contenders=crews,
            full=Amount(9, 20_000),
            fast=Amount(1, 500, warm_ups=0),
            is_growth=True,
        ),
    )


KIB, GIB = 1 << 10, 1 << 30
#: The lengths of arrays, and how often a sample echoes each.
ECHOES = (
    (4 * KIB, 100),
    (16 * KIB, 100),
    (64 * KIB, 100),
    (256 * KIB, 50),
    (MIB, 20),
    (4 * MIB, 5),
    (16 * MIB, 2),
    (64 * MIB, 1),
    (256 * MIB, 1),
    (GIB, 1),
)
ECHO_TARGETS = {
    MIB: (Target(">=", 10, PROCESS_POOL),),
    64 * MIB: (Target(">=", 25, PROCESS_POOL), Target(">=", 0.4, COPY)),
}
#: A copy of so many bytes through a pipe takes seconds.
HUGE_BYTES = 256 * MIB


def size_name(length_bytes):
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if length_bytes >= unit:
            return f"{length_bytes // unit} {name}"
    return f"{length_bytes} B"


def array_rows(others=(), *, is_fast=False):
    echoes = [(length, size) for length, size in ECHOES if not (is_fast and length >= HUGE_BYTES)]
    return (
        *(array_row(length, size, others) for length, size in echoes),
        one_way_row(64 * MIB),
    )


def array_row(length_bytes, size, others=()):
    name = size_name(length_bytes)
    is_huge = length_bytes >= HUGE_BYTES
    return Row(
        key=f"array-{name.lower().replace(' ', '-')}",
        title=f"process, {name} numpy array echo",
        unit=gigabytes_per_second(length_bytes),
        sample=work.arrays(length_bytes),
        contenders=(
            *array_contenders("Signer"),
            who.WarmCopy(),
            *(made("Signer") for made in others),
        ),
        full=Amount(2, size, warm_ups=0) if is_huge else Amount(9, size),
        fast=Amount(1, min(size, 2), warm_ups=0),
        targets=ECHO_TARGETS.get(length_bytes, ()),
    )


def one_way_row(length_bytes):
    return Row(
        key="array-one-way",
        title=f"process, {size_name(length_bytes)} numpy array one way",
        unit=gigabytes_per_second(length_bytes),
        sample=work.arrays_one_way(length_bytes),
        contenders=array_contenders("Reader"),
        full=Amount(7, 2),
        fast=Amount(1, 1, warm_ups=0),
    )


def array_contenders(job):
    """Return the contenders that pass an array to another process, ours first."""
    kinds = (who.ProcessActor, who.ProcessPool, who.PipeLoop, who.SharedMemoryByHand)
    return tuple(kind(job) for kind in kinds)


def start_rows():
    pools = tuple(
        who.ProcessPool(label=label, method=label.split()[-1])
        for label in (FORK, FORKSERVER, SPAWN)
    )
    return (
        start_row(
            "start-default",
            "default start method",
            (who.ProcessActor(), *pools, who.BareInterpreter()),
        ),
        start_row(
            "start-forkserver",
            "fork server",
            (who.ProcessActorBy("forkserver"), *pools[:2], who.BareInterpreter()),
            Target("<=", 8, note="on the quiet two-core machine where it was set"),
            Target("<=", 0.6, FORK),
        ),
        start_row(
            "start-spawn",
            "spawn",
            (who.ProcessActorBy("spawn"), pools[2], who.BareInterpreter()),
            Target("<=", 1.5, PYTHON),
        ),
    )


def start_row(key, method, contenders, *targets):
    return Row(
        key=key,
        title=f"process, start to first answer, {method}",
        unit=MILLISECONDS,
        sample=work.start_to_first_answer,
        contenders=contenders,
        full=Amount(15, 1),
        fast=Amount(1, 1, warm_ups=0),
        targets=targets,
        kept_open=False,
    )


def memory_rows():
    upstream = Target(
        "<=",
        round(0.25 * UPSTREAM_OF_POOL, 3),
        THREAD_POOL,
        note="0.25 x upstream: 1,855 B where the pool took 1,989",
    )
    return (
        memory_row("thread", (who.ThreadActor("Gate"), who.ThreadPool("Gate")), upstream),
        memory_row("process", (who.ProcessActor("Gate"), who.ProcessPool("Gate"))),
    )


def memory_row(kind, contenders, *targets):
    return Row(
        key=f"{kind}-memory",
        title=f"{kind}, memory per queued message and its future",
        unit=BYTES,
        sample=work.bytes_per_queued_message,
        contenders=contenders,
        full=Amount(3, 100_000, warm_ups=0),
        fast=Amount(1, 5_000, warm_ups=0),
        targets=targets,
        kept_open=False,
    )


def all_rows(limits=(), *, with_peers=False, is_fast=False):
    """Return all rows, ordered so that nothing forks once numpy is imported or a thread runs."""
    others = (peers.Loky, peers.Ray, peers.OnRay, peers.Dask) if with_peers else ()
    return (
        *start_rows(),
        *thread_rows((peers.Pykka,) if with_peers else ()),
        *process_rows(limits, others),
        *turn_rows("thread", who.ThreadActor(), is_fast=is_fast),
        *turn_rows("process", who.ProcessActor(), is_fast=is_fast),
        *stream_rows(),
        *(reference_rows((peers.PykkaAsker,), (peers.Xoscar,)) if with_peers else reference_rows()),
        *pool_rows(),
        *async_rows((peers.AioMultiprocess,) if with_peers else ()),
        *memory_rows(),
        *array_rows((peers.RayArrays, peers.OnRayArrays) if with_peers else (), is_fast=is_fast),
    )
