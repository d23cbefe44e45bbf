"""Programs with a Ray of their own: which cluster they use, and what their end does."""

import re
import shutil
from pathlib import Path

import on_ray
import programs
from gates import PATIENCE

GUIDE = Path(__file__).parents[2] / "docs/guides/ray.md"

MAIN = """
import time
import ray
from futures_actors.ray import RayActor

class Writes(RayActor):
    def handle(self, message):
        time.sleep(0.1)
        path, number = message
        with open(path, "a") as file:
            file.write(f"{number}\\n")
        return self
"""


def run(script, source, **env):
    ended = script(MAIN + source, env=env, timeout=50)
    assert ended.status == 0, ended
    return ended.out.splitlines()


def test_the_guides_program_prints_what_it_says(script):
    blocks = re.findall(r"```(?:python|text)\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    ended = script("".join(blocks[::2]), timeout=50)
    assert ended.status == 0, ended
    assert ended.out == "".join(blocks[1::2])


def test_a_program_uses_the_cluster_that_ray_address_names_and_drains_at_exit(
    cluster, script, tmp_path
):
    path = tmp_path / "log"
    source = """
executor = Writes.executor()
answer = executor.post((PATH, 0))
print(type(answer.result()) is Writes, ray.get_runtime_context().gcs_address)
for number in range(1, 5):
    executor.post((PATH, number))
""".replace("PATH", repr(str(path)))
    assert run(script, source) == [f"True {cluster.address}"]
    assert path.read_text().split() == ["0", "1", "2", "3", "4"]


def test_after_ray_shutdown_futures_fail_and_no_cluster_is_started(script, tmp_path):
    source = """
import numpy
executor = Writes.executor()
executor.post((PATH, 0)).result()
futures = [executor.submit(time.sleep, 1000), executor.post((PATH, 1))]
idle, older = Writes.executor(), Writes.executor()
idle.post((PATH, 2)).result()
older.post((PATH, 3)).result()
while not futures[0].running():
    time.sleep(0.01)
ray.shutdown()
print(*(type(future.exception(20)).__name__ for future in futures))
for message in [numpy.zeros(1 << 20), 1]:
    try:
        print(type(idle.post(message).exception(20)).__name__)
    except Exception as error:
        print(type(error).__name__)
executor.shutdown()
idle.shutdown()
print(ray.is_initialized())
ray.init(log_to_driver=False)
print(type(older.post((PATH, 4)).exception(20)).__name__)
older.shutdown()
with Writes.executor() as newer:
    newer.post((PATH, 5)).result()
""".replace("PATH", repr(str(tmp_path / "log")))
    lines = run(script, source)
    dead = "ActorDied"
    assert lines == [f"{dead} {dead}", dead, dead, "False", dead]
    assert (tmp_path / "log").read_text().split() == ["0", "2", "3", "5"]


def test_without_a_cluster_a_local_one_starts_and_ends_with_the_program(cluster, script, tmp_path):
    folder = f"{cluster.folder}l"  # a short path
    Path(folder).mkdir()
    source = """
ray.init = lambda init=ray.init: init(num_cpus=1, object_store_memory=100 << 20)
with Writes.executor() as executor:
    executor.post((PATH, 7)).result()
print(ray.is_initialized())
""".replace("PATH", repr(str(tmp_path / "log")))
    try:
        assert run(script, source, RAY_ADDRESS="", RAY_TMPDIR=folder) == ["True"]
        programs.wait_until(lambda: not on_ray.processes_of(folder), PATIENCE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert (tmp_path / "log").read_text() == "7\n"
