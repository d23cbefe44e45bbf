"""Ends of a `multiprocessing.Pipe` and sockets cross: their descriptors are duplicated."""

import multiprocessing
import os
import socket
from multiprocessing import resource_sharer

import pytest

import actors
from futures_actors import ActorDied, ProcessActor
from gates import PATIENCE


@pytest.fixture
def duplicates():
    """Ends the thread that hands out duplicates, which lives on from the first of them."""
    yield
    resource_sharer.stop(PATIENCE)


of_connections = pytest.mark.usefixtures("duplicates")


class Sends(ProcessActor):
    def __init__(self, connection=None):
        self.connection = connection

    def handle(self, message):
        (message or self.connection).send("hello")
        return message


@of_connections
@pytest.mark.parametrize("where", ["message", "argument"])
def test_an_end_of_a_pipe_works_in_the_child(where):
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs, Sends.executor(*[theirs] * (where == "argument")) as executor:
        executor.post(theirs if where == "message" else None).result(PATIENCE)
        assert ours.poll(PATIENCE)
        assert ours.recv() == "hello"


@of_connections
@pytest.mark.parametrize("kind", ["end of a pipe", "socket"])
def test_a_descriptor_among_the_arguments_reaches_every_process_of_a_restarted_actor(kind):
    ours, theirs = multiprocessing.Pipe() if kind == "end of a pipe" else socket.socketpair()
    with ours, theirs, Writes.options(max_restarts=2).executor([theirs]) as executor:
        for number in range(3):
            executor.post(b"%d" % number).result(PATIENCE)
            assert read(ours) == b"%d" % number
            if number < 2:
                assert isinstance(executor.post(None).exception(PATIENCE), ActorDied)
        assert executor.stats().restarts == 2


class Writes(ProcessActor):
    def __init__(self, ends):
        (self.end,) = ends

    def handle(self, message):
        if message is None:
            os._exit(3)
        if isinstance(self.end, socket.socket):
            self.end.sendall(message)
        else:
            self.end.send_bytes(message)


def read(end):
    return end.recv(100) if isinstance(end, socket.socket) else end.recv_bytes()


@of_connections
def test_an_end_of_a_pipe_comes_back_as_another_descriptor():
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs, Sends.executor() as executor:
        got = executor.post(theirs).result(PATIENCE)
        assert got.fileno() != theirs.fileno()
        assert ours.recv() == "hello"
        got.send("again")
        assert ours.recv() == "again"
        got.close()


def test_an_end_of_a_pipe_crosses_where_multiprocessing_was_loaded_late(script):
    """The child must have the parent's key nevertheless."""
    script("""if True:
        from futures_actors import ProcessActor

        class Makes(ProcessActor):
            def handle(self, message):
                import multiprocessing
                ours, theirs = multiprocessing.Pipe()
                message.send("from the child")
                self.kept = ours
                return theirs

            def say(self):
                self.kept.send("in an answer")

        with Makes.executor() as executor:
            executor.submit(abs, 1).result(30)
            import multiprocessing
            ours, theirs = multiprocessing.Pipe()
            answer = executor.post(theirs).result(30)
            assert ours.recv() == "from the child"
            executor.proxy().say().result(30)
            assert answer.recv() == "in an answer"
    """).check()


@of_connections
def test_a_socket_works_in_the_child(process):
    ours, theirs = socket.socketpair()
    with ours, theirs, process.start(actors.Echo) as executor:
        assert executor.submit(socket.socket.send, theirs, b"hello").result(PATIENCE) == 5
        assert ours.recv(10) == b"hello"
