"""A process actor has what a fresh process would have from the thread that starts it, whatever the
fork server was started with; and where the fork server cannot start one, a fresh interpreter is."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

import actors
import programs
import tasks
from gates import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")

METHODS = ["forkserver", "spawn"]
#: Makes a program of a text. Its actors are started by either method, after a first actor.
BEGIN = """if True:
    import os, resource, signal, sys, time
    import actors, futures_actors, tasks
    futures_actors.set_start_method(sys.argv[1])
    def ask(*message):
        with actors.ProcessDo.executor() as executor:
            return executor.post(message).result(30)
    ask(tasks.echo, 1)
"""


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


@pytest.fixture
def after_a_first(script, method):
    """Run a program in which an actor was started before, and return what it prints."""

    def run(source, **options):
        return script(BEGIN + source, args=[method], **options).check().out

    return run


# Signals.


def test_a_child_blocks_no_signal_whatever_its_starter_blocks(script, method):
    """If it did, SIGTERM would not end it, and the fork server would miss SIGCHLD."""
    source = f"""if True:
        import signal, sys
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {{signal.SIGINT}})
        import actors, futures_actors, tasks
        futures_actors.set_start_method({method!r})
        executor = actors.ProcessDo.executor()
        print(executor.post((tasks.call, signal.pthread_sigmask, signal.SIG_BLOCK, [])).result(30))
        print(executor.post((tasks.exit_at_once, 3)).exception(30).exitcode)
        executor.shutdown(timeout=30)
        executor = actors.ProcessDo.executor()
        executor.terminate()
        executor.shutdown(timeout=30)
    """
    assert script(source).check().out == "set()\n3\n"


def test_a_child_ignores_the_signals_that_its_parent_ignores_then(after_a_first):
    out = after_a_first("""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in signal.SIGUSR1, signal.SIGINT, signal.SIGUSR2, signal.SIGPIPE:
        print(ask(tasks.call, signal.getsignal, number) == signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in signal.SIGUSR1, signal.SIGINT:
        print(ask(tasks.call, signal.getsignal, number) == signal.SIG_IGN)
    """)
    assert out.split() == ["True", "True", "False", "True", "False", "False"]


# What a process is given when it begins.


def test_a_child_has_the_limits_and_the_niceness_of_the_moment(after_a_first):
    out = after_a_first("""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files - 7, most))
    os.nice(3)
    print(ask(tasks.call, resource.getrlimit, resource.RLIMIT_NOFILE) == (files - 7, most))
    print(ask(tasks.call, os.nice, 0) - os.nice(0))
    """)
    assert out.split() == ["True", "0"]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one processor")
def test_a_child_has_the_processors_of_the_thread_that_starts_it(after_a_first):
    out = after_a_first("""
    import threading
    (one, *_) = every = os.sched_getaffinity(0)
    def start():
        os.sched_setaffinity(0, {one})
        print(ask(tasks.call, os.sched_getaffinity, 0) == {one})
    thread = threading.Thread(target=start)
    thread.start()
    thread.join(30)
    print(ask(tasks.call, os.sched_getaffinity, 0) == every)
    """)
    assert out == "True\nTrue\n"


def test_a_child_is_in_the_session_of_its_parent(after_a_first):
    out = after_a_first("""
    if os.fork():  # a leader cannot leave
        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
    ask(tasks.echo, 1)
    os.setsid()
    print(ask(tasks.call, os.getsid, 0) == os.getsid(0))
    """)
    assert out == "True\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("change", ["os.setgroups([7])", "os.setgid(7)", "os.setegid(7)"])
def test_a_child_has_the_groups_of_the_moment(after_a_first, change):
    out = after_a_first(f"""
    {change}
    for call in os.getgroups, os.getgid, os.getegid:
        print(ask(tasks.call, call) == call())
    """)
    assert out == "True\nTrue\nTrue\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_no_child_has_the_privileges_that_its_parent_has_given_up(script, method):
    """It may be unable to start one, because the interpreter may be in a folder that it may not
    read any more."""
    source = (
        BEGIN
        + """
    before = actors.ProcessDo.executor()
    before.post((tasks.echo, 1)).result(30)
    os.chdir("/")
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    try:
        print(ask(tasks.call, os.getuid))
    except (OSError, futures_actors.BrokenActor):
        print("65534")
    """
    )
    assert script(source, args=[method]).out == "65534\n"


def test_variables_that_a_process_reads_once_are_those_of_the_moment(after_a_first):
    out = after_a_first("""
    os.environ["TZ"] = "JST-9"
    os.environ["PYTHONHASHSEED"] = "7"
    print(ask(tasks.call, time.localtime, 0).tm_hour)
    print(ask(tasks.call, hash, "text") == ask(tasks.call, hash, "text"))
    del os.environ["TZ"]
    print(ask(tasks.call, time.localtime, 0).tm_hour)
    """)
    here = time.localtime(0).tm_hour
    assert out.split() == ["9", "True", str(here)]


# Where it finds modules.


def test_a_path_may_be_longer_than_a_command_line(after_a_first):
    out = after_a_first("""
    sys.path += [f"/nowhere/{number:0200}" for number in range(20_000)]
    print(ask(tasks.look_at, "sys:path") == sys.path)
    """)
    assert out == "True\n"


@pytest.mark.parametrize("entry", ["", ".", "inside"])
def test_a_module_is_found_by_a_relative_path_though_the_directory_has_changed(
    script, method, tmp_path, entry
):
    (tmp_path / "inside").mkdir()
    (tmp_path / entry / "only_here.py").write_text("""if True:
        from futures_actors import ProcessActor
        class Echo(ProcessActor):
            def handle(self, message):
                return message
    """)
    source = f"""if True:
        import os, sys
        import futures_actors
        futures_actors.set_start_method({method!r})
        sys.path.insert(0, {entry!r})
        import only_here
        os.chdir("/")
        with only_here.Echo.executor() as executor:
            print(executor.post(1).result(30))
    """
    assert script(source, "command").check().out == "1\n"


@pytest.mark.parametrize("entry", ["later", "{here}/later"])
def test_a_module_is_found_in_a_folder_that_was_made_after_the_server_had_looked_for_it(
    script, method, tmp_path, entry
):
    entry = entry.format(here=tmp_path / "here")
    source = f"""if True:
        import importlib, os, sys
        import actors, futures_actors, tasks
        futures_actors.set_start_method({method!r})
        # Its import looks into the folder, which is not there.
        futures_actors.preload("colorsys")
        sys.path.insert(0, {entry!r})
        os.mkdir("here")
        with actors.ProcessDo.executor() as executor:
            executor.post((tasks.echo, 1)).result(30)
        os.chdir("here")
        os.mkdir("later")
        with open("later/only_later.py", "w") as file:
            file.write("def answer(actor): return 42")
        importlib.invalidate_caches()
        import only_later
        with actors.ProcessDo.executor() as executor:
            print(executor.post((only_later.answer,)).result(30))
    """
    assert script(source, "command").check().out == "42\n"


@pytest.mark.parametrize("mode", [0o311, 0o111])
def test_the_working_directory_need_not_be_readable(script, tmp_path, method, mode):
    inside = tmp_path / "inside"
    inside.mkdir()
    source = f"""if True:
        import ctypes, os
        if os.getuid() == 0:  # what lets root read everything
            header, no_rights = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
            assert ctypes.CDLL(None).capset(header, no_rights) == 0
        os.chdir("inside")
        os.chmod(".", {mode})
        import actors, logging, tasks
        logging.disable(logging.CRITICAL)
        os.open(".", os.O_PATH)
        try:
            os.open(".", os.O_RDONLY)
        except PermissionError:
            print("unreadable")
        with actors.ProcessDo.options(start_method={method!r}).executor() as executor:
            print(executor.post((tasks.call, os.getcwd)).result(30) == os.getcwd())
        os.chmod(".", 0o700)
    """
    assert script(source).check().out == "unreadable\nTrue\n"


# Where the fork server cannot.

FALLS_BACK = """if True:
    import logging
    logging.basicConfig(format="%(levelname)s %(message)s")
    import actors, futures_actors, tasks
    futures_actors.set_start_method("forkserver")
    for number in range(3):
        with actors.ProcessDo.executor() as executor:
            print(executor.post((tasks.echo, number)).result(30))
