"""The demo as its user meets it: a command, run on a small folder, judged by what it prints.

`naive_search` is the oracle: the same ranking, written as simply as can be, with no index at all.
"""

import contextlib
import fcntl
import math
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

import programs
from futures_actors._demo import index as _demo

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "futures_actors"]
HIT = re.compile(r"^ +(\d+\.\d\d)  (\S+):(\d+) +(.*)$", re.MULTILINE)
PROMPT = b"Query (empty to go on): "
VERBS = ["open", "close", "read", "write", "seek"]
NOUNS = ["file", "socket", "pipe", "device", "queue", "table", "cursor"]


@pytest.fixture
def tree(tmp_path):
    """A folder of a dozen modules, with what must not be indexed among them."""
    root = tmp_path / "tree"
    for number in range(12):
        verb, noun = VERBS[number % len(VERBS)], NOUNS[number % len(NOUNS)]
        module = root / ("package" if number % 3 else ".") / f"module{number:02}.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(
            f'"""How to {verb} a {noun}."""\n\n'
            f"class {noun.title()}{verb.title()}er:\n"
            f"    def {verb}_{noun}(self, times={number}):\n"
            f"        return self.{noun} * {number % 4} # {' '.join([verb] * (number % 5))}\n\n"
            f"def both():\n    {verb} = '{noun} größe'\n"
        )
    (root / "same.py").write_text("def read_file(): ...\ndef read_file(): ...\n")
    (root / "doubt.py").write_text("".join(f"n = {n}  # XXX why {n}?\n" for n in range(1000)))
    (root / "empty.py").write_text("")
    (root / "leap.py").write_text("leap = 'year'\n")
    (root / "latin.py").write_bytes(b"\nname = 'file \xe9'\n")
    for unwanted in ("tests/test_file.py", "site-packages/file.py", ".hidden/file.py", "file.txt"):
        path = root / unwanted
        path.parent.mkdir(exist_ok=True)
        path.write_text("def read_file(): ...\n")
    return root


def run(*arguments, typed="", **options):
    return subprocess.run(
        [*DEMO, *map(str, arguments)],
        check=False, input=typed, capture_output=True, text=True, timeout=150, **options,
    )  # fmt: skip


def hits_of(output, query):
    """The rows that the demo printed below this query."""
    (block,) = re.findall(rf"^   {re.escape(query)}  [\d.]+ m?s\n((?:.+\n)*)", output, re.MULTILINE)
    return [(score, path, int(line), text) for score, path, line, text in HIT.findall(block)]


def naive_search(root, query, limit=3):
    """BM25 by reading every file again and counting words one by one."""
    passages = []
    for path in root.rglob("*.py"):
        place = path.relative_to(root)
        if any(part == "tests" or part in {"site-packages", ".hidden"} for part in place.parts):
            continue
        current = None
        for number, line in enumerate(path.read_bytes().decode(errors="replace").split("\n"), 1):
            opens = line.lstrip().startswith(("def ", "class "))
            if opens or (current is None and line):
                current = (str(place), number, line.strip(), [])
                passages.append(current)
            if current:
                current[3].extend(naive_words(line))
    mean_length = sum(len(words) for *_, words in passages) / len(passages)
    scores = []
    for path, number, text, words in passages:
        score = 0.0
        for word in dict.fromkeys(naive_words(query)):
            containing = sum(word in passage[3] for passage in passages)
            rarity = math.log(1 + (len(passages) - containing + 0.5) / (containing + 0.5))
            times = words.count(word)
            score += rarity * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * len(words) / mean_length))
        if score:
            scores.append((-score, path, number, text))
    return [(f"{-score:.2f}", *place) for score, *place in sorted(scores)[:limit]]


def naive_words(text):
    """Cut at what is no letter or digit, at a capital after a small letter, and around numbers."""
    text = re.sub(r"([a-zß])([A-Z])", r"\1 \2", text.replace("_", " "))
    return re.findall(r"[^\W\d]+|\d+", text.lower())


