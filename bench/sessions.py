"""Write docs/sessions.md: two sessions at the command line, as they went.

    python bench/sessions.py --out docs/sessions.md

A first session, and a researcher's with an environment, a network and an algorithm of one's own. Every command is run
in an empty directory, without a terminal, and its output is what the page shows; of long outputs the middle is left
out, where `...` stands. Exit code 1 if a command ends otherwise than it should. About five minutes on two cores.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

MOST = 24
"""Lines of an output that are shown."""

ENVIRONMENT = '''
import jax
import jax.numpy as jnp

from jaxrl_up import envs

START, TREASURE = 1, 8


def reset(key, params):
    return jnp.int32(START), jax.nn.one_hot(START, TREASURE + 1)


def step(key, place, action, params):
    """Left or right on a line: a little at its left end, more at its right one."""
    place = place + 2 * action - 1
    reward = jnp.where(place == 0, params["crumb"], jnp.where(place == TREASURE, 1.0, 0.0))
    terminated = (place == 0) | (place == TREASURE)
    return place, jax.nn.one_hot(place, TREASURE + 1), reward, terminated, jnp.bool_(False)


def make(crumb=0.1):
    spaces = envs.Box(0.0, 1.0, (TREASURE + 1,)), envs.Discrete(2)
    named = {"params": {"crumb": crumb}, "name": "treasure"}
    return envs.from_functions(reset, step, *spaces, max_steps=50, **named)
'''

NETWORK = """
import flax.linen as nn


class Net(nn.Module):
    width: int = 32

    @nn.compact
    def __call__(self, obs):
        return nn.tanh(nn.LayerNorm()(nn.Dense(self.width)(obs)))
"""

CHANGES = {
    """    values = q_values(config, env, learner.params["q"], obs)
    epsilon = exploration.epsilon(config, env_steps)
    return exploration.epsilon_greedy(values, epsilon, noise, mask_of(env.observation_space, obs)), memory
""": """    logits = q_values(config, env, learner.params["q"], obs) / config.temperature
    return ops.Categorical(logits, mask_of(env.observation_space, obs)).sample_with(noise[0]), memory
""",
    "noises = exploration.greedy_noise(": "noises = exploration.categorical_noise(",
    "    gamma: float": """    temperature: float = traced(0.1, 1e-6)
    '''of what explores, in units of Q'''
    gamma: float""",
}

FIRST = [
    ("Train, with everything as it comes but the length.", "train --total-steps 1e5 --name first"),
    ("What is there now?", "$ ls runs/first"),
    ("Fresh episodes of what was learned, and under a gravity it has never met.", "evaluate runs/first"),
    (None, "evaluate runs/first --env.gravity 30"),
    ("An episode as a picture that moves, and the curve with the seeds of another run beside it.", "watch runs/first"),
    (None, "train a2c --total-steps 1e5 --name second --no-progress"),
    (None, "plot runs/first runs/second --out both.png"),
    ("Longer, from where it was.", "resume runs/first --total-steps 1.5e5 --schedule-steps 1e5"),
    ("A slip of the fingers is one line, with what was meant.", "train --lr 3e-4 --total-steps 1e5", 2),
    (None, "train --env CartPole-v2", 2),
    ("And a run that is there is not written over.", "train --name first", 2),
]

RESEARCH = [
    ("Is the environment right? `--dry-run` builds and checks it, and says what a run would take.",
     "train dqn --env treasure.py:make --dry-run --seeds 4"),
    ("DQN as it is, on 4 seeds, with a network of one's own. The crumb is one step away, the treasure seven.",
     "train dqn --env treasure.py:make --network net.py:Net --total-steps 2e4 --seeds 4 --name dqn --num-evals 5"),
    ("The idea: explore by the values themselves (Boltzmann exploration). DQN as a file:", "eject dqn boltzmann.py"),
    ("Five lines of it are changed:", "DIFF"),
    ("The new field is an option at once.",
     "train --algo boltzmann.py --env treasure.py:make --network net.py:Net --total-steps 2e4 --seeds 4 --num-evals 5 "
     "--temperature 0.3 --name boltzmann"),
    ("Which temperature? Four, times four seeds, as one program.",
     "sweep --algo boltzmann.py --env treasure.py:make --network net.py:Net --total-steps 2e4 --seeds 4 --num-evals 5 "
     "--grid temperature=0.01,0.1,0.3,1 --directory runs/temperatures"),
    ("A run does not bring its code with it: what is one's own is imported where one names it, and only there.",
     "evaluate runs/boltzmann", 2),
    (None, "evaluate runs/boltzmann --algo boltzmann.py --env treasure.py:make --network net.py:Net --episodes 100"),
    ("How do the two compare?", "plot runs/dqn runs/boltzmann --group algorithm --out compared.png"),
]  # fmt: skip

PAGE = """\
# Two sessions

