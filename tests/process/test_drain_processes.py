"""At the interpreter's exit a system of actors in processes handles all that was put into it."""

import signal

import pytest

import observe
from stages import seen

KINDS = {"p": "ProcessStage", "t": "ThreadStage"}


@pytest.mark.parametrize("kinds", ["ppp", "ptp", "tpt"])
@pytest.mark.parametrize("options", ["", "mailbox_size=2"])
def test_a_pipeline_of_processes_drains_to_its_end(script, kinds, options):
    first, middle, last = (KINDS[kind] for kind in kinds)
    ended = script(f"""if True:
        from stages import ProcessStage, ThreadStage
        last = {last}.options({options}).executor("last")
        middle = {middle}.options({options}).executor("middle", last)
        first = {first}.options({options}).executor("first", middle)
        for number in range(40):
            first.tell(number)
    """).check()
    assert seen(ended.out) == {"first": 40, "middle": 40, "last": 40}
    assert not ended.err


def test_a_pipeline_through_a_pool_of_processes_drains_to_its_end(script):
    ended = script("""if True:
        from stages import ProcessStage
        last = ProcessStage.executor("last")
        pool = ProcessStage.pool(2).executor("member", last)
        first = ProcessStage.executor("first", pool)
        for number in range(30):
            first.tell(number)
    """).check()
    assert seen(ended.out) == {"first": 30, "member": 30, "last": 30}


def test_callbacks_in_a_process_still_send_messages_to_other_actors(script):
    """A callback may run longer than its actor handles messages."""
    ended = script("""if True:
        import time
        from futures_actors import ProcessActor
        from stages import ProcessStage

        class Calls(ProcessActor):
            def __init__(self, slow, last):
                self.slow, self.last = slow, last

            def handle(self, message):
                last = self.last

                def pass_on(future):
                    time.sleep(0.1)
                    last.tell(message)

                self.slow.post(message).add_done_callback(pass_on)

        last, slow = ProcessStage.executor("last"), ProcessStage.executor("slow")
        calls = Calls.executor(slow, last)
        for number in range(3):
            calls.tell(number)
    """).check()
    assert seen(ended.out) == {"last": 3, "slow": 3}
    assert not ended.err


def test_a_message_of_a_process_to_itself_is_refused_once_draining_has_begun(script):
    ended = script("""if True:
        from futures_actors import ProcessActor

        class Again(ProcessActor):
            def handle(self, me):
                error = None
                while error is None:
                    try:
                        future = me.submit(int)
                        # The parent has taken it or refused it when it has answered this.
                        me.is_alive()
                        error = future.exception() if future.done() else None
                    except RuntimeError as refused:
                        error = refused
                print(error, flush=True)

        again = Again.executor()
        again.tell(again)
    """).check()
    assert ended.out == "cannot schedule new futures after interpreter shutdown\n"


@observe.on_unix
def test_a_first_ctrl_c_refuses_messages_among_processes_too(program):
    one = program("""if True:
        import signal
        from futures_actors import ActorRef, ProcessActor, current_actor

        class Ball(ProcessActor):
            other, is_draining = None, False

            def handle(self, message):
                if isinstance(message, ActorRef):
                    self.other = message
                    return
                if not self.is_draining:
                    self.look()
                self.other.tell("ball")

            def look(self):
                me = current_actor()
                try:
                    future = me.submit(int)
                    # The parent has taken it or refused it when it has answered this.
                    me.is_alive()
                    self.is_draining = future.done() and future.exception() is not None
                except RuntimeError:
                    self.is_draining = True
                if self.is_draining:
                    print("draining\\n", end="", flush=True)

        left, right = Ball.executor(), Ball.executor()
        left.post(right).result()
        right.post(left).result()
        left.tell("ball")
    """)
    assert one.line() == "draining"
    one.signal(signal.SIGINT)
    one.wait()  # otherwise they would play for ever
