"""Actors that process actors start: the fork server of the main program forks them, too, but they
belong to the process that started them, and end with it."""

import marshal
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")

#: `settle` waits until only the fork server, its spare and the given processes are left of what the
#: program has started, and the server has no descriptors but nine, one for each of these processes,
#: and one for each of those that have started actors.
BEGIN = """if True:
    import os, resource, signal, time
    import actors, futures_actors, nests, programs, tasks
    from nests import Nest, ask, call, pids
    futures_actors.set_start_method("forkserver")
    me = os.getpid()

    def settle(server, *others, starters=0):
        def is_settled():
            left = {pid for pid, _ in programs.descendants_of(me)}
            spares = set(programs.spares_of(me))
            descriptors = len(os.listdir(f"/proc/{server}/fd"))
            expected = 9 + len(others) + starters
            return (len(spares), left, descriptors) == (1, {server, *others} | spares, expected)
        programs.wait_until(is_settled)

"""


def run(script, source, **options):
    return script(BEGIN + source, **options).check().out


def test_the_main_programs_server_forks_actors_at_every_level(script):
    run(
        script,
        """
    with Nest.executor() as nest:
        found = [ask(nest, "abc"[:depth], pids) for depth in range(4)]
        assert len({pid for pid, _ in found}) == 4
        (server,) = {forker for _, forker in found}
        settle(server, *(pid for pid, _ in found), starters=3)
    """,
    )


def test_only_an_actor_that_starts_others_pays_for_it(script):
    """Others have one socket, and load no module more."""
    run(
        script,
        """
    with Nest.executor() as nest:
        pid, _ = ask(nest, "", pids)
        assert len(nests.sockets(pid)) == 1
        client = "futures_actors._process.forkserver_client"
        assert ask(nest, "", tasks.loaded, client) == []
        ask(nest, "a", pids)
        assert len(nests.sockets(pid)) == 1
        assert ask(nest, "", tasks.loaded, client) == [client]
    """,
    )


def test_the_process_that_started_an_actor_learns_how_it_ended(script):
    run(
        script,
        """
    with Nest.executor() as nest:
        for name, end, code in [("a", os._exit, 3), ("b", signal.raise_signal, signal.SIGKILL)]:
            pid, _ = ask(nest, name, pids)
            told = ask(nest, "", nests.death_of, name, call, end, code)
            assert told == ("ActorDied", pid, 3 if name == "a" else -9), told
        for name in "cd":
            pid, _ = ask(nest, "x" + name, pids)
            told = ask(nest, "x", nests.death_of, name, call, os._exit, 5)
            assert told == ("ActorDied", pid, 5), told
    """,
    )


@pytest.mark.parametrize("level", range(3))
def test_a_killed_process_takes_its_actors_with_it_and_leaves_nothing(script, level):
    run(
        script,
        f"""
    with Nest.executor() as keeper:
        kept, server = ask(keeper, "", pids)
        settle(server, kept)
        nest = Nest.executor()
        found = [ask(nest, "ab"[:depth], pids)[0] for depth in range(3)]
        # Others that start actors have no copy of what the killed one's death closes.
        other = ask(keeper, "k", pids)[0]
        os.kill(found[{level}], signal.SIGKILL)
        for pid in found[{level}:]:
            programs.wait_until(lambda: programs.is_gone(pid))
        assert {level} == 0 or not programs.is_gone(found[0])
        nest.shutdown()
        assert ask(keeper, "k", pids)[0] == other
        ask(keeper, "", nests.end, "k")
        settle(server, kept, starters=1)
    """,
    )


def test_an_actor_that_shuts_its_actors_down_leaves_nothing(script):
    run(
        script,
        """
    with Nest.executor() as nest:
        pid, server = ask(nest, "", pids)
        count = lambda pid: len(os.listdir(f"/proc/{pid}/fd"))
        ask(nest, "a", pids)
        ask(nest, "", nests.end, "a")
        settle(server, pid, starters=1)
        before = count(pid)
        for _ in range(5):
            ask(nest, "abc", pids)
            ask(nest, "", nests.end, "a")
        settle(server, pid, starters=1)
        programs.wait_until(lambda: count(pid) <= before)
    """,
    )


