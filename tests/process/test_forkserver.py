"""The fork server: the child that it keeps ready, and what becomes of it and of actors when one of
them, or the server, is killed or replaced."""

import os
import signal
import sys
from pathlib import Path

import pytest

import actors
import programs
import tasks
from gates import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")


def start(process, body=actors.Do):
    return process.actor(body).options(start_method="forkserver").executor()


def spare():
    """Return the pid of the child that is ready, once there is one."""
    programs.wait_until(lambda: len(programs.spares_of(os.getpid())) == 1, PATIENCE)
    (pid,) = programs.spares_of(os.getpid())
    return pid


def test_an_actor_is_the_child_that_was_ready(process):
    with start(process) as first:
        first.post((tasks.get_pid,)).result(PATIENCE)
        ready = spare()
        with start(process) as second:
            assert second.post((tasks.get_pid,)).result(PATIENCE) == ready
            assert spare() != ready


def test_actors_that_start_faster_than_children_are_forked(process):
    executors = [start(process) for _ in range(8)]
    pids = {executor.post((tasks.get_pid,)).result(PATIENCE) for executor in executors}
    assert len(pids) == 8
    for executor in executors:
        executor.shutdown()


def test_the_child_that_is_ready_has_only_descriptors_of_its_own(process):
    """A copy of a descriptor would hide the end of a pipe or of a process."""
    with start(process) as executor:
        executor.post((tasks.get_pid,)).result(PATIENCE)
        open_files = Path(f"/proc/{spare()}/fd")
        # It has just been forked, and has not yet closed the server's descriptors.
        programs.wait_until(lambda: len(list(open_files.iterdir())) == 4, PATIENCE)


def test_a_start_does_not_miss_the_child_that_was_ready(process):
    with start(process):
        pass
    ready = spare()
    os.kill(ready, signal.SIGKILL)
    programs.wait_until(lambda: programs.is_gone(ready), PATIENCE)
    with start(process) as executor:
        assert executor.post((tasks.echo, "alive")).result(PATIENCE) == "alive"


def test_a_killed_server_is_replaced_and_its_actors_go_on(script):
    source = """if True:
        import os, signal
        import actors, futures_actors, programs, tasks
        futures_actors.set_start_method("forkserver")
        old = actors.ProcessDo.executor()
        pid = old.post((tasks.get_pid,)).result(30)
        me = os.getpid()
        programs.wait_until(lambda: programs.spares_of(me))
        (ready,) = programs.spares_of(me)
        (server,) = {pid for pid, _ in programs.descendants_of(me)} - {ready, pid}
        os.kill(server, signal.SIGKILL)
        programs.wait_until(lambda: programs.is_gone(ready))
        with actors.ProcessDo.executor() as new:
            assert new.post((tasks.echo, "alive")).result(30) == "alive"
            assert old.post((tasks.get_pid,)).result(30) == pid
        # Only the server that was killed could have told the exit code.
        died = old.post((tasks.exit_at_once, 3)).exception(30)
        assert type(died) is futures_actors.ActorDied
        assert (died.pid, died.exitcode, died.started) == (pid, None, True)
    """
    script(source).check()


def test_a_replaced_server_tells_how_its_actors_end_and_then_ends(script):
    source = """if True:
        import os, sys
        import actors, futures_actors, programs, tasks
        futures_actors.set_start_method("forkserver")
        executor = actors.ProcessDo.executor()
        executor.post((tasks.echo, 1)).result(30)
        before = {pid for pid, _ in programs.descendants_of(os.getpid())}
        futures_actors.preload("json")
        with actors.ProcessDo.executor() as other:
            assert other.post((tasks.loaded, "json")).result(30) == ["json"]
        assert executor.post((tasks.exit_at_once, 3)).exception(30).exitcode == 3
        programs.wait_until(lambda: all(map(programs.is_gone, before)))
    """
    script(source).check()


@pytest.mark.parametrize(
    ("needs", "loads"),
    [
        ("lambda _: None", ["futures_actors._pickling.by_value", "uuid"]),
        ("concurrent.futures.wait", ["concurrent.futures"]),
    ],
)
def test_what_a_child_imports_slowly_is_there_for_the_next_that_is_kept_ready(script, needs, loads):
    """The actor that looks for it has a class that does not import it."""
    source = f"""if True:
        import concurrent.futures, os
        import actors, futures_actors, programs, tasks
        futures_actors.set_start_method("forkserver")
        loads = {loads!r}

        def loaded():
            with actors.ProcessDo.executor() as plain:
                told = plain.post((tasks.loaded, *loads)).result(30)
            programs.wait_until(lambda: programs.spares_of(os.getpid()))
            return told

        assert loaded() == [], "nobody has needed it yet"
        with actors.ProcessCounter.executor({needs}) as first:
            assert first.submit(len, "abc").result(30) == 3
        programs.wait_until(lambda: programs.spares_of(os.getpid()))
        assert loaded() == loads
    """
    script(source).check()


