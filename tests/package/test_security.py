"""SECURITY.md, tested: there is nothing that another user or process could connect or attach to."""

import os
import re
import sys
from pathlib import Path

import pytest

import actors
import futures_actors
import programs
import tasks
from gates import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")

CLOSE_ON_EXEC = 0o2000000


@pytest.fixture(params=["forkserver", "spawn"])
def busy(request, gate):
    """An actor that has a message, and the processes that have to do with it."""
    before = set(programs.descendants_of(os.getpid()))
    futures_actors.set_start_method(request.param)
    try:
        executor = actors.ProcessDo.executor()
    finally:
        futures_actors.set_start_method(request.config.getoption("--start-method"))
    with executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        started = set(programs.descendants_of(os.getpid())) - before
        servers = {
            pid
            for pid, line in programs.descendants_of(os.getpid())
            if "_process.forkserver" in line
        }
        yield {os.getpid(), *servers, *(pid for pid, _ in started)}
        gate.open()


def descriptors_of(pid):
    """Give the number, the target and the flags of each descriptor but the three standard ones."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
            info = Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text()
        except OSError:  # the listing's own
            continue
        if int(entry.name) > 2:
            yield int(entry.name), target, int(re.search(r"flags:\s*(\d+)", info)[1], 8)


def sockets_of(pid):
    return {
        re.search(r"\d+", target)[0]
        for _, target, _ in descriptors_of(pid)
        if target.startswith("socket:")
    }


def test_no_socket_has_a_name_or_a_port(busy):
    for pid in busy - {os.getpid()}:
        mine = sockets_of(pid)
        for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[6] in mine:
                assert len(fields) == 7, f"a socket with a name: {line}"
        for family in ("tcp", "tcp6", "udp", "udp6"):
            table = Path(f"/proc/{pid}/net/{family}")
            lines = table.read_text().splitlines()[1:] if table.exists() else []
            assert not mine & {line.split()[9] for line in lines}


def test_nothing_that_is_shared_has_a_path(busy, gate):
    """A child's files are its gate's and the standard streams; the rest is anonymous."""
    anonymous = re.compile(r"pipe:|socket:|anon_inode:|/memfd:futures_actors.* \(deleted\)")
    for pid in busy - {os.getpid()}:
        for number, target, _ in descriptors_of(pid):
            named = not anonymous.match(target) and not target.startswith(gate.path)
            assert not named, f"descriptor {number} of {pid}: {target}"
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "/dev/shm" not in maps
        shared = [line for line in maps.splitlines() if re.match(r"\S+ .w.s", line)]
        assert all("/memfd:futures_actors" in line for line in shared), shared


def test_every_descriptor_is_closed_when_a_program_is_started(busy):
    inherited_by_design = re.compile(r"/dev/null$|/dev/pts|/tmp|pipe:")
    for pid in busy:
        for number, target, flags in descriptors_of(pid):
            if pid == os.getpid() and inherited_by_design.match(target):
                continue  # pytest's own
            assert flags & CLOSE_ON_EXEC, f"descriptor {number} of {pid}: {target}"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of os.fork with threads
def test_another_user_is_refused(busy):
    others = sorted(busy - {os.getpid()})
    assert others
    tries = [f"/proc/{pid}/fd/{number}" for pid in others for number, _, _ in descriptors_of(pid)]
    tries += [f"/proc/{pid}/mem" for pid in others]
    assert len(tries) > 3
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        got = []
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            for path in tries:
                for flags in (os.O_RDONLY, os.O_WRONLY):
                    try:
                        os.close(os.open(path, flags | os.O_NONBLOCK))
                    except PermissionError:
                        continue
                    got.append(path)
            for pid in others:
                try:
                    os.kill(pid, 0)
                except PermissionError:
                    continue
                got.append(f"signal to {pid}")
        except BaseException as error:
            got.append(repr(error))
        os.write(writer, repr(got).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert answer.read() == "[]"
    os.waitpid(child, 0)


def test_a_record_is_read_without_importing_anything(process):
    """Nothing that a log record holds makes the parent run code: it is marshalled, not pickled."""
    import marshal

    from futures_actors._process import log

    with pytest.raises((ValueError, TypeError, EOFError)):
        log.handle(b"\x80\x05cos\nsystem\n", "Do", 0)
    assert marshal.loads(marshal.dumps({"a": 1})) == {"a": 1}
    with process.start(actors.Do) as executor:
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1


def test_unsafe_code_is_where_it_is_said_to_be():
    """The lint denies it wherever it is not expected."""
    root = Path(__file__).parents[2]
    expects = {
        str(path.relative_to(root))
        for path in root.glob("src/**/*.rs")
        if "unsafe_code" in path.read_text()
    }
    # What they call has no safe form in the binding to Python.
    of_python = {
        "src/py/codec/buffer.rs",
        "src/py/interpreter/sub_interpreters.rs",
    }
    assert of_python <= expects
    assert all(path.startswith("src/engine/sys/") for path in expects - of_python)
    assert 'unsafe_code = "deny"' in (root / "Cargo.toml").read_text()
