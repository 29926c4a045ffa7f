"""`jaxrl-up exercise`: from start to right, and files and calls of bad temper, each with one clear message."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxrl_up.cli import COMMANDS, exercises, main

ROOT = Path(__file__).parents[3]
FIRST = exercises.find("1.1")
SOLUTION = exercises.solution(FIRST)
LINES = SOLUTION.partition("    distance")  # the head of the function, and its body


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path / "a b")


def say(*words, code=0):
    """Run the command; what it must return is `code`."""
    assert main(["exercise", *words]) == code


@pytest.mark.thorough("3.2", "8.1")
@pytest.mark.parametrize("number", ["1.1", "3.2", "8.1"])
def test_from_start_to_right(number, capfd):
    """A gap, and a task that is wrong code; the states that `list` shows."""
    exercise = exercises.find(number)
    say("start", number)
    out, err = capfd.readouterr()
    file = Path("exercises", exercise.file)
    assert out == f"{file}\n"
    assert f"jaxrl-up exercise check {number}" in err
    assert state(number, capfd) == "started"
    say("check", number, code=1)
    out, err = capfd.readouterr()
    assert out.startswith(f"{number} not right yet.\n")
    assert "To read: " in out
    assert "Traceback" not in out + err
    say("solution", number)
    solved = capfd.readouterr().out
    assert "###" not in solved
    file.write_text(solved, encoding="utf-8")
    say("check", number)
    assert re.fullmatch(rf"{number} right: \d+ cases.\n", capfd.readouterr().out)
    assert state(number, capfd) == "right"
    say("start", number, code=2)
    assert "--force overwrites it" in capfd.readouterr().err
    assert file.read_text(encoding="utf-8") == solved
    say("start", "--force", number)
    assert file.read_text(encoding="utf-8") == exercises.task(exercise)
    assert state(number, capfd) == "started"


def state(number, capfd):
    """The last column of `list`."""
    capfd.readouterr()
    say("list")
    rows = {line.split()[0]: line.split()[-1] for line in capfd.readouterr().out.splitlines()}
    assert len(rows) == 1 + len(exercises.BOOK)
    return rows[number]


def test_an_answer_that_turns_wrong_is_open_again(monkeypatch, capfd):
    """And what a file prints is seen, on standard error; notes that cannot be read are no harm."""
    Path("exercises").mkdir()
    Path("json.py").write_text("raise SystemExit", encoding="utf-8")  # nobody reads that
    Path("exercises", ".progress.json").write_text('{"right": ["1.1"]}', encoding="utf-8")
    Path("exercises", FIRST.file).write_text("print('hello')\n", encoding="utf-8")
    assert state("1.1", capfd) == "right"
    say("check", f"exercises/{FIRST.file}", code=1)  # whose name says the number
    out, err = capfd.readouterr()
    assert "hello" in err and "hello" not in out
    assert "no function `log_likelihood`" in out
    assert state("1.1", capfd) == "started"
    for text in ("{", "[]", '{"right": 3}', "{}"):
        Path("exercises", ".progress.json").write_text(text, encoding="utf-8")
        assert state("1.1", capfd) == "started"


def test_hints_say_more_each_time(capsys):
    for which in (1, 2, 3):
        say("hint", "1.1", *[str(which)] * (which > 1))
        out, err = capsys.readouterr()
        assert out == f"hint {which} of 3: {exercises.check_of(FIRST).HINTS[which - 1]}\n"
        assert ("hint 1.1 2", "hint 1.1 3", "solution 1.1")[which - 1] in err


@pytest.mark.parametrize("words", [[], ["--help"], *[[action, "--help"] for action in ("list", "start", "check")]])
def test_help(words, capsys):
    say(*words)
    assert "usage: jaxrl-up exercise" in capsys.readouterr().out
    assert "exercise" in COMMANDS


CALLS = {
    "chek 1.1": "unknown action 'chek' of jaxrl-up exercise. Did you mean 'check'?",
    "check": "check needs the number of an exercise, as in `jaxrl-up exercise check 1.1`",
    "check 9.9": "there is no exercise 9.9; there are 1.1, 1.2",
    "start 1.1 --directory taken": "taken/1_1_gaussian_log_likelihood.py cannot be written",
    "start one": "unrecognized arguments: one",
    "check 1.1": "`jaxrl-up exercise start 1.1` writes exercises/1_1_gaussian_log_likelihood.py",
    "check 1.1 mine.py": "mine.py is not there",
    "check 1.1 --directory mine": "`jaxrl-up exercise start 1.1 --directory mine` writes",
    "check 1.1 .": ". is a directory",
    "hint 1.1 4": "hint 4: exercise 1.1 has hints 1 to 3",
    "hint 1.1 more": "'more' is not a whole number",
    "solution 1.7": "there is no exercise 1.7",
    "list --force": "has no option '--force'",
}


@pytest.mark.parametrize("words", CALLS)
def test_a_bad_call_is_one_line(words, capsys):
    Path("taken").write_text("", encoding="utf-8")
    say(*words.split(), code=2)
    out, err = capsys.readouterr()
    assert out == ""
    assert CALLS[words] in err
    assert err.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["taken"]


def body(text):
    """The solution with another body of its function."""
    return LINES[0] + text + "\n"


FILES = {
    "no return": (body("    distance = action - mean"), "`log_likelihood` returned None: did you forget `return`?"),
    "a list": (body("    return [[1.0, 2.0], [3.0]]"), "a list, where an array of numbers is asked for"),
    "text": (body("    return 'done'"), "came      'done', a str"),
    "renamed": (SOLUTION.replace("log_likelihood", "log_likelyhood"), "Did you mean 'log_likelyhood'?"),
    "no function any more": ("log_likelihood = 3.0\n", "`log_likelihood` should be a function; in your file it is 3.0"),
    "a name that is not there": (body("    return nmean"), "Line 25, `return nmean`: NameError: name 'nmean' is not"),
    "one argument less": (SOLUTION.replace(", log_std):", "):"), "Keep the arguments as the task has them"),
    "a bracket too few": (body("    return jnp.sum(("), "Python cannot read line"),
    "tabs among spaces": (body("    distance = action\n\treturn distance"), "Python cannot read line"),
    "sys.exit": (body("    raise SystemExit(0)"), "this ends the program. Take it out"),
    "sys.exit at the top": ("import sys\nsys.exit()\n", "Line 2, `sys.exit()`: this ends the program"),
    "an import of nothing": ("import jaxx\n", "Line 1, `import jaxx`: ModuleNotFoundError: No module named 'jaxx'"),
    "np without its import": (body("    return np.sum(action)"), "use jnp, which runs under jit too"),
    "not of an array": (body("    return action * (not (jnp.ones(3) > 0))"), "use jnp.where, ~, &, |"),
    "a shape that does not fit": (
        body("    return action + jnp.ones(7) + jnp.ones(2)"),
        "It was called with action [1], mean [1]",
    ),
    "a carry of another shape": (
        body("    return jax.lax.scan(lambda c, x: (c + mean, x), 0.0, action)[0]").replace(
            "import jax.numpy", "import jax\nimport jax.numpy"
        ),
        "but they differ: The input carry c has type float32[]",
    ),
    "in place": (body("    action[0] = 1.0"), "JAX arrays are immutable"),
    "without an end by recursion": (body("    return log_likelihood(action, mean, log_std)"), "RecursionError"),
    "a branch on a value": (
        SOLUTION.replace("    distance", "    if jnp.sum(action) > 0:\n        pass\n    distance"),
        "use jnp.where or jnp.maximum",
    ),
    "NumPy under jit": (
        SOLUTION.replace("jnp.exp", "np.exp").replace("import jax.numpy", "import numpy as np\nimport jax.numpy"),
        "NumPy cannot take an array under jit or vmap: use jnp in the place of np",
    ),
    "nan": (body("    return jnp.nan * jnp.sum(action, axis=-1)"), "Not all of it is finite"),
    "a column": (SOLUTION.replace("axis=-1)", "axis=-1, keepdims=True)"), "The last axis must go"),
    "another shape": (body("    return jnp.ones((2, 3))"), "The shape is [2, 3], it should be []"),
    "zero bytes": (SOLUTION + "\0", "null bytes"),
    "empty": ("", "Your file has no function `log_likelihood`"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_right_has_one_clear_message(name):
    text, said = FILES[name]
    Path("mine.py").write_text(text, encoding="utf-8")
    verdict = exercises.mark(FIRST, "mine.py")
    assert not verdict.right
    assert said in verdict.text, verdict.text
    assert "Traceback" not in verdict.text


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + SOLUTION,
        SOLUTION.replace("\n", "\r\n"),
        SOLUTION.replace("    ", "\t"),
        SOLUTION.replace("import jax.numpy as jnp", "import jax.numpy as jnp\nfrom jax.numpy import *"),
        SOLUTION + "\n\nif __name__ == '__main__':\n    raise SystemExit\n",
    ],
    ids=["byte order mark", "line ends of Windows", "tabs", "import *", "a main"],
)
def test_how_a_right_file_is_written_does_not_matter(text):
    Path("mine.py").write_bytes(text.encode())
    verdict = exercises.mark(FIRST, "mine.py")
    assert verdict.right, verdict.text


def test_plain_numbers_and_lists_count_as_arrays():
    Path("mine.py").write_text(
        "def discounted_return(rewards, gamma):\n    total = 0.0\n    for r in rewards[::-1]:\n"
        "        total = r + gamma * total\n    return total\n",
        encoding="utf-8",
    )
    assert exercises.mark(exercises.find("1.3"), "mine.py").right


def test_a_loop_without_an_end_is_stopped_and_named():
    Path("mine.py").write_text(body("    while True:\n        action = action"), encoding="utf-8")
    verdict = exercises.mark_apart(FIRST, "mine.py", seconds=0.5)
    assert not verdict.right
    assert re.search(r"stopped after 0.5 seconds, in line 2[56], `(while True:|action = action)`", verdict.text)


@pytest.mark.skipif(os.name != "posix", reason="processes are looked for by number")
def test_a_file_that_ends_its_process_leaves_none_behind():
    child = "import subprocess\nPopen = subprocess.Popen(['sleep', '60'])\nopen('child', 'w').write(str(Popen.pid))\n"
    Path("mine.py").write_text(child + "import os\nos._exit(0)\n", encoding="utf-8")
    verdict = exercises.mark_apart(FIRST, "mine.py")
    assert "The process that ran your file ended before its check did (exit code 0)" in verdict.text
    assert gone(int(Path("child").read_text()))


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.thorough)])
def test_the_process_apart_ends_with_the_one_that_asks(sent):
    """One that never ends by itself; the file says the number of its process."""
    Path("exercises").mkdir()
    endless = "import os\nopen('child', 'w').write(str(os.getpid()))\nwhile True:\n    pass\n"
    Path("exercises", FIRST.file).write_text(endless, encoding="utf-8")
    command = [sys.executable, "-m", "jaxrl_up", "exercise", "check", "1.1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (Path("child").exists() and Path("child").read_text()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    code, said = (130, "jaxrl-up: stopped by Ctrl-C") if sent == signal.SIGINT else (-9, "")
    assert (process.returncode, out, err.strip()) == (code, "", said)
    assert gone(int(Path("child").read_text()))


def gone(number):
    """Whether a process has ended, within seconds."""
    for _ in range(100):
        stat = Path(f"/proc/{number}/stat")
        try:
            os.kill(number, 0)
            if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_the_page_lists_the_exercises():
    page = (ROOT / "docs" / "exercises.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+\.\d+) \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    assert rows == [(exercise.number, exercise.title, exercise.about) for exercise in exercises.BOOK]
    assert "|" not in "".join(cell for row in rows for cell in row)  # it would begin another cell


def test_the_book_is_in_order_and_its_files_are_distinct():
    numbers = [exercise.number for exercise in exercises.BOOK]
    assert numbers == sorted(set(numbers), key=lambda number: [int(part) for part in number.split(".")])
    assert len({exercise.file for exercise in exercises.BOOK}) == len(numbers)
    assert {exercise.lesson for exercise in exercises.BOOK} <= set(exercises.LESSONS)
