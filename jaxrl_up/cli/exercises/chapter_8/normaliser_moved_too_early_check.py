"""The check of exercise 8.2, by `ops.normalize`, `ops.update_statistics` and `ops.surrogate_loss`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student, Wrong

READING = (
    'lesson 08_debugging, "The columns that tell"; docs/design.md; Schulman et al. 2017, arXiv:1707.06347, section 3; '
    "docs/algorithms/ppo.md"
)
HINTS = (
    "Print ratios[0] of `update`. It compares a policy with itself, so it is all 1, unless the observations that the "
    "two saw were not the same numbers. What do they depend on?",
    "Follow the statistics through `update`: batch.log_prob was written down with those that came in. When do they "
    "change, and what is `x` computed with?",
    "Two lines change places: first x = normalise(statistics, batch.obs), with the statistics that came in, then "
    "statistics = extended(statistics, batch.obs), for the policy of the next batch.",
)
WEIGHTS = ((0.5, -0.5), (0.2, 0.3))
COUNT, MEAN, VARIANCE = 4.0, (1.0, -1.0), (4.0, 1.0)
OBS, ACTION, ADVANTAGE = ((3.0, 0.0), (5.0, -2.0), (4.0, 1.0)), (0, 1, 0), (1.0, -0.5, 2.0)
RATE = 0.5


def check(student: Student) -> None:
    """The first ratios, the weights after a step and after two, the statistics, and the next batch. Raises `Wrong`."""
    learner, batch = begin(student)
    for steps in (1, 2):
        found = student.update(learner, batch, RATE, steps)
        if not isinstance(found, tuple) or len(found) != 2 or not hasattr(found[0], "weights"):
            raise Wrong("`update` is to return two things: the new Learner, and the ratios before each step.")
        after, ratios = found
        known = answers(steps)
        if np.shape(ratios) == (steps, 3):
            student.expect(
                f"ratios before the first of {steps} gradient step{'s' * (steps > 1)}, when nothing has been learned "
                f"yet",
                ratios[0],
                np.ones(3),
                {said: ratio[0] for said, (ratio, _) in known.items()},
            )
        said = {text: weights for text, (_, weights) in known.items()}
        expected_ratios, expected_weights = path(stale(), stale(), steps)
        student.expect(f"weights after {steps} steps at rate {RATE}", after.weights, expected_weights, said)
        student.expect(f"ratios before each of {steps} steps", ratios, expected_ratios)
        check_statistics(student, after.statistics)


def check_statistics(student: Student, statistics) -> None:
    """What the policy of the next batch sees through."""
    once, twice = fresh(), ops.update_statistics(fresh(), jnp.array(OBS))
    seen = ops.update_statistics(stale(), ops.normalize(stale(), jnp.array(OBS), jnp.inf))
    for name in ("count", "mean", "variance"):
        if not hasattr(statistics, name):
            raise Wrong(f"The learner's statistics are a {type(statistics).__name__} without `{name}`.")
        said = {
            "The statistics that came in go out again: the next batch is to be seen through those with this one "
            "in.": part(stale(), name),
            "This batch is in the statistics twice: add it once, not at every step.": part(twice, name),
            "The statistics are of observations that were normalised already: add those that the environment "
            "gave.": part(seen, name),
        }
        student.expect(f"{name} of the statistics after the update", getattr(statistics, name), part(once, name), said)


def begin(student: Student):
    """The learner before the update, and its batch."""
    statistics = student.Statistics(jnp.float32(COUNT), jnp.array(MEAN), jnp.array(VARIANCE))
    batch = student.Batch(jnp.array(OBS), jnp.array(ACTION), acted(), jnp.array(ADVANTAGE))
    return student.Learner(jnp.array(WEIGHTS), statistics), batch


@functools.cache
def stale() -> ops.RunningStatistics:
    """The statistics that the policy acted with."""
    return ops.RunningStatistics(jnp.float32(COUNT), jnp.array(MEAN), COUNT * jnp.array(VARIANCE))


@functools.cache
def fresh() -> ops.RunningStatistics:
    """Those with the batch in them."""
    return ops.update_statistics(stale(), jnp.array(OBS))


@functools.cache
def acted() -> jax.Array:
    """log pi(a | x) of the policy that acted."""
    return log_prob(jnp.array(WEIGHTS), stale())


def log_prob(weights: jax.Array, statistics: ops.RunningStatistics) -> jax.Array:
    """log pi(a | x) of the batch, seen through statistics."""
    x = ops.normalize(statistics, jnp.array(OBS), jnp.inf)
    return ops.Categorical(x @ weights).log_prob(jnp.array(ACTION))


def path(
    seen: ops.RunningStatistics, old: ops.RunningStatistics, steps: int, sign: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Ratios before each step, and the weights after them, for observations and old policy seen through statistics."""
    weights, before, ratios = jnp.array(WEIGHTS), log_prob(jnp.array(WEIGHTS), old), []

    def loss(weights: jax.Array) -> jax.Array:
        return ops.surrogate_loss(log_prob(weights, seen), before, jnp.array(ADVANTAGE))

    for _ in range(steps):
        ratios.append(jnp.exp(log_prob(weights, seen) - before))
        weights = weights - sign * RATE * jax.grad(loss)(weights)
    return np.stack(ratios), np.asarray(weights)


@functools.cache
def answers(steps: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Ratios and weights that typical mistakes give, by what is said then."""
    unseen = ops.init_statistics((2,))  # through which observations stay as they are
    alone = ops.update_statistics(unseen, jnp.array(OBS))
    return {
        "The bug is still there: the learner sees the batch through statistics that the batch has moved already, and "
        "compares with what was written down before.": path(fresh(), stale(), steps),
        "The ratios are 1, but of another policy: log_prob was computed anew, through the moved statistics. What acted "
        "is in batch.log_prob, and the learner is to see what it saw.": path(fresh(), fresh(), steps),
        "The learner sees observations as they are, without normalising them.": path(unseen, stale(), steps),
        "The learner sees the batch through the statistics of the batch alone.": path(alone, stale(), steps),
        "The weights have moved the wrong way: the loss goes up.": path(stale(), stale(), steps, -1.0),
        "The weights have not moved.": path(stale(), stale(), steps, 0.0),
    }


def part(statistics: ops.RunningStatistics, name: str) -> np.ndarray:
    """Count, mean or variance."""
    if name == "variance":
        return np.asarray(statistics.m2 / statistics.count)
    return np.asarray(getattr(statistics, name))
