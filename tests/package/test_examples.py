"""The programs of `examples/` run as they stand. Those that need more than the tests do are skipped
where it is not installed; `make test-examples` installs it, and lets none be skipped."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import observe

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDS = {
    "cartpole": "gymnasium tqdm",
    "model_server": "sklearn starlette httpx",
    "notebook": "nbclient ipykernel",
    "rows": "sklearn starlette httpx uvicorn",
}
PRINTS = {
    "account": r"150 ValueError\('only 150 left'\) 110\n",
    "cartpole": r"\d+ policies, .* MB of states\nthe best keeps its poles up for \d+ .*\n",
    "crawler": r"crawling; .*\npages accepted: 500, written: 500, links: 1500\n",
    # Where the cancelled one is reported depends on how soon the first dish is ready.
    "kitchen": (
        r"(?=.*cancelled\n)(?=.*ready: soup by Ada\n.*ready: salad by Ada\n.*ready: fish by Ada\n"
        r".*refused: nobody here can juggle\nAda has served soup, salad, fish\n"
        r"no cake: True  a kitchen: True\n$).*"
    ),
    "long_job": (
        r".*100.00%  done\npi is about 3\.\d\n.*  stopped\n"
        r"what it had when it was stopped: 3\.\d, by [\d,]+,000 pairs\n"
    ),
    "model_server": (
        r"30 requests at once, 297 digits, 9\d% right\na wrong request: 400 .*\n"
        r"pool of actors: [\d,]+ predictions/s\nProcessPoolExecutor: [\d,]+ predictions/s\n"
    ),
    "rows": (r"(data: \[.*\]\n){3}open files: 0  all rows were read: False\n"),
    "sensor": r"recorded 300 of 300: mean 20.*\nshown \d+, dropped \d+, together 300\n",
    "simulators": r"(\w+: \d+ of 2000 have had it\n){6}(Simulator\[\d\] keeps( \w+)*\n){3}",
    "sqlite_actor": r"too much: IntegrityError\n\{'Ada': 600, 'Bert': 1400\}\n",
    "tokens": r"actor( \w+){8}\nfuture( \w+){8}\nbegun and ended: \(2, 2\)\n",
}


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == PRINTS.keys()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("example", PRINTS)
def test_an_example_runs_and_prints_what_it_should(example, tmp_path):
    observe.need(*NEEDS.get(example, "").split())
    ended = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{example}.py")],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert re.fullmatch(PRINTS[example], ended.stdout, re.DOTALL), ended.stdout


@observe.on_unix
def test_ctrl_c_ends_the_crawler_and_no_page_that_was_accepted_is_lost(tmp_path):
    crawler = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "crawler.py"), str(10**9)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        start_new_session=True,
    )
    assert crawler.stdout.readline().startswith("crawling")
    os.killpg(crawler.pid, signal.SIGINT)  # what a terminal does
    output, errors = crawler.communicate(timeout=50)
    assert (crawler.returncode, errors) == (0, "")
    stopped, counts = output.splitlines()
    assert stopped.startswith("no more pages")
    accepted, written = re.match(r"pages accepted: (\d+), written: (\d+)", counts).groups()
    assert accepted == written
    assert int(accepted) >= 100


def test_the_programs_of_the_documents_are_these():
    page = (EXAMPLES.parent / "docs" / "programs.md").read_text()
    shown = re.findall(r'^```python title="([^"]*)"\n(.*?)^```$', page, re.DOTALL | re.MULTILINE)
    assert len(shown) == 4
    for name, text in shown:
        assert text == (EXAMPLES / name).read_text(), name


@pytest.mark.timeout(180)
def test_the_notebook_runs(tmp_path):
    observe.need(*NEEDS["notebook"].split())
    # In a process of its own: it leaves loops and sockets behind.
    program = """if True:
        import sys, nbclient, nbformat
        notebook = nbformat.read(sys.argv[1], 4)
        nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                print((output.get("text") or output["data"]["text/plain"]).strip())
    """
    ended = subprocess.run(
        [sys.executable, "-c", program, str(EXAMPLES / "notebook.ipynb")],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    totals = "{'ash': 6, 'oak': 3}"
    assert ended.stdout.splitlines() == ["[3, 3, 6]", totals, "TypeError", totals]
