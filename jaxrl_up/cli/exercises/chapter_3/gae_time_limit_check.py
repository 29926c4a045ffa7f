"""The check of exercise 3.3, by `ops.gae`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.cli.exercises.exercise import Student
from jaxrl_up.ops import gae

READING = (
    'lesson 03_policy_optimisation, "The forms of Phi_t"; Schulman et al. 2016 (arXiv 1506.02438), eq. 16; '
    "Pardo et al. 2018 (arXiv 1712.00378) on time limits"
)
HINTS = (
    "Two questions for each step, with two answers: does V(s'_t) count, and does A_{t+1} belong to this episode?",
    "V(s'_t) is multiplied with 1 - terminated; A_{t+1} with 1 - done, where done is terminated or truncated.",
    "deltas = rewards + gamma * (1 - terminated) * next_values - values; then backwards, A = delta + gamma * lam * "
    "(1 - done) * A, by jax.lax.scan with reverse=True.",
)
REWARDS, VALUES, NEXT = [1.0, 2.0, 3.0, 4.0], [0.5, 1.0, 2.0, 3.0], [1.0, 2.5, 3.0, 5.0]
ENDS = {  # terminated, truncated
    "no end": ([0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]),
    "step 1 terminated": ([0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]),
    "step 1 truncated by a time limit": ([0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]),
    "step 1 truncated, step 3 terminated": ([0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]),
    "step 1 both at once": ([0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]),
}


def check(student: Student) -> None:
    """Every kind of end, two environments side by side, and jit. Raises `Wrong`."""
    arrays = [jnp.array(x) for x in (REWARDS, VALUES, NEXT)]
    about = f"rewards {REWARDS}, values {VALUES}, next_values {NEXT}, gamma 0.5, lam 0.5"
    for case, ends in ENDS.items():
        terminated, truncated = (jnp.array(x) for x in ends)
        got = student.advantages(*arrays, terminated, truncated, 0.5, 0.5)
        student.expect(f"{case}; {about}", got, right(*arrays, terminated, truncated), mistakes(*arrays, *ends))
    wide = [jnp.stack([x, 2 * x], axis=1) for x in arrays]
    ends = [jnp.array(x).T for x in zip(ENDS["step 1 terminated"], ENDS["no end"], strict=True)]
    got = jax.jit(student.advantages)(*wide, *ends, 0.5, 0.5)
    student.expect("two environments side by side [T, 2], by jit", got, right(*wide, *ends), mistakes(*wide, *ends))


def right(*arrays: jax.Array) -> jax.Array:
    """The library's answer with gamma = lambda = 0.5."""
    rewards, values, next_values, terminated, truncated = arrays
    trace = 0.5 * (1 - jnp.maximum(terminated, truncated))
    return gae(rewards, 0.5 * (1 - terminated), trace, values, next_values)


def mistakes(*arrays: Any) -> dict[str, np.ndarray]:
    """What typical mistakes give, by what is said then."""
    gamma = lam = 0.5
    r, v, n, term, trunc = (np.asarray(x, float) for x in arrays)
    done = np.maximum(term, trunc)
    shifted = np.concatenate([v[1:], n[-1:]])
    deltas = r + gamma * (1 - term) * n - v
    answer = backwards(deltas, gamma * lam * (1 - done))
    return {
        "A time limit is taken for a termination: V(s'_t) counts where an episode was only truncated.": (
            backwards(r + gamma * (1 - done) * n - v, gamma * lam * (1 - done))
        ),
        "The sum runs on through the time limit, into another episode: A_{t+1} does not belong to this one.": (
            backwards(deltas, gamma * lam * (1 - term))
        ),
        "The sum runs on through all ends of episodes: A_{t+1} does not belong to this one.": (
            backwards(deltas, gamma * lam + 0 * done)
        ),
        "V(s'_t) is counted after a termination: nothing is paid there any more.": (
            backwards(r + gamma * n - v, gamma * lam * (1 - done))
        ),
        "V(s_{t+1}) is taken for V(s'_t): after an end that is the first state of the next episode.": (
            backwards(r + gamma * (1 - term) * shifted - v, gamma * lam * (1 - done))
        ),
        "lambda is left out of the sum.": backwards(deltas, gamma * (1 - done)),
        "gamma is left out of the sum, which goes by gamma lambda.": backwards(deltas, lam * (1 - done)),
        "gamma is left out of delta.": backwards(r + (1 - term) * n - v, gamma * lam * (1 - done)),
        "This is A + V, what a value function is fitted to: leave V out.": answer + v,
        "V(s_t) is not subtracted in delta.": backwards(deltas + v, gamma * lam * (1 - done)),
        "These are the deltas: their sum backwards is missing.": deltas,
        "The sum runs forwards: A_t holds what follows.": backwards(deltas[::-1], gamma * lam * (1 - done[::-1]))[::-1],
        "The sign of delta is turned.": -answer,
    }


def backwards(deltas: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """delta_t + decay_t A_{t+1}, by a plain loop."""
    result, following = np.zeros_like(deltas), np.zeros_like(deltas[0])
    for t in reversed(range(len(deltas))):
        result[t] = following = deltas[t] + decay[t] * following
    return result
