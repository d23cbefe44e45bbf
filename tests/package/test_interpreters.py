"""Sub-interpreters, which mod_wsgi has for each application: an import of the package is refused
there, and does no harm to the main interpreter."""

import importlib.util

import pytest

IN_IT = """
try:
    import futures_actors
except ImportError as error:
    print("refused:", error, flush=True)
else:
    print("imported", flush=True)
"""

PROGRAM = """
try:
    import _interpreters
    one = _interpreters.create("KIND")
except ImportError:
    import _xxsubinterpreters as _interpreters
    one = _interpreters.create(isolated="KIND" == "isolated")

def use():
    import actors, tasks
    with actors.ThreadDo.executor() as executor, actors.ProcessDo.executor() as other:
        print(executor.post((tasks.echo, 1)).result(20), other.post((tasks.echo, 2)).result(20))

if MAIN_FIRST:
    use()
for _ in range(2):
    _interpreters.run_string(one, CODE)
_interpreters.destroy(one)
use()
"""


@pytest.mark.skipif(
    not any(map(importlib.util.find_spec, ["_interpreters", "_xxsubinterpreters"])),
    reason="needs sub-interpreters",
)
@pytest.mark.parametrize("main_first", [True, False])
@pytest.mark.parametrize("interpreter", ["legacy", "isolated"])
def test_a_sub_interpreter_is_refused_and_the_main_one_goes_on(script, interpreter, main_first):
    source = PROGRAM.replace("KIND", interpreter).replace("MAIN_FIRST", str(main_first))
    ended = script(source.replace("CODE", repr(IN_IT)))
    assert ended.status == 0, ended
    lines = ended.out.splitlines()
    assert lines[-1] == "1 2"
    refusals = [line for line in lines if line.startswith("refused: ")]
    assert len(refusals) == 2
    assert "imported" not in lines
    if interpreter == "legacy":
        assert all("works in the main interpreter only" in line for line in refusals)