def group_is_gone(group):
    """Whether no process of this group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def interrupt(arguments, gate):
    """Run the demo until it prints `gate`, then do what Ctrl-C does: SIGINT to the whole group."""
    demo = subprocess.Popen(
        [*DEMO, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        before = ""
        for line in demo.stdout:
            before += line
            if gate in line:
                break
        assert gate in before
        os.killpg(demo.pid, signal.SIGINT)
        after, errors = demo.communicate(timeout=30)
        programs.wait_until(lambda: group_is_gone(demo.pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(demo.pid, signal.SIGKILL)
        demo.communicate()
    return demo.returncode, before + after, errors


@pytest.mark.parametrize("actors", [1, 3])
def test_answers_are_those_of_a_naive_search(tree, actors):
    queries = ["read file", "Socket größe", "seek 3", "read_file same name", "nowhere"]
    done = run("--root", tree, "--actors", actors, *queries)
    assert (done.returncode, done.stderr) == (0, "")
    for query in queries:
        assert hits_of(done.stdout, query) == naive_search(tree, query)
    assert len(naive_search(tree, queries[0])) == 3  # the oracle is not empty-handed


def test_a_query_is_answered_and_nothing_else_is_printed(tree):
    done = run("--root", tree, "read file")
    heading, *hits = done.stdout.splitlines()
    assert re.fullmatch(r"   read file  [\d.]+ m?s", heading)
    assert all(HIT.fullmatch(line) for line in hits)
    assert len(hits) == 3


def test_without_a_query_each_part_shows_what_actors_can_do(tree):
    done = run("--root", tree, "--actors", 2)
    assert (done.returncode, done.stderr) == (0, "")
    output = done.stdout
    # Whether the message is cancelled before it begins depends on how far the actors are.
    assert re.search(r"future\.cancel\(\) is (True|False)", output)
    assert "100%  17 of 17 files" in output
    keepers = re.findall(r"Process (\d+) keeps (\d+) files?, ", output)
    assert len(set(keepers)) == 2
    assert sum(int(files) for _, files in keepers) == 17
    assert re.search(r"post\(\.\.\., key='.*\.py'\): \d+ passages? there", output)
    # The stream stops midway: the text of doubt.py has a thousand such lines.
    lines = re.findall(r"after +[\d.]+ m?s  doubt\.py:(\d+)  n = .*XXX", output)
    assert lines == ["1", "2", "3", "4", "5"]
    assert len(re.findall(r"[\d.]+ GB/s", output)) == 3
    killed = re.findall(r"kill -9 (\d+)", output)
    assert len(killed) == 1
    assert killed[0] in [pid for pid, _ in keepers]
    assert re.search(r"Indexer\[\d\] runs one message for .*, (\d+) wait", output)
    if sys.platform == "linux":  # elsewhere there are no tracebacks of processes
        shown = output.partition("dump_traceback():\n")[2].partition("kill -9")[0]
        assert " in match\n" in shown
    assert "ActorDied, started=True" in output
    assert "handled, by 1 new process" in output
    assert "The answers are the same" in output
    assert "\r" not in output
    assert "\x1b" not in output
    for pid, _ in keepers:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_without_numpy_a_bytearray_goes_to_and_fro(tree):
    program = f"""if True:
        import sys
        sys.modules["numpy"] = None  # an import of it raises ImportError
        from futures_actors import __main__
        from futures_actors._demo import show
        show.ARRAY_BYTES = 1 << 20
        sys.exit(__main__.main(["--root", {str(tree)!r}, "--actors", "1"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=150
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "A bytearray" in done.stdout
    assert len(re.findall(r"[\d.]+ GB/s", done.stdout)) == 3


def test_terminal_gets_a_bar_and_typed_queries_are_answered(tree):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    demo = subprocess.Popen(
        [*DEMO, "-i", "--root", str(tree)],
        stdin=theirs, stdout=theirs, stderr=theirs,
        env={**environment, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    output, typed = b"", [b"read file\n", b"\n"]
    # Linux reports that the other side has closed as an error, other systems as the end.
    with contextlib.suppress(OSError):
        while chunk := os.read(ours, 65536):
            output += chunk
            if output.count(PROMPT) > 2 - len(typed):
                os.write(ours, typed.pop(0))
    os.close(ours)
    assert demo.wait(30) == 0
    shown = output.decode()
    assert re.search(r"\r   █+ 100%  17 of 17 files\r\x1b\[K", shown)
    plain = re.sub(r"\x1b\[\??[0-9;]*[A-Za-z]", "", shown).replace("\r\n", "\n")
    assert hits_of(plain, "read file") == naive_search(tree, "read file")


def test_queries_are_read_from_standard_input(tree):
    done = run("-i", "--root", tree, typed="read file\n\nseek 3")
    assert done.returncode == 0, done.stderr
    for query in ("read file", "seek 3"):
        assert hits_of(done.stdout, query) == naive_search(tree, query)


def test_query_without_words_finds_nothing(tree):
    done = run("--root", tree, "", "?!")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("nothing: there is no word in it") == 2


def test_passages_carry_their_decorators_and_the_number_of_the_line_that_opens_them():
    text = (
        '#!/bin/python\n"""Sums."""\n\n'
        "@cache\n@wraps(f)\nasync def add(a):\n    pass\n"
        "\tclass A: x\n"
    )
    assert list(_demo.passages(text)) == [
        (2, '"""Sums."""', '#!/bin/python\n"""Sums."""\n\n'),
        (6, "async def add(a):", "@cache\n@wraps(f)\nasync def add(a):\n    pass\n"),
        (8, "\tclass A: x", "\tclass A: x\n"),
    ]


def test_words_are_found_inside_identifiers():
    words = _demo.split_words("HTTPServer getUserID _MAX_SIZE utf8 ThreadPool größe")
    assert " ".join(words) == "http server get user id max size utf 8 thread pool größe"


def test_unreadable_file_is_counted_and_the_rest_is_searched(tree):
    index = _demo.Index(str(tree))
    for path in ("same.py", "gone.py"):
        assert index.handle(_demo.Read(path)) == os.getpid()
    assert index.summary()[1:] == (2, 2, 6, 1, 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--actors", "0"],
        ["--actors", "two"],
        ["--root", "/no/such/folder"],
        ["--root", __file__],
        ["--colour"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_get_a_usage_line(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("usage: python -m futures_actors ")
    assert arguments[-1] in done.stderr.splitlines()[-1]


def test_folder_without_python_gets_a_usage_line(tmp_path):
    done = run("--root", tmp_path)
    assert done.returncode == 2
    assert "no Python files below" in done.stderr


def test_ctrl_c_amid_the_reading_ends_all_processes_with_one_line():
    code, output, errors = interrupt([], gate="%  ")
    assert code == 130
    assert errors == "\nInterrupted: waiting messages cancelled, actors ended.\n"
    assert "100%" not in output


def test_ctrl_c_while_the_actors_start_ends_all_processes():
    code, output, errors = interrupt([], gate="future.cancel() is")
    assert code == 130
    # Not the whole of stderr: a child that has not come far yet may say that it was interrupted.
    assert errors.endswith("\nInterrupted: waiting messages cancelled, actors ended.\n")
    assert "%  " not in output


def test_ctrl_c_at_the_prompt_ends_all_processes_with_one_line(tree):
    code, _, errors = interrupt(["-i", "--root", tree], gate="Reading queries")
    assert code == 130
    assert errors == "\nInterrupted: waiting messages cancelled, actors ended.\n"


def test_reader_that_leaves_early_ends_the_demo_without_complaint(tree):
    demo = subprocess.Popen(
        [*DEMO, "--root", str(tree)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    demo.stdout.readline()
    demo.stdout.close()
    assert demo.wait(30) == 1
    assert demo.stderr.read() == b""
    demo.stderr.close()


def test_disagreement_is_reported_loudly(tree):
    # The command with one fault put in: what is asked again gets another answer.
    program = f"""if True:
        import sys
        from futures_actors import __main__
        from futures_actors._demo import index, show
        show.ARRAY_BYTES = 1 << 20
        search, asked = index.search, []
        def faulty(ask, query, limit):
            asked.append(query)
            found = search(ask, query, limit)
            return found._replace(hits=[]) if asked.count(query) > 1 else found
        index.search = faulty
        sys.exit(__main__.main(["--root", {str(tree)!r}]))
    """
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 1
    assert done.stderr == "FAULT: after the restart the answers differ to ['leap year']\n"


def test_where_there_are_no_process_actors_the_demo_says_so_in_one_line(tree):
    program = f"""if True:
        import sys, sysconfig
        from futures_actors import __main__
        sysconfig.get_path("stdlib")  # which reads the platform, too
        sys.platform = "emscripten"
        __main__.main(["--root", {str(tree)!r}, "read file"])
    """
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "process actors need" in line


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_demo_installs_the_package_and_nothing_else():
    ended = subprocess.run(
        ["make", "--dry-run", "--always-make", "demo"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    installs = [line for line in ended.stdout.splitlines() if "pip install" in line]
    assert len(installs) == 1
    assert installs[0].split()[-1] == "."
    assert "--quiet" in installs[0]
