"""Options as people type them: other spellings that are taken, and what is said of those that are not."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Sequence

NUMBER = re.compile(r"\d+")
LIST = re.compile(r"\d+(,\d*)*")

EXAMPLES = {
    "ALGO": "ppo",
    "FILE": "policy.bin",
    "FILE.py": "my_ppo.py",
    "RUN|ENV": "pgx/connect_four?opponent=minimax&depth=4",
}
"""What to give for a word of a command, by its name in the command's help."""


def spell_seeds(arguments: Sequence[str]) -> list[str]:
    """`--seed 3` as `--seeds 3,`, which is seed 3 alone; numbers behind one another, `--seed 0 10 20`, as a list."""
    result: list[str] = []
    words = list(arguments)
    while words:
        name, equals, value = words.pop(0).partition("=")
        if name not in ("--seed", "--seeds"):
            result.append(name + equals + value)
            continue
        given = [value] if equals else words[:1]
        del words[: 0 if equals else 1]
        while given and LIST.fullmatch(given[-1]) and words and NUMBER.fullmatch(words[0]):
            given.append(words.pop(0))
        text = ",".join(given)
        result += ["--seeds", f"{text}," if name == "--seed" and NUMBER.fullmatch(text) else text][: 1 + bool(given)]
    return result


def unknown_command(word: str, rest: Sequence[str], commands: Iterable[str]) -> str:
    """What is said of a first word that is no command: what was meant, or where it belongs."""
    from jaxrl_up import envs
    from jaxrl_up.algorithms import ALGORITHMS
    from jaxrl_up.config import did_you_mean
    from jaxrl_up.records import command

    if word.startswith("-"):
        if difflib.get_close_matches(word, ["--version"], 1, 0.7):
            return f"unknown option {word!r}. Did you mean '--version'?"
        return f"unknown option {word!r}: a command comes before options, as `{command('train', word, *rest)}`."
    words = (word,) if word.lower() in ALGORITHMS else ("--env", word) if envs.is_name(word) else ()
    meant = f" Did you mean `{command('train', *words, *rest)}`?" if words else did_you_mean(word, commands)
    return f"unknown command {word!r}.{meant}"


def with_words(missing: Sequence[str], arguments: Sequence[str]) -> str:
    """`: a command line` with words that it lacks, by their names in its help, the newest run among them."""
    from jaxrl_up.records import RUNS, SWEEP, command, newest_run, own_options, read_config

    run, own = None, []
    if {"RUN", "DIR"} & {*missing}:
        run = newest_run(sweeps="DIR" in missing)
        if run is None:
            return f"; there is none in {RUNS} yet: `jaxrl-up train` makes one"
        with contextlib.suppress(ValueError, OSError):  # of a file that cannot be read the command says so
            own = own_options(read_config(next(run.glob(SWEEP), run)))
    words = [EXAMPLES.get(name, run) for name in missing]
    return f": {command(*arguments, *words, *([] if {*own} & {*arguments} else own))}"


def unknown_option(prog: str, given: str, known: Sequence[str]) -> str:
    """What is said of an option that is not there, and which was meant."""
    from jaxrl_up.config import did_you_mean, elsewhere

    others = [name for name in known if name != "--help"]
    name = given.replace("_", "-")
    return f"{prog} has no option {given!r}.{elsewhere(name) or did_you_mean(name, others)}"


def unknown_words(words: str, known: Sequence[str]) -> str:
    """What is said of words that are no options, as an environment without `--env`."""
    from jaxrl_up import envs

    meant = next((f"--env {word}" for word in words.split() if "--env" in known and envs.is_name(word)), "")
    if not meant and re.match(r"[a-z]\w*=", words):
        meant = f"--{words.split()[0]}"
    return f"unrecognized arguments: {words}{meant and f'. Did you mean {meant}?'}"
