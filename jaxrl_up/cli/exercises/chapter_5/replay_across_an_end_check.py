"""The check of exercise 5.3, by `ops.td_target`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student, Wrong

READING = (
    'lesson 05_q_learning_to_dqn, "DQN: replay and a target network"; lesson 04_value_fitting, "Where the bootstrap '
    'ends"; docs/environments.md; Pardo et al. 2018, arXiv:1712.00378, section 3'
)
HINTS = (
    "Write down by hand what belongs into the replay for a step that a time limit cut: where did it lead to, and does "
    "something come after it? Then print what `add` writes.",
    "`step.obs` is what the agent sees next, and after an end that is another episode. And two kinds of ends are put "
    "together as one: only one of them means that nothing follows.",
    "next_obs = step.next_obs, and ended = step.terminated alone.",
)
GAMMA = 0.5


class Row(NamedTuple):
    """One step on a line, where the observation is the place."""

    obs: float
    action: int
    reward: float
    next_obs: float
    terminated: bool = False
    truncated: bool = False
    reset: float = 2.0  # the first observation after an end


ALL = "a time limit, a termination, both at once, and a step inside"
WALKS = {  # first the one that tells most mistakes apart
    "two steps inside an episode": (Row(2, 1, 1.0, 3), Row(3, 0, 2.0, 4)),
    ALL: (
        Row(2, 1, 1.0, 3, truncated=True, reset=1.0),
        Row(1, 0, 2.0, 2, terminated=True, reset=5.0),
        Row(5, 1, 4.0, 6, terminated=True, truncated=True, reset=7.0),
        Row(7, 1, 4.0, 8),
    ),
    "a step, and one that terminated": (Row(4, 1, 1.0, 5), Row(5, 1, 2.0, 6, terminated=True)),
    "a step, and one that a time limit cut": (Row(6, 0, 1.0, 7), Row(7, 1, 3.0, 8, truncated=True)),
}


def check(student: Student) -> None:
    """Both kinds of ends, what else is written, a ring that is full, and jit. Raises `Wrong`."""
    for case, walk in WALKS.items():
        replay = fill(student, student.add, walk, len(walk))
        came = student.targets(replay, value, GAMMA)
        asked = f"{case}: targets r + gamma V(next_obs), V(x) = 10 x, gamma {GAMMA}, after {steps(walk)}"
        student.expect(asked, came, right(walk), mistakes(walk))
        for name in ("obs", "action", "reward"):
            expected = np.array([getattr(row, name) for row in walk], float)
            student.expect(f"{case}: {name} of the replay", np.reshape(_part(replay, name), -1), expected)
    walk = WALKS[ALL][:3]
    replay = fill(student, jax.jit(student.add), walk, 2)
    new = (walk[2], walk[1])
    came = student.targets(replay, value, GAMMA)
    over = {"With capacity 2 the third step overwrites the first: row = written % capacity.": right(walk[:2])}
    student.expect("three steps in a replay of two, under jit: targets", came, right(new), {**over, **mistakes(new)})
    student.expect("three steps in a replay of two: written", _part(replay, "written"), 3)


def fill(student: Student, add, walk: tuple[Row, ...], capacity: int):
    """The replay that these steps were added to."""
    replay = student.empty(capacity, 1)
    for row in walk:
        ended = row.terminated or row.truncated
        seen = jnp.array([row.reset if ended else row.next_obs])
        flags = jnp.array(row.terminated), jnp.array(row.truncated)
        step = student.Step(seen, jnp.array([float(row.next_obs)]), jnp.float32(row.reward), *flags)
        replay = add(replay, jnp.array([float(row.obs)]), jnp.int32(row.action), step)
    return replay


def steps(walk: tuple[Row, ...]) -> str:
    """The steps in words."""
    said = []
    for row in walk:
        ends = [name for name in ("terminated", "truncated") if getattr(row, name)]
        then = f" ({' and '.join(ends)}; then the reset shows {row.reset:g})" if ends else ""
        said.append(f"{row.obs:g} -> {row.next_obs:g}, r = {row.reward:g}{then}")
    return "; ".join(said)


def value(obs: jax.Array) -> jax.Array:
    """V(x) = 10 x, of the numbers of an observation."""
    return 10.0 * obs[..., 0]


def right(walk: tuple[Row, ...]) -> np.ndarray:
    """What the library says."""
    reward, next_obs, terminated = (jnp.array([getattr(row, x) for row in walk]) for x in Row._fields[2:5])
    return np.asarray(ops.td_target(reward.astype(float), GAMMA * (1.0 - terminated), 10.0 * next_obs))


def mistakes(walk: tuple[Row, ...]) -> dict[str, np.ndarray]:
    """What typical mistakes give, by what is said then."""
    rows = {name: np.array([getattr(row, name) for row in walk]) for name in Row._fields}
    terminated, truncated, reward = rows["terminated"], rows["truncated"], rows["reward"]
    true, done = rows["next_obs"], terminated | truncated
    seen = np.where(done, rows["reset"], true)

    def targets(successor: np.ndarray, ended: np.ndarray) -> np.ndarray:
        return reward + GAMMA * np.where(ended, 0.0, 10.0 * successor)

    return {
        "A time limit counts as an end behind which nothing comes: `ended` is to say that no value follows, and behind "
        "a time limit one does. (What `next_obs` holds is not read then: look at it as well.)": targets(true, done),
        "The episodes are stitched together: the row of a step that a time limit cut holds the first observation of "
        "the next episode, and not the one that the step led to. (`ended` is right now.)": targets(seen, terminated),
        "A value follows a step that terminated, and it is that of the next episode.": targets(
            seen, np.zeros_like(done)
        ),
        "A value follows a step that terminated: `ended` is to be true there.": targets(true, np.zeros_like(done)),
        "`ended` is true where a time limit cut the episode and not where it terminated: the other way round.": targets(
            true, truncated & ~terminated
        ),
        "`ended` is true only where both ends came together.": targets(true, terminated & truncated),
        "next_obs holds the observation that the step started from.": targets(rows["obs"], terminated),
        "A step that terminated at its time limit terminated: nothing follows.": targets(true, terminated & ~truncated),
        "No value follows any step.": targets(true, np.ones_like(done)),
    }


def _part(replay, name: str):
    if not hasattr(replay, name):
        raise Wrong(f"`add` returned a {type(replay).__name__} without `{name}`: it is to return a Replay.")
    return getattr(replay, name)