"""


@pytest.mark.parametrize("module", ["threading", "_thread"])
def test_a_thread_of_every_interpreter_is_no_obstacle(script, tmp_path, module):
    """Monitoring agents start one in sitecustomize or by a .pth file. A fork would not have the
    thread."""
    start = {
        "threading": "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "_thread": "_thread.start_new_thread(time.sleep, (60,))\n"
        "while not _thread._count(): time.sleep(0.001)",
    }
    (tmp_path / "sitecustomize.py").write_text(f"import {module}, time\n{start[module]}\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ended = script(FALLS_BACK, env={"PYTHONPATH": path})
    assert ended.out == "0\n1\n2\n"
    (line,) = ended.err.splitlines()
    assert line.startswith("WARNING the fork server cannot start a process")
    assert "sitecustomize" in line


def test_a_thread_that_a_preloaded_module_starts_later_is_no_obstacle(script, tmp_path):
    (tmp_path / "starts_late.py").write_text("""if True:
        import os, threading
        def start():
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        os.register_at_fork(after_in_parent=start)
    """)
    source = "import futures_actors\nfutures_actors.preload('starts_late')\n" + FALLS_BACK
    ended = script(source)
    assert ended.out == "0\n1\n2\n"
    assert "has started a thread" in ended.err


def test_without_proc_a_fresh_interpreter_is_started(tmp_path):
    hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*hide, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("needs root and a mount namespace of its own")
    done = subprocess.run(
        [*hide, sys.executable, "-c", FALLS_BACK],
        check=False, env=programs.environment(), capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.stdout == "0\n1\n2\n", done
    assert len(done.stderr.splitlines()) == 1


def test_a_program_that_is_killed_while_it_starts_an_actor_leaves_no_word(program):
    """Its fork server, and what that has forked, find it gone wherever they are."""
    source = """if True:
        import sys
        import actors, tasks
        sys.stdout.write("starts\\n")
        sys.stdout.flush()
        with actors.ProcessDo.executor() as executor:
            executor.post((tasks.echo, 1)).result(30)
    """
    for number in range(20):
        one = program(source)
        assert one.line() == "starts"
        time.sleep(number * 0.005)
        one.signal(signal.SIGKILL)
        one.wait()
        programs.wait_until(lambda: not programs.others_of_session(one.pid), PATIENCE)  # noqa: B023
        assert one.errors() == ""


# Random numbers.


@pytest.mark.parametrize("preloaded", ["random", "numpy.random", "numpy"])
def test_children_of_a_server_draw_different_random_numbers(script, preloaded):
    if not importlib.util.find_spec(preloaded.partition(".")[0]):  # imported, it has threads
        pytest.skip("there is no numpy")
    draw = {"random": "import random; random.random()"}.get(preloaded)
    draw = draw or "import numpy; float(numpy.random.rand())"
    module, _, call = draw.partition("; ")
    source = f"""if True:
        import futures_actors
        futures_actors.set_start_method("forkserver")
        futures_actors.preload({preloaded!r})
        class Draws(futures_actors.ProcessActor):
            def handle(self, message):
                {module}
                return {call}
        executors = [Draws.executor() for _ in range(4)]
        print(len({{executor.post(None).result(30) for executor in executors}}))
    """
    assert script(source).check().out == "4\n"


# Its names.


def test_a_process_has_the_name_of_its_actor(process, method):
    for name in ("Do", "a rather long name", "fünfzehn Zeichen und mehr"):
        options = process.actor(actors.Do).options(start_method=method, name=name)
        with options.executor() as executor:
            pid = executor.post((tasks.get_pid,)).result(PATIENCE)
            comm = (programs.Path(f"/proc/{pid}/comm")).read_text().removesuffix("\n")
            assert comm == name.encode()[:15].decode(errors="ignore")


def test_multiprocessing_knows_in_a_child_its_name_and_its_parent(process, method):
    options = process.actor(actors.Do).options(start_method=method, name="left")
    with options.executor() as executor:
        asked = executor.post((tasks.call, tell_of_multiprocessing))
        assert asked.result(PATIENCE) == ("left", os.getpid(), "MainProcess", True)
        assert executor.post((tasks.call, tell_of_multiprocessing)).result(PATIENCE)[0] == "left"


def tell_of_multiprocessing():
    import multiprocessing

    parent = multiprocessing.parent_process()
    return multiprocessing.current_process().name, parent.pid, parent.name, parent.is_alive()
