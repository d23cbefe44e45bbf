"""Programs that tests run beside themselves: how their text gets into Python, how to talk to them,
and what /proc says of them. `run` is for those that end by themselves, `Program` for those that get
signals."""

import ast
import contextlib
import os
import re
import select
import signal
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

if sys.platform == "win32":
    import on_windows
else:
    import fcntl
    import pty
    import termios

SUPPORT = Path(__file__).parent
#: Seconds for a whole program on a busy machine: just less than pytest gives a test.
PATIENCE = 50
CTRL_D = b"\x04"
#: What Ray writes to stderr where there is no network, whatever level its log has.
RAYS_OWN = re.compile(r"^\[.*\] network_util\.cc:.*\n", re.MULTILINE)
MEANS = ["file", "command", "stdin", "interactive", "terminal", "notebook"]


@dataclass
class Ended:
    status: int
    out: str
    err: str

    def check(self):
        """Hold the program to what a faultless one leaves: status 0 and nothing on stderr."""
        assert self.status == 0, self
        assert self.err == "", self
        return self


def environment(**changes):
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    env.pop("PYTHONSTARTUP", None)
    env["PYTHONPATH"] = os.pathsep.join([str(SUPPORT), *filter(None, [env.get("PYTHONPATH")])])
    return env | changes


def run(source, how, folder, *, flags=(), args=(), timeout=PATIENCE, shell=None, env=None):
    """Run `source` by one of the `MEANS`; a `shell` command line starts it as "$@"."""
    if how == "terminal":
        return _run_in_terminal(source, folder, timeout)
    command, text = _command(source, how, folder)
    command = [sys.executable, *flags, *command, *args]
    if shell is not None:
        command = ["/bin/sh", "-c", shell, "sh", *command]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(**env or {}),
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(text, timeout)
        except BaseException:  # a child that outlives its parent keeps the pipes open
            kill_session(process.pid)
            raise
    err = RAYS_OWN.sub("", err)
    return Ended(process.returncode, out, _without_prompts(err) if how == "interactive" else err)


def _command(source, how, folder):
    if how == "command":
        return ["-c", source], ""
    if how == "stdin":
        return ["-"], source
    if how == "interactive":
        return ["-q", "-i"], as_typed(source)
    if how == "notebook":
        source = f"import notebook; notebook.run({cells(source)!r})"
        return ["-c", source], ""
    path = folder / "program.py"
    path.write_text(source)
    return [str(path)], ""


def cells(source):
    """Cut a program into its top-level statements, comments and all."""
    lines = source.splitlines()
    starts = []
    for node in ast.parse(source).body:
        decorators = getattr(node, "decorator_list", [])
        starts.append(min([node.lineno, *(one.lineno for one in decorators)]) - 1)
    ends = [*starts[1:], len(lines)]
    return ["\n".join(lines[start:end]) for start, end in zip(starts, ends, strict=True)]


def as_typed(source):
    """Spell a program as a person types it: no empty line inside a statement, and one after it."""
    typed = []
    for cell in cells(source):
        typed += [line for line in cell.splitlines() if line.strip()]
        typed.append("")
    return "\n".join(typed) + "\n"


def _without_prompts(err):
    return err.replace(">>> ", "").replace("... ", "").strip()


