"""The surroundings that people run actors in: servers, queues of tasks, notebooks, other pools, a
zip file; `test_greenlets.py` has greenlets. `docs/where-it-runs.md` says what holds in each. What
is not installed is skipped, and `make test-examples` installs it."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipapp

import pytest

import observe
import programs
from programs import PATIENCE

pytestmark = pytest.mark.timeout(120)

APP = """
import os
from futures_actors import ProcessActor, ThreadActor

class Doubles:
    def handle(self, message):
        return 2 * message, os.getpid()

class Near(Doubles, ThreadActor):
    pass

class Far(Doubles, ProcessActor):
    pass

started = {}

def answers(number):
    if not started:
        started.update(near=Near.executor(), far=Far.executor())
    doubled = [started[kind].post(number).result(20) for kind in ("near", "far")]
    assert doubled[0][0] == doubled[1][0] == 2 * number
    assert doubled[0][1] == os.getpid() != doubled[1][1]
    return f"doubled {doubled[0][0]} by {os.getpid()}"

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answers(int(environ["QUERY_STRING"])).encode()]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": event + ".complete"})
            if event == "lifespan.shutdown":
                for executor in started.values():
                    executor.shutdown()
                return
    if not started:
        started.update(near=Near.executor(), far=Far.executor())
    number = int(scope["query_string"])
    doubled = [await started[kind].post(number) for kind in ("near", "far")]
    assert doubled[0][0] == doubled[1][0] == 2 * number
    await send({"type": "http.response.start", "status": 200, "headers": []})
    text = f"doubled {doubled[0][0]} by {os.getpid()}"
    await send({"type": "http.response.body", "body": text.encode()})
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def server(folder, *command):
    """Run a server of `APP` in a session of its own; it must end by itself when it is asked to."""
    (folder / "app.py").write_text(APP)
    with (
        (folder / "log").open("w+") as log,
        subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=programs.environment(),
            start_new_session=True,
        ) as process,
    ):
        said = (folder / "log").read_text
        try:
            yield process, said
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) in (0, -signal.SIGTERM), said()
            assert not re.search("Traceback|SIGSEGV|SIGABRT|SIGKILL", said()), said()
        finally:
            programs.kill_session(process.pid)


def get(port, number, process, said):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/?{number}", timeout=20) as got:
                return got.read().decode()
        except ConnectionError:
            failed = True
        except OSError as error:
            failed = isinstance(getattr(error, "reason", None), ConnectionError)
            if not failed:
                raise AssertionError(said()) from error
        assert failed and process.poll() is None and time.monotonic() < deadline, said()
        time.sleep(0.05)


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_gunicorns_workers_have_actors_of_their_own(worker, tmp_path):
    observe.need("gunicorn", *(["gevent"] if worker == "gevent" else []))
    port = free_port()
    command = ["gunicorn", "-k", worker, "-w", "2", "-b", f"127.0.0.1:{port}", "app"]
    with server(tmp_path, *command) as running:
        for number in range(20):
            assert get(port, number, *running).startswith(f"doubled {2 * number} by ")


@pytest.mark.parametrize("workers", [1, 2])
def test_uvicorns_workers_have_actors_of_their_own(workers, tmp_path):
    observe.need("uvicorn")
    port = free_port()
    command = ["uvicorn", "--workers", str(workers), "--port", str(port), "app:asgi"]
    with server(tmp_path, *command) as running:
        for number in range(20):
            assert get(port, number, *running).startswith(f"doubled {2 * number} by ")


CELERY = """
import os
from celery import Celery
from app import answers

queue = Celery("tasks", broker="filesystem://", backend="file://" + os.getcwd())
queue.conf.broker_transport_options = dict.fromkeys(
    ["data_folder_in", "data_folder_out", "control_folder"], os.getcwd())

@queue.task
def double(number):
    return answers(number)
"""

CELERY_CLIENT = """
from tasks import double

for number in range(8):
    assert double.delay(number).get(timeout=30).startswith(f"doubled {2 * number} by "), number
print("done")
"""


