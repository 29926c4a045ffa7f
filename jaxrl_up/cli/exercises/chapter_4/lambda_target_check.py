"""The check of exercise 4.2, by `ops.lambda_returns`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student

READING = 'lesson 04_value_fitting, "All k at once: TD(lambda)"; Sutton & Barto 2018, section 12.1 and eq. 12.18'
HINTS = (
    "Choose V such that V(s_t) = r_t + gamma V(s_{t+1}) in every row. Then all targets, of whatever lambda, are V "
    "itself. Three rows with rewards of 1 and gamma 1 do: V = 3, 2, 1, and last_value 0. What do you get?",
    "Set lambda to 0: the target of row t should be r_t + gamma V(s_{t+1}). Which row of `values` is V(s_{t+1})?",
    "`rows` pairs r_t with V(s_t). Pair it with V of the next row: values[1:], and behind the last one last_value.",
)
EXACT = ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (3.0, 2.0, 1.0), 0.0)  # V solves V(s) = r + V(s')
USUAL = ((1.0, 2.0, 3.0, 4.0), (0.5, 0.5, 0.5, 0.5), (8.0, 6.0, 4.0, 2.0), 16.0)
ENDED = ((1.0, 2.0, 3.0, 4.0), (0.5, 0.0, 0.5, 0.5), (8.0, 6.0, 4.0, 2.0), 16.0)


def check(student: Student) -> None:
    """An exact V, lambda 0, 1 and between, an end within, and vmap over lambda. Raises `Wrong`."""
    cases = {
        "V exact, so that all targets are V, lambda 0.5": (EXACT, 0.5),
        "lambda 0, the target of one step": (USUAL, 0.0),
        "lambda 1, the rewards to the end and V there": (USUAL, 1.0),
        "lambda 0.75": (USUAL, 0.75),
        "row 1 terminated, lambda 0.75": (ENDED, 0.75),
    }
    for case, (numbers, lam) in cases.items():
        asked = "{}: rewards {}, discount {}, values {}, last_value {}".format(case, *(_plain(x) for x in numbers))
        student.expect(
            asked, student.lambda_targets(*_arrays(numbers), lam), right(numbers, lam), mistakes(numbers, lam)
        )
    lams = (0.25, 0.5)
    came = jax.vmap(student.lambda_targets, in_axes=(None, None, None, None, 0))(*_arrays(USUAL), jnp.array(lams))
    student.expect("lambda 0.25 and 0.5 by vmap", came, np.stack([right(USUAL, lam) for lam in lams]))


def right(numbers: tuple, lam: float) -> np.ndarray:
    """What the library says."""
    rewards, discount, values, last_value = _arrays(numbers)
    next_values = jnp.append(values[1:], last_value)
    return np.asarray(ops.lambda_returns(rewards, discount, jnp.full_like(rewards, lam), next_values))


def mistakes(numbers: tuple, lam: float) -> dict[str, np.ndarray]:
    """What typical mistakes give, by what is said then."""
    rewards, discount, values, last = (np.array(x, float) for x in numbers)
    after = np.append(values[1:], last)

    def recursion(next_values: Any, start: Any = last, lam: float = lam, discount: Any = discount) -> np.ndarray:
        later, found = start, []
        for reward, gamma, value in list(zip(rewards, discount, next_values, strict=True))[::-1]:
            later = reward + gamma * ((1.0 - lam) * value + lam * later)
            found.append(later)
        return np.array(found[::-1])

    return {
        "The bug is still there: row t bootstraps from V(s_t), where the step came from, and not from V(s_{t+1}), "
        "where it led to.": recursion(values),
        "Now row t bootstraps from V(s_{t-1}): the values have been moved the other way.": recursion(
            np.append(values[0], values[:-1])
        ),
        "The last row bootstraps from V(s_0): jnp.roll turns around. Behind the last row comes last_value.": recursion(
            np.roll(values, -1)
        ),
        "The last row bootstraps from 0 where it should from last_value.": recursion(np.append(values[1:], 0.0)),
        "The last row bootstraps from its own V(s_t) where it should from last_value.": recursion(
            np.append(values[1:], values[-1])
        ),
        "The values are moved by two rows: V(s_{t+2}).": recursion(np.append(values[2:], [last, last])),
        "The recursion begins with 0: G_T = V(s_T), which is last_value.": recursion(after, start=0.0),
        "lambda and 1 - lambda have changed places.": recursion(after, lam=1.0 - lam),
        "These are advantages: V(s_t) has been taken off. Targets are what V is fitted to.": recursion(after) - values,
        "The discount is moved by a row: gamma_t, 0 where row t terminated, belongs to the step out of row "
        "t.": recursion(after, discount=np.append(discount[1:], discount[-1])),
        "The rows are in reverse order.": recursion(after)[::-1],
    }


def _arrays(numbers: tuple) -> list[jax.Array]:
    return [jnp.array(x, jnp.float32) for x in numbers]


def _plain(x: tuple | float) -> str:
    return str(list(x)) if isinstance(x, tuple) else str(x)