What the command line says, as it said it: `python bench/sessions.py` ran every line below in an empty directory, on two
cores, busy with other work, with its output in a file; on a terminal a bar stands in place of the lines of progress.
`...` stands for lines that were left out.

## A first session
{first}
## A researcher's session

Two files of one's own: an environment, `treasure.py`,

```python
{environment}
```

and a network, `net.py`:

```python
{network}
```
{research}"""


def main() -> None:
    """Run both sessions and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        first = "".join(said(place, *step) for step in FIRST)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "treasure.py").write_text(ENVIRONMENT.lstrip(), encoding="utf-8")
        (place / "net.py").write_text(NETWORK.lstrip(), encoding="utf-8")
        research = "".join(said(place, *step) for step in RESEARCH)
    texts = {"environment": ENVIRONMENT.strip(), "network": NETWORK.strip()}
    options.out.write_text(PAGE.format(first=first, research=research, **texts), encoding="utf-8")


def said(place: Path, why: str | None, command: str, code: int = 0) -> str:
    """What the page has of one command: why, the command, and what it said."""
    why = "" if why is None else f"\n{why}\n"
    if command == "DIFF":
        return f"{why}\n```diff\n{change(place)}\n```\n"
    words = shlex.split(command)
    words = words[1:] if words[0] == "$" else [sys.executable, "-m", "jaxrl_up", *words]
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run(
        words, cwd=place, env=environment, text=True, stdout=-1, stderr=subprocess.STDOUT, check=False
    )
    print(f"{done.returncode}  {command}", file=sys.stderr, flush=True)
    if done.returncode != code:
        raise SystemExit(f"{command} ended with {done.returncode}, not {code}:\n{done.stdout}")
    text = done.stdout.replace(f"{place.resolve()}/", "").replace(f"{place}/", "")
    lines = [line.rstrip() for line in text.splitlines() if not re.match(r"compiling .* \d+ s$", line)]
    if len(lines) > MOST:
        lines = [*lines[: MOST // 2], "...", *lines[-MOST // 2 :]]
    shown = command if command.startswith("$") else f"$ jaxrl-up {command}"
    return "\n".join([why, "```console", shown, *lines, "```", ""])


def change(place: Path) -> str:
    """Make the changes, and what `diff` says of them."""
    path = place / "boltzmann.py"
    before = path.read_text(encoding="utf-8")
    after = before
    for old, new in CHANGES.items():
        if after.count(old) != 1:
            raise SystemExit(f"the ejected script has {old!r} {after.count(old)} times, not once")
        after = after.replace(old, new)
    (place / "before.py").write_text(before, encoding="utf-8")
    path.write_text(after, encoding="utf-8")
    words = ["diff", "-U0", "before.py", "boltzmann.py"]
    lines = subprocess.run(words, cwd=place, text=True, stdout=-1, check=False).stdout.splitlines()[2:]
    return "\n".join(line for line in lines if not line.startswith("@@"))


if __name__ == "__main__":
    main()