def test_many_actors_start_actors_at_once(script):
    run(
        script,
        """
    nests_ = [Nest.executor() for _ in range(3)]
    futures = [nest.post(([], nests.start_many, 4)) for nest in nests_]
    found = [each for future in futures for each in future.result(50)]
    assert len({pid for pid, _ in found}) == 12
    assert len({forker for _, forker in found}) == 1
    for nest in nests_:
        nest.shutdown()
    """,
    )


def test_a_killed_server_is_replaced_by_one_of_the_actors_process(script):
    run(
        script,
        """
    with Nest.executor() as nest:
        old, server = ask(nest, "a", pids)
        os.kill(server, signal.SIGKILL)
        programs.wait_until(lambda: programs.is_gone(server))
        assert ask(nest, "a", pids)[0] == old, "the actor goes on"
        _, other = ask(nest, "b", pids)
        assert other != server
        assert ask(nest, "", nests.death_of, "a", call, os._exit, 3) == ("ActorDied", old, None)
        assert ask(nest, "", nests.death_of, "b", call, os._exit, 3)[2] == 3
    with Nest.executor() as nest:
        assert ask(nest, "a", pids)[1] == ask(nest, "", pids)[1] != server
    """,
    )


def test_a_server_that_is_killed_before_an_actor_first_asks_it_is_replaced(script):
    run(
        script,
        """
    with Nest.executor() as nest:
        _, server = ask(nest, "", pids)
        os.kill(server, signal.SIGKILL)
        programs.wait_until(lambda: programs.is_gone(server))
        assert ask(nest, "a", pids)[1] != server
    """,
    )


def test_a_replaced_server_still_forks_for_its_actors_and_then_ends(script):
    run(
        script,
        """
    nest = Nest.executor()
    _, server = ask(nest, "", pids)
    futures_actors.preload("json")
    with Nest.executor() as new:
        assert ask(new, "", pids)[1] != server
        for name in "ab":
            assert ask(nest, name, pids)[1] == server
        assert ask(nest, "", nests.death_of, "a", call, os._exit, 3)[2] == 3
        nest.shutdown()
        programs.wait_until(lambda: programs.is_gone(server))
    """,
    )


def test_an_inner_actor_has_what_its_process_has_set(script, tmp_path):
    run(
        script,
        f"""
    def change(actor):
        os.chdir({str(tmp_path)!r})
        os.environ["INNER"] = "1"
        os.umask(0o27)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    def look(actor):
        umask = os.umask(0)
        ignores = signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN
        return os.getcwd(), os.environ.get("INNER"), umask, ignores

    with Nest.executor() as nest:
        ask(nest, "", change)
        assert ask(nest, "ab", look) == ({str(tmp_path)!r}, "1", 0o27, True)
        assert ask(nest, "ab", pids)[1] == ask(nest, "", pids)[1]
    """,
    )


