"""At the interpreter's exit a system of actors handles all that was put into it."""

import signal

import pytest

import observe
from stages import seen


def test_a_pipeline_drains_to_its_end(script):
    ended = script("""if True:
        from stages import ThreadStage
        last = ThreadStage.executor("last")
        middle = ThreadStage.executor("middle", last)
        first = ThreadStage.executor("first", middle)
        for number in range(50):
            first.tell(number)
    """).check()
    assert seen(ended.out) == {"first": 50, "middle": 50, "last": 50}
    assert not ended.err


def test_a_bounded_pipeline_drains_to_its_end(script):
    ended = script("""if True:
        from stages import ThreadStage
        bounded = ThreadStage.options(mailbox_size=2)
        first = bounded.executor("first", bounded.executor("middle", bounded.executor("last")))
        for number in range(30):
            first.tell(number)
    """).check()
    assert seen(ended.out) == {"first": 30, "middle": 30, "last": 30}


def test_a_pipeline_through_a_pool_drains_to_its_end(script):
    ended = script("""if True:
        from stages import ThreadStage
        last = ThreadStage.executor("last")
        pool = ThreadStage.pool(3).executor("member", last)
        first = ThreadStage.executor("first", pool)
        for number in range(30):
            first.tell(number)
    """).check()
    assert seen(ended.out) == {"first": 30, "member": 30, "last": 30}


def test_callbacks_still_send_messages_to_other_actors(kind, script):
    ended = script(f"""if True:
        import actors, tasks
        log = actors.ThreadKeeps.executor()
        worker = actors.{kind.base}Do.executor()

        def keep(future):
            log.post(future.result()).add_done_callback(lambda _: print("kept", future.result()))

        for number in range(3):
            worker.post((tasks.nap, 0.05))
            worker.post((tasks.echo, number)).add_done_callback(keep)
    """).check()
    assert ended.out.split() == ["kept", "0", "kept", "1", "kept", "2"]


#: An actor that tells `log` something when the exit has begun: at each stage of its life that is
#: not a message.
LATE = """if True:
    import actors, draining
    from futures_actors import ProcessActor, ThreadActor

    class Log(ThreadActor):
        def handle(self, message):
            print(message)

    class Late:
        def __init__(self, log, stages):
            self.log, self.stages = log, stages
            self.say("constructor")

        def on_start(self):
            self.say("on_start")

        def on_stop(self):
            self.say("on_stop")

        def say(self, stage):
            if stage in self.stages:
                draining.wait()
                self.log.tell(stage)

    class Thread(Late, ThreadActor):
        def handle(self, message): pass

    class Process(Late, ProcessActor):
        def handle(self, message): pass

    class AsyncThread(Late, ThreadActor):
        async def handle(self, message): pass

    class AsyncProcess(Late, ProcessActor):
        async def handle(self, message): pass

    draining.announce()
    log = Log.executor()
"""


@pytest.mark.not_on_ray("the actor does not see the end of this program")
@pytest.mark.parametrize("stage", ["constructor", "on_start"])
def test_an_actor_that_starts_at_the_exit_still_sends_messages(stream_kind, script, stage):
    ended = script(f"{LATE}\n    late = {stream_kind.prefix}.executor(log, [{stage!r}])").check()
    assert ended.out.split() == [stage]
    assert not ended.err


@pytest.mark.parametrize("stage", ["constructor", "on_start"])
def test_a_pool_that_starts_at_the_exit_still_sends_messages(pool_kind, script, stage):
    late = f"{pool_kind.prefix}.pool(2).executor(log, [{stage!r}])"
    ended = script(f"{LATE}\n    late = {late}").check()
    assert ended.out.split() == [stage, stage]
    assert not ended.err