def test_a_folder_of_modules_is_listed_for_the_next_child_unless_it_has_just_changed(
    script, tmp_path
):
    """And a module that is written into it afterwards is found."""
    lean = """if True:
        import sys
        from futures_actors import ProcessActor

        class Lean(ProcessActor):
            def handle(self, folders):
                return [folder for folder in folders if folder in sys.path_importer_cache]

            def find(self, name):
                return __import__(name).there
    """
    (tmp_path / "lean.py").write_text(lean)
    source = f"""if True:
        import os, sys, time
        import futures_actors, lean, programs
        futures_actors.set_start_method("forkserver")
        folders = [os.path.join({str(tmp_path)!r}, name) for name in ("settled", "changed")]
        for folder, offset in zip(folders, (-100, 100)):
            os.mkdir(folder)
            os.utime(folder, (time.time() + offset,) * 2)
        sys.path += folders
        with lean.Lean.executor() as first:
            first.post([]).result(30)
        programs.wait_until(lambda: programs.spares_of(os.getpid()))
        with lean.Lean.executor() as second:
            listed = second.post(folders).result(30)
            assert listed == folders[:1], listed
            programs.wait_until(lambda: programs.spares_of(os.getpid()))
            for folder in folders:
                name = "module_in_" + os.path.basename(folder)
                with open(os.path.join(folder, name + ".py"), "w") as file:
                    file.write("there = True")
                with lean.Lean.executor() as third:
                    assert third.proxy().find(name).result(30)
    """
    script(source).check()


def test_what_cannot_be_imported_ahead_does_no_harm(script, tmp_path):
    folder = tmp_path / "first on the path"
    folder.mkdir()
    (folder / "cloudpickle.py").write_text("raise SystemError('not today')")
    source = f"""if True:
        import os, sys
        import cloudpickle
        import actors, futures_actors, programs
        futures_actors.set_start_method("forkserver")
        # The server finds the other.
        sys.path.insert(0, {str(folder)!r})
        with actors.ProcessCounter.executor(lambda: 1) as first:
            assert "not today" in str(first.submit(len, "abc").exception(30).__cause__)
        sys.path.pop(0)
        for _ in range(2):
            programs.wait_until(lambda: programs.spares_of(os.getpid()))
            with actors.ProcessCounter.executor(lambda: 1) as second:
                assert second.submit(len, "abc").result(30) == 3
    """
    script(source).check()


def test_a_server_that_cannot_fork_is_done_without_and_asked_again(script, tmp_path):
    """Its system has had enough of processes for a while."""
    (tmp_path / "no_forks.py").write_text("""if True:
        import os, sys
        fork = os.fork
        def maybe():
            if os.path.exists(os.path.join(os.path.dirname(__file__), "full")):
                raise BlockingIOError(11, "too many processes")
            return fork()
        os.fork = maybe
    """)
    source = """if True:
        import os
        import actors, futures_actors, tasks
        futures_actors.set_start_method("forkserver")
        futures_actors.preload("no_forks")
        open("full", "w").close()
        for number in range(2):
            with actors.ProcessDo.executor() as executor:
                pid = executor.post((tasks.call, os.getppid)).result(30)
                print("mine" if pid == os.getpid() else "the server's")
        os.remove("full")
        with actors.ProcessDo.executor() as executor:
            pid = executor.post((tasks.call, os.getppid)).result(30)
            print("mine" if pid == os.getpid() else "the server's")
    """
    ended = script(source)
    assert ended.out.splitlines() == ["mine", "mine", "the server's"]
    (line,) = ended.err.splitlines()
    assert "too many processes" in line


def test_a_start_that_is_interrupted_leaves_the_next_its_own_child(script):
    """Ctrl-C while a thread waits for the server's answer: the next start must not take that answer
    for its own."""
    source = """if True:
        import actors, tasks
        from futures_actors._process import forkserver_client
        starter = actors.ProcessDo.options(start_method="forkserver")
        before = starter.executor()
        connection = forkserver_client._Connection
        answer = connection.answer
        def interrupted(self):
            connection.answer = answer
            raise KeyboardInterrupt
        connection.answer = interrupted
        try:
            starter.executor()
        except KeyboardInterrupt:
            print("interrupted")
        for _ in range(2):
            with starter.executor() as executor:
                print(executor.stats().pid == executor.post((tasks.get_pid,)).result(30))
        print(before.post((tasks.echo, "alive")).result(30))
    """
    assert script(source).check().out == "interrupted\nTrue\nTrue\nalive\n"


def test_the_end_of_a_child_is_learned_by_a_descriptor_of_any_number(script):
    source = """if True:
        import os, resource
        import actors, tasks
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most != resource.RLIM_INFINITY and most < 2000:
            print(3)
            raise SystemExit
        resource.setrlimit(resource.RLIMIT_NOFILE, (2000, most))
        many = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
        executor = actors.ProcessDo.options(start_method="forkserver").executor()
        print(executor.post((tasks.exit_at_once, 3)).exception(30).exitcode)
    """
    assert script(source).check().out == "3\n"


def test_children_that_end_together_each_have_their_own_exit_code(process):
    """One pipe tells of all of them, and one of the threads that wait reads for the others."""
    executors = [start(process) for _ in range(8)]
    futures = [
        executor.post((tasks.exit_at_once, code))
        for code, executor in enumerate(executors, start=1)
    ]
    assert [future.exception(PATIENCE).exitcode for future in futures] == list(range(1, 9))
    for executor in executors:
        executor.shutdown()