CHANGES = {
    "a limit": "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))",
    "the priority": "os.nice(1)",
    "a variable that is read once": "os.environ['PYTHONHASHSEED'] = '7'",
    "the session": "os.setsid()",
    "a module to preload": "futures_actors.preload('wave')",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_process_starts_a_server_of_its_own_for_what_the_server_cannot_give(script, change):
    run(
        script,
        f"""
    def change(actor):
        {change}

    with Nest.executor() as nest:
        server = ask(nest, "", pids)[1]
        ask(nest, "", change)
        assert ask(nest, "a", pids)[1] != server
        # That one serves the next level.
        assert ask(nest, "ab", pids)[1] == ask(nest, "a", pids)[1]
    """,
    )


def test_modules_that_the_server_has_preloaded_are_there_for_all(script):
    """A module with actors calls `preload` in each process that imports it."""
    run(
        script,
        """
    futures_actors.preload("json", "wave")
    def preload(actor):
        futures_actors.preload("wave")
    with Nest.executor() as nest:
        ask(nest, "", preload)
        assert ask(nest, "a", pids)[1] == ask(nest, "", pids)[1]
        ask(nest, "", preload)
        assert ask(nest, "b", pids)[1] == ask(nest, "", pids)[1]
        assert ask(nest, "a", tasks.loaded, "json", "wave") == ["json", "wave"]
    """,
    )


@pytest.mark.parametrize("has_asked", [False, True])
def test_a_forked_process_does_not_speak_for_the_actor(script, has_asked):
    """It starts a server of its own, and does not keep the actor's socket."""
    run(
        script,
        f"""
    def fork(actor):
        import warnings
        # Since Python 3.12 it warns that the process has threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            before = nests.sockets(os.getpid())
            with Nest.executor() as inner:
                os.write(writer, repr((before, ask(inner, "", pids)[1])).encode())
            from futures_actors._process import forkserver_client
            forkserver_client.stop()
            os._exit(0)
        os.waitpid(pid, 0)
        told = eval(os.read(reader, 999))
        os.close(reader)
        os.close(writer)
        return told

    with Nest.executor() as nest:
        server = ask(nest, "a" if {has_asked} else "", pids)[1]
        sockets, other = ask(nest, "", fork)
        assert sockets == [] and other != server
        assert ask(nest, "b", pids)[1] == server
    """,
    )


def test_start_methods_may_differ_between_levels(script):
    run(
        script,
        """
    spawned = Nest.options(start_method="spawn").executor()
    pid, _ = ask(spawned, "", pids)
    inner, own = ask(spawned, "a", pids)
    assert ask(spawned, "ab", pids)[1] == own
    ask(spawned, "a", nests.start_with, "s", {"start_method": "spawn"})
    assert ask(spawned, "as", pids)[1] == inner
    assert ask(spawned, "a", nests.death_of, "s", call, os._exit, 4)[2] == 4
    os.kill(pid, signal.SIGKILL)
    for each in (pid, inner, own):
        programs.wait_until(lambda: programs.is_gone(each))
    spawned.shutdown()
    """,
    )


def test_an_actor_that_stops_in_the_middle_of_a_request_blocks_nobody(script):
    run(
        script,
        """
    def begin(actor):
        from futures_actors._process import fork_protocol
        fork_protocol.take().send(b"\\0\\0\\0")

    with Nest.executor() as stopped, Nest.executor() as other:
        pid, server = ask(stopped, "", pids)
        ask(stopped, "", begin)
        assert ask(other, "a", pids)[1] == server
        with Nest.executor() as third:
            assert ask(third, "", pids)[1] == server
    """,
    )


def test_multiprocessing_in_an_inner_actor_knows_the_process_that_started_it(script):
    run(
        script,
        """
    def parent(actor):
        import multiprocessing
        return multiprocessing.parent_process().pid

    with Nest.executor() as nest:
        for depth in range(2):
            pid, _ = ask(nest, "ab"[:depth], pids)
            assert ask(nest, "ab"[:depth + 1], parent) == pid
    """,
    )


def test_a_server_that_may_open_no_more_files_is_done_without(script):
    """It has a socket to each process of the whole tree, where each parent has only its own."""
    source = """
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
    nests_ = [Nest.executor() for _ in range(7)]
    found = [ask(nest, name, pids) for name in "abcdef" for nest in nests_]
    print(len({pid for pid, _ in found}), len({forker for _, forker in found}) > 1)
    for nest in nests_:
        assert ask(nest, "", nests.death_of, "a", call, os._exit, 3)[2] == 3
        assert ask(nest, "", nests.death_of, "f", call, os._exit, 4)[2] == 4
        nest.shutdown()
    """
    ended = script(BEGIN + source)
    # Those that the server could not fork were started by their parents.
    assert (ended.status, ended.out) == (0, "42 True\n"), ended
    assert "the fork server cannot start a process" in ended.err


JUNK = {
    "no message": b"\xff" * 9 + b"\0" * 64,
    "a length of nothing": b"\0" * 64,
    "a long message that never comes": b"\0\0\0\1" + b"\0" * 64,
    "another object": (5).to_bytes(8, "big") + marshal.dumps(7),
    "half an order": len(marshal.dumps((1, []))).to_bytes(8, "big") + marshal.dumps((1, [])),
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_a_child_that_writes_junk_into_its_socket_harms_no_other(script, junk):
    run(
        script,
        f"""
    def write(actor):
        (number,) = nests.sockets(os.getpid())
        os.write(number, {junk!r})

    with Nest.executor() as wild, Nest.executor() as other:
        _, server = ask(other, "a", pids)
        ask(wild, "", write)
        with Nest.executor() as third:
            assert ask(third, "", pids)[1] == ask(other, "b", pids)[1] == server
    """,
    )