def test_celerys_workers_have_actors_of_their_own(tmp_path, script):
    observe.need("celery")
    (tmp_path / "tasks.py").write_text(CELERY)
    command = ["celery", "-q", "-A", "tasks", "worker", "-P", "prefork", "-c", "2"]
    with server(tmp_path, *command, "--without-gossip", "--without-mingle"):
        env = {"PYTHONPATH": str(tmp_path)}
        assert script(CELERY_CLIENT, env=env).check().out == "done\n"


JOBLIB = """
import joblib
from futures_actors import ProcessActor, ThreadActor

class Doubles:
    def handle(self, numbers):
        return joblib.Parallel(n_jobs=2)(joblib.delayed(int)(2 * n) for n in numbers)

class Near(Doubles, ThreadActor):
    pass

class Far(Doubles, ProcessActor):
    pass

def answers(number):
    with Far.executor() as far:
        return far.submit(pow, number, 2).result(20)

if __name__ == "__main__":
    for kind in (Near, Far):
        with kind.executor() as executor:
            assert executor.post([1, 2, 3]).result(60) == [2, 4, 6]
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(answers)(n) for n in range(4)) == [0, 1, 4, 9]
    print("done")
"""

DASK = """
from distributed import Client, LocalCluster
from futures_actors import ProcessActor

class Doubles(ProcessActor):
    def handle(self, message):
        return 2 * message

def answers(number):
    with Doubles.executor() as doubles:
        return doubles.post(number).result(20)

if __name__ == "__main__":
    with LocalCluster(n_workers=2, processes=True, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            assert client.gather(client.map(answers, range(4))) == [0, 2, 4, 6]
    print("done")
"""


@pytest.mark.parametrize(("module", "source"), [("joblib", JOBLIB), ("distributed", DASK)])
def test_actors_work_inside_the_workers_of_other_pools(module, source, script):
    observe.need(module)
    ended = script(source, timeout=90)
    assert (ended.status, ended.out) == (0, "done\n"), ended


def test_a_zip_file_with_actors_runs(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "app.py").write_text(APP)
    main = "import app\nprint(app.answers(21).split(' by')[0])\n"
    main += "class Main(app.Far):\n    pass\n"
    main += "with Main.executor() as own:\n    print(own.post(4).result()[0])\n"
    (source / "__main__.py").write_text(main)
    packed = tmp_path / "packed.pyz"
    zipapp.create_archive(source, packed)
    done = subprocess.run(
        [sys.executable, str(packed)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=programs.environment(),
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "doubled 42\n8\n", "")


def test_a_default_timeout_for_sockets_is_no_matter(script):
    source = """
import socket
from futures_actors import ProcessActor

class Echo(ProcessActor):
    def handle(self, message):
        return message

socket.setdefaulttimeout(5)
with Echo.executor() as echo:
    print(echo.post(1).result(20))
"""
    assert script(source).check().out == "1\n"


NOTEBOOK = """
from jupyter_client.manager import start_new_kernel

CELL = '''
import time
from futures_actors import ProcessActor

class Waits(ProcessActor):
    def handle(self, seconds):
        time.sleep(seconds)
        return "slept"

waits = Waits.executor()
future = waits.post(60)
while not future.running():
    pass
print("waits", flush=True)
future.result()
'''

def hear(message):
    if message["msg_type"] == "stream":
        text = message["content"]["text"]
        print(text, end="")
        if "waits" in text:
            manager.interrupt_kernel()

manager, client = start_new_kernel()
reply = client.execute_interactive(CELL, output_hook=hear, timeout=60)
print("the cell:", reply["content"]["ename"])
source = "print('handle:', type(future.exception(20)).__name__, waits.post(0).result())"
client.execute_interactive(source, output_hook=hear, timeout=60)
client.stop_channels()
manager.shutdown_kernel()
"""


def test_a_notebooks_stop_button_interrupts_the_cell_and_handle(tmp_path, script):
    observe.need("jupyter_client", "ipykernel")
    ended = script(NOTEBOOK, env={"IPYTHONDIR": str(tmp_path)}, timeout=90)
    said = "waits\nthe cell: KeyboardInterrupt\nhandle: KeyboardInterrupt slept\n"
    assert (ended.status, ended.out) == (0, said), ended
