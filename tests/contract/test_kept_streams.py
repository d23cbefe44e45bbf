"""At the interpreter's exit a stream that an actor keeps goes on until nothing is left that could
take from it. Then it is stopped."""

import pytest

KINDS = ["Thread", "Process", "AsyncThread", "AsyncProcess"]

#: Two items are taken by the program, three when the exit has begun.
KEPT = """if True:
    import draining, keepers
    draining.announce()
    yields = keepers.{yields}
    keeps = keepers.{keeps}
    keeps.post(2{key}).result()
    keepers.PassesOn.executor(keeps{key}).tell(3)
"""


def kept(yields, keeps, key=""):
    return KEPT.format(yields=yields, keeps=keeps, key=key)


def check(ended, *lines):
    ended.check()
    assert ended.out.splitlines() == list(lines)


@pytest.mark.parametrize("yields", KINDS)
@pytest.mark.parametrize("keeps", KINDS)
def test_a_kept_stream_goes_on_until_no_message_is_left(script, keeps, yields):
    program = kept(f"{yields}Yields.executor()", f"{keeps}Keeps.executor(yields)")
    check(script(program), "[0, 1]", "[2, 3, 4]", "ended")


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_between_members_of_pools_goes_on_until_no_message_is_left(script, kind):
    keeps = f"{kind}Keeps.pool(2).executor(yields)"
    program = kept(f"{kind}Yields.pool(2).executor()", keeps, ", key=1")
    check(script(program), "[0, 1]", "[2, 3, 4]", "ended")


@pytest.mark.parametrize("yields", KINDS)
def test_the_generator_of_a_kept_stream_still_sends_messages_at_its_end(script, yields):
    program = f"""if True:
        import keepers
        yields = keepers.{yields}Yields.executor()
        keepers.ThreadKeeps.executor(yields, keepers.Log.executor()).tell(1)
    """
    check(script(program), "[0]", "ended", "told")


@pytest.mark.parametrize("yields", KINDS)
def test_messages_behind_a_kept_stream_are_handled(script, yields):
    program = f"""if True:
        import keepers
        yields = keepers.{yields}Yields.executor()
        keepers.ProcessKeeps.executor(yields).post(1).result()
        yields.submit(keepers.say, "behind")
        yields.shutdown(wait=False)
    """
    check(script(program), "[0]", "ended", "behind")


@pytest.mark.parametrize("kind", KINDS)
def test_messages_behind_streams_that_fill_a_pool_are_handled(script, kind):
    program = f"""if True:
        import keepers
        yields = keepers.{kind}Yields.pool(2).executor()
        keeps = [keepers.{kind}Keeps.executor(yields) for _ in range(2)]
        for one in keeps:
            one.post(1).result()
        yields.submit(keepers.say, "behind")
        yields.shutdown(wait=False)
    """
    ended = script(program).check()
    assert sorted(ended.out.splitlines()) == ["[0]", "[0]", "behind", "ended", "ended"]


@pytest.mark.parametrize("kind", KINDS[2:])
def test_an_async_actor_handles_other_messages_beside_a_kept_stream(script, kind):
    program = f"""if True:
        import draining, keepers
        draining.announce()
        yields = keepers.{kind}Yields.options(max_concurrency=3).executor()
        keeps = [keepers.{kind}Keeps.executor(yields) for _ in range(2)]
        for one in keeps:
            one.post(1).result()
        yields.submit(draining.wait)
        for one in keeps:
            keepers.PassesOn.executor(one).tell(2)
    """
    ended = script(program).check()
    assert sorted(ended.out.splitlines()) == ["[0]", "[0]", "[1, 2]", "[1, 2]", "ended", "ended"]


@pytest.mark.parametrize("yields", KINDS)
@pytest.mark.parametrize("ender", KINDS[:2])
def test_a_stream_that_a_callback_keeps_is_stopped(script, yields, ender):
    program = f"""if True:
        import actors, keepers, tasks
        kept = []

        def keep(_):
            kept.append(yields.stream(None))
            keepers.say(next(kept[0]))

        yields = keepers.{yields}Yields.executor()
        other = actors.{ender}Do.executor()
        other.post((tasks.echo, 1)).add_done_callback(keep)
    """
    check(script(program), "0", "ended")


@pytest.mark.parametrize("yields", KINDS)
@pytest.mark.parametrize("daemon", [True, False])
def test_a_stream_that_another_thread_has_kept_is_stopped(script, yields, daemon):
    program = f"""if True:
        import keepers, threading
        kept = []

        def keep():
            kept.append(yields.stream(None))
            keepers.say(next(kept[0]))
            taken.set()
            if {daemon}:
                threading.Event().wait()

        yields = keepers.{yields}Yields.executor()
        taken = threading.Event()
        threading.Thread(target=keep, daemon={daemon}).start()
        taken.wait()
    """
    check(script(program), "0", "ended")


@pytest.mark.parametrize("yields", KINDS)
def test_a_thread_that_waits_for_the_end_of_a_kept_stream_hears_of_it(script, yields):
    """If the actor is in a process, that thread may read what comes from there."""
    program = f"""if True:
        import concurrent.futures, keepers, threading

        class Keeps(keepers.ThreadKeeps):
            def handle(self, count):
                stream = self.open()
                for _ in range(count):
                    next(stream)
                threading.Thread(target=hear, args=(stream.future,), daemon=False).start()

        def hear(future):
            try:
                future.result()
            except concurrent.futures.CancelledError:
                keepers.say("heard")

        keeps = [Keeps.executor(keepers.{yields}Yields.executor()) for _ in range(5)]
        for one in keeps:
            one.post(100).result()
    """
    ended = script(program).check()
    assert sorted(ended.out.splitlines()) == 5 * ["ended"] + 5 * ["heard"]


@pytest.mark.parametrize("asks", KINDS[:3])
@pytest.mark.parametrize("yields", KINDS)
def test_an_actor_that_waits_behind_a_kept_stream_gets_its_answer(script, yields, asks):
    program = f"""if True:
        import keepers
        yields = keepers.{yields}Yields.executor()
        keepers.ThreadKeeps.executor(yields).post(1).result()
        keepers.{asks}Asks.executor(yields).tell("answer")
    """
    check(script(program), "[0]", "ended", "answer")


@pytest.mark.parametrize("kind", KINDS)
def test_an_endless_stream_that_a_daemon_thread_takes_ends_with_the_program(script, kind):
    """It never waits for its taker."""
    program = f"""if True:
        import actors, keepers, threading

        def take():
            for number in ticks.stream((keepers.ticks,)):
                taken.set()

        ticks = actors.{kind}Do.executor()
        taken = threading.Event()
        threading.Thread(target=take, daemon=True).start()
        taken.wait()
    """
    check(script(program), "ended")
