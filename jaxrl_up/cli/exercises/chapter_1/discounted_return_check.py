"""The check of exercise 1.3, by `ops.discounted_returns`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.cli.exercises.exercise import Student, shown
from jaxrl_up.ops import discounted_returns

READING = 'lesson 01_key_concepts, "Return"; Sutton & Barto 2018, section 3.3, eq. 3.8'
HINTS = (
    "Write the sum out for three rewards. Which power of gamma does the first reward have?",
    "gamma ** jnp.arange(T) are the weights. For rewards [T, B] they have to be multiplied along the first axis.",
    "jnp.tensordot(gamma ** jnp.arange(len(rewards)), rewards, axes=1) sums over time only; a loop from the last "
    "reward to the first, total = reward + gamma * total, is as good.",
)
CASES = (
    ([2.0], 0.5),
    ([1.0, 3.0, 2.0], 0.5),
    ([1.0, 3.0, 2.0], 0.0),
    ([1.0, 3.0, 2.0], 1.0),
    ([[1.0, 3.0], [2.0, -1.0], [4.0, 0.0]], 0.5),
    ([[1.0, 3.0], [2.0, -1.0]], 0.5),
)


def check(student: Student) -> None:
    """One reward, several, discounts of 0 and 1, trajectories side by side, and jit. Raises `Wrong`."""
    for rewards, gamma in CASES:
        rewards = jnp.array(rewards)
        case = f"discounted_return of rewards {shown(rewards)} with gamma {gamma:g}"
        student.expect(case, student.discounted_return(rewards, gamma), right(rewards, gamma), mistakes(rewards, gamma))
    got = jax.jit(student.discounted_return)(rewards, 0.9)
    student.expect("the last case with gamma 0.9, by jit", got, right(rewards, 0.9), mistakes(rewards, 0.9))


def right(rewards: jax.Array, gamma: float) -> jax.Array:
    """The library's answer: the reward-to-go of the first step."""
    return discounted_returns(rewards, gamma * jnp.ones_like(rewards), jnp.ones_like(rewards))[0]


def mistakes(rewards: jax.Array, gamma: float) -> dict[str, np.ndarray]:
    """What typical mistakes give, by what is said then."""
    r = np.asarray(rewards, float)
    steps = np.arange(len(r))
    column = steps.reshape(-1, *[1] * (r.ndim - 1))
    weighted = gamma**column * r
    found = {
        "The first reward is discounted already: its weight is gamma^0 = 1.": gamma * weighted.sum(0),
        "The discount runs backwards: the last reward has the weight 1, it should be the first.": (
            gamma ** column[::-1] * r
        ).sum(0),
        "There is no discount in this: every reward has the weight 1.": r.sum(0),
        "The weights are gamma t: gamma to the power t was asked for.": (gamma * column * r).sum(0),
        "Every reward but the first is multiplied with gamma once: the powers grow with time.": (
            np.where(column > 0, gamma, 1.0) * r
        ).sum(0),
        "These are the terms of the sum: add them up over time.": weighted,
        "This is the reward-to-go of every step; the return is that of the first.": to_go(r, gamma),
        "This is the mean over time: the return is the sum.": weighted.mean(0),
        "This is multiplied with 1 - gamma, which makes it a mean: the return is the plain sum.": (
            (1 - gamma) * weighted.sum(0)
        ),
    }
    if r.ndim == 2:
        found["The trajectories are added up: sum over time (axis 0) only."] = weighted.sum()
        found["Time is the first axis; this takes the second for it."] = (gamma ** np.arange(r.shape[1]) * r).sum(1)
        if r.shape[0] == r.shape[1]:
            name = "The powers of gamma go along the second axis: give them the shape [T, 1]."
            found[name] = (gamma**steps * r).sum(0)
    return found


def to_go(rewards: np.ndarray, gamma: float) -> np.ndarray:
    """sum_{k >= t} gamma^(k - t) r_k, by a plain loop."""
    result = np.zeros_like(rewards)
    for t in range(len(rewards)):
        result[t] = sum(gamma ** (k - t) * rewards[k] for k in range(t, len(rewards)))
    return result