@pytest.mark.not_on_ray("the actor does not see the end of this program")
def test_an_actor_that_stops_at_the_exit_still_sends_messages(stream_kind, script):
    ended = script(
        f"""{LATE}
    late = {stream_kind.prefix}.executor(log, ["on_stop"])
    late.post(1).result()
    late.shutdown(wait=False)
"""
    ).check()
    assert ended.out.split() == ["on_stop"]
    assert not ended.err


@pytest.mark.not_on_ray("the actor does not see the end of this program")
def test_a_callback_that_runs_at_the_exit_still_sends_messages(stream_kind, script):
    ended = script(
        f"""{LATE}
    import tasks

    def tell(_):
        draining.wait()
        log.tell("told")

    worker = actors.{stream_kind.prefix}Do.executor()
    worker.post((tasks.call, draining.hold)).add_done_callback(tell)
    draining.go()
"""
    ).check()
    assert ended.out.split() == ["told"]
    assert not ended.err


@pytest.mark.not_on_ray("the actor does not see the end of this program")
def test_a_message_behind_a_callback_that_runs_at_the_exit_still_sends(stream_kind, script):
    """The actor may have taken the message already."""
    ended = script(
        f"""{LATE}
    import tasks
    worker = actors.{stream_kind.prefix}Do.executor()
    worker.post((tasks.call, draining.hold)).add_done_callback(lambda _: draining.wait())
    worker.post((tasks.echo, "told")).add_done_callback(lambda told: log.tell(told.result()))
    draining.go()
"""
    ).check()
    assert ended.out.split() == ["told"]
    assert not ended.err


def test_actors_that_ask_each_other_get_their_answers(kind, script):
    ended = script(f"""if True:
        import actors, tasks, time
        from futures_actors import ThreadActor
        store = actors.{kind.base}Counter.executor(100)

        class Worker(ThreadActor):
            def handle(self, message):
                time.sleep(0.05)
                print(store.post(message).result(20))

        worker = Worker.executor()
        for number in range(4):
            worker.post(number)
    """).check()
    assert ended.out.split() == ["100", "101", "103", "106"]


def test_a_message_to_itself_is_refused_once_draining_has_begun(script):
    ended = script("""if True:
        from futures_actors import ThreadActor, current_actor

        class Again(ThreadActor):
            def handle(self, message):
                try:
                    current_actor().tell(message)
                except RuntimeError as error:
                    print(error)

        again = Again.executor()
        again.tell(1)
    """).check()
    assert ended.out == "cannot schedule new futures after interpreter shutdown\n"


def test_other_threads_are_refused(script):
    ended = script("""if True:
        import actors, threading, time

        executor = actors.ThreadEcho.executor()

        def post():
            while True:
                try:
                    executor.post(1)
                except RuntimeError as error:
                    print(error)
                    return
                time.sleep(0.001)

        threading.Thread(target=post).start()
    """).check()
    assert ended.out == "cannot schedule new futures after interpreter shutdown\n"


def test_an_idle_system_ends_at_once(script):
    ended = script("""if True:
        import actors
        kept = [actors.ThreadKeeps.executor() for _ in range(5)]
        for one in kept:
            for other in kept:
                one.post(other).result(20)
    """).check()
    assert not ended.err


@observe.on_unix
def test_a_first_ctrl_c_refuses_messages_among_actors_too(program):
    one = program("""if True:
        from futures_actors import ActorRef, ThreadActor, current_actor

        class Ball(ThreadActor):
            other, is_draining = None, False

            def handle(self, message):
                if isinstance(message, ActorRef):
                    self.other = message
                elif message == "ball":
                    self.look()
                    self.other.tell("ball")

            def look(self):
                if not self.is_draining:
                    try:
                        current_actor().tell("itself")
                    except RuntimeError:
                        self.is_draining = True
                        print("draining\\n", end="", flush=True)

        left, right = Ball.executor(), Ball.executor()
        left.tell(right)
        right.tell(left)
        left.tell("ball")
    """)
    assert one.line() == "draining"
    one.signal(signal.SIGINT)
    one.wait()  # otherwise they would play for ever