def _run_in_terminal(source, folder, timeout):
    """Type the program into a session on a terminal, line by line at the prompt, then Ctrl-D."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 1000, 0, 0))
    changes = {"TERM": "dumb", "PYTHON_BASIC_REPL": "1", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-q"],
        stdin=end,
        stdout=end,
        stderr=end,
        cwd=folder,
        env=environment(**changes),
        start_new_session=True,
    )
    os.close(end)
    screen = b""
    deadline = time.monotonic() + timeout
    try:
        for line in [*as_typed(source).splitlines(), None]:
            screen += _until_prompt(terminal, deadline)
            os.write(terminal, CTRL_D if line is None else line.encode() + b"\n")
        screen += _until_prompt(terminal, deadline)
        status = process.wait(max(0, deadline - time.monotonic()))
    finally:
        kill_session(process.pid)
        process.wait(timeout)
        os.close(terminal)
    text = screen.decode().replace("\r\n", "\n")
    said = [line for line in text.splitlines() if not line.startswith((">>> ", "... "))]
    return Ended(status, "\n".join(said) + "\n", text if "Traceback" in text else "")


def _until_prompt(terminal, deadline):
    seen = b""
    # Three of them, since what an actor prints may come between two characters of the prompt.
    while seen.count(b">") < 3 and b"... " not in seen:
        assert select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0], seen
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux says so when the last process has left the terminal
            return seen
        if not data:
            return seen
        seen += data
    return seen


class Program:
    """A Python program that runs beside the test, in a session of its own."""

    def __init__(self, source, folder, *args):
        path = folder / f"beside{time.monotonic_ns()}.py"
        path.write_text(source)
        self._errors = path.with_suffix(".err").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(path), *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(PYTHONUNBUFFERED="1"),
            cwd=folder,
            start_new_session=True,
        )
        self.pid = self.process.pid
        self._seen = b""

    def line(self, timeout=PATIENCE):
        """Return the next line that it prints, without its end; "" when its output has ended."""
        deadline = time.monotonic() + timeout
        out = self.process.stdout.fileno()
        while b"\n" not in self._seen:
            ready = _can_be_read(out, deadline)
            assert ready, f"no line in {timeout} s; stderr: {self.errors()}"
            data = os.read(out, 65536)
            if not data:
                return ""
            self._seen += data
        line, _, self._seen = self._seen.partition(b"\n")
        return line.decode().rstrip("\r")

    def signal(self, number):
        os.kill(self.pid, number)

    def signal_all(self, number):
        """What a terminal does at Ctrl-C: the whole process group gets the signal."""
        os.killpg(self.pid, number)

    def wait(self, timeout=PATIENCE):
        return self.process.wait(timeout)

    def errors(self):
        self._errors.flush()
        return RAYS_OWN.sub("", Path(self._errors.name).read_text())

    def end(self):
        kill_session(self.pid)
        self.process.wait(PATIENCE)
        self.process.stdout.close()
        self._errors.close()


def _can_be_read(pipe, deadline):
    """Whether a pipe has bytes or has ended, before the deadline."""
    if sys.platform == "win32":
        while not (ready := on_windows.can_be_read(pipe)) and time.monotonic() < deadline:
            time.sleep(0.005)
        return ready
    return select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]


def kill_session(leader):
    """Kill a session that a test started: every process whose session is the leader's.

    Windows has no sessions: there it kills the leader and what the leader has started.
    """
    if sys.platform == "win32":
        for pid in [leader, *on_windows.children(leader)]:
            with contextlib.suppress(OSError):  # it has ended
                os.kill(pid, signal.SIGTERM)
        return
    for pid, fields in processes():
        if int(fields[3]) == leader:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def processes():
    """Yield each process's id and the fields of its /proc/ID/stat, from the state on."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), _stat(entry)
            except OSError:
                continue


def _stat(entry):
    return (entry / "stat").read_text().rpartition(")")[2].split()


def descendants_of(ancestor, among=None):
    """Return (pid, command) of each child process and of theirs, zombies too.

    `among` is what `processes` gave, or what it gives now.
    """
    among = among or list(processes())
    parents = {pid: (int(fields[1]), fields[0]) for pid, fields in among}
    found = []
    for pid, (parent, state) in parents.items():
        above = parent
        while above in parents and above != ancestor:
            above = parents[above][0]
        if above == ancestor:
            found.append((pid, "zombie" if state == "Z" else command_line(pid)))
    return found


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return "ended"


def spares_of(ancestor, among=None):
    """Return the pids of the children that its fork servers keep ready.

    They are forks of their servers, and have one thread where a child has two. `among` is as for
    `descendants_of`.
    """
    among = among or list(processes())
    servers = {}
    for pid, command in descendants_of(ancestor, among):
        if "futures_actors._process.forkserver" in command:
            servers[pid] = command
    parents = {pid: int(fields[1]) for pid, fields in among}
    return {
        pid
        for pid, command in servers.items()
        if servers.get(parents.get(pid)) == command and _threads_of(pid) == 1
    }


def _threads_of(pid):
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return 0


def others_of_session(leader):
    """Return the living processes of a `Program`'s session but itself: whatever it started."""
    if sys.platform == "win32":
        return on_windows.children(leader)
    return [
        pid
        for pid, fields in processes()
        if int(fields[3]) == leader and pid != leader and fields[0] not in "ZX"
    ]


def is_gone(pid):
    """Whether a process has ended, reaped or not."""
    if sys.platform == "win32":
        return on_windows.is_gone(pid)
    try:
        return _stat(Path(f"/proc/{pid}"))[0] in "ZX"
    except OSError:
        return True


def wait_until(condition, timeout=PATIENCE):
    """Poll until a condition holds that no event announces; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.005)
    return True


def resident_bytes():
    """Return how much memory this process has."""
    if sys.platform == "win32":
        return on_windows.resident_bytes()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def threads_of_this_process():
    if sys.platform == "win32":
        return on_windows.threads()
    return [int(task.name) for task in Path("/proc/self/task").iterdir()]


def bytes_in_pipes(pid):
    """Return how much the fullest pipe that a process has open holds at this moment."""
    most = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            link = str(entry.readlink())
        except OSError:  # it was closed meanwhile
            continue
        if link.startswith("pipe:"):
            pipe = os.open(entry, os.O_RDONLY | os.O_NONBLOCK)
            try:
                count = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
            finally:
                os.close(pipe)
            most = max(most, int.from_bytes(count, sys.byteorder))
    return most


def descriptors_of_this_process():
    if sys.platform == "win32":
        return on_windows.handles()
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}
