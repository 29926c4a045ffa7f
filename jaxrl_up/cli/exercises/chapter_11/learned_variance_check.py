"""The check of exercise 11.2, by `ops.DiagonalGaussian`."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student

READING = (
    'lesson 11_planning_and_models, "What the model does not know"; docs/algorithms/pets.md, "Key equations"; Chua et '
    "al. 2018, arXiv:1805.12114, section 4"
)
HINTS = (
    "Write the two terms as arrays [B, K] first, and look at one row by hand: error 2 and sigma^2 = 4 gives "
    "1/2 (4 / 4 + log 4).",
    "log_variance is log sigma^2: dividing by sigma^2 is multiplying by exp(-log_variance), and log sigma^2 is "
    "log_variance itself. Both terms stand behind the 1/2.",
    "jnp.mean(jnp.sum(0.5 * (square * jnp.exp(-log_variance) + log_variance), axis=-1)): sum over the last axis, mean "
    "over what is left, nothing stopped.",
)
ROWS = "four rows of two numbers"
CASES = {  # first the one that tells most mistakes apart
    ROWS: (
        [[1.0, 0.0], [-2.0, 1.0], [0.5, 0.5], [3.0, -1.0]],
        [[0.6, -1.0], [0.3, 2.0], [-0.4, 0.2], [-3.0, 1.2]],
        [[3.0, 0.5], [-1.0, 4.0], [0.0, 1.0], [2.5, 0.0]],
    ),
    "one number, exactly predicted": ([[1.0]], [[1.0]], [[1.0]]),
    "one number": ([[1.0]], [[0.6]], [[3.0]]),
    "one row of three numbers": ([[1.0, 0.0, -2.0]], [[0.6, -1.0, 0.3]], [[3.0, 0.5, -1.0]]),
}


def check(student: Student) -> None:
    """One number, a row, rows; the gradients of both inputs, and jit. Raises `Wrong`."""
    for case, numbers in CASES.items():
        given = [jnp.array(x) for x in numbers]
        asked = f"{case}: mean {numbers[0]}, log_variance {numbers[1]}, target {numbers[2]}" if (
            len(numbers[0]) == 1
        ) else case  # fmt: skip
        student.expect(asked, student.model_loss(*given), right(*given), mistakes(*(np.array(x) for x in numbers)))
    given = [jnp.array(x) for x in CASES[ROWS]]
    log_variance = given[1]
    for number, name in enumerate(("mean", "log_variance")):
        came = jax.grad(student.model_loss, argnums=number)(*given)
        expected = np.asarray(jax.grad(right, argnums=number)(*given))
        weight = np.exp(np.asarray(log_variance))
        student.expect(
            f"gradient of the loss of four rows with respect to {name}",
            came,
            expected,
            {
                f"No gradient reaches {name}: nothing is to be stopped.": np.zeros_like(expected),
                "The variance in the first term is stopped: a gradient flows through it as well.": np.full_like(
                    expected, 0.5 / len(expected)
                ),
                "The second term is stopped: a gradient flows through it as well.": expected - 0.5 / len(expected),
                "The gradient counts sigma^(2 beta) times, beta 1/2, as in beta-NLL: here it is the plain one.": (
                    expected * weight**0.5
                ),
                "The gradient counts sigma^2 times: here it is the plain one.": expected * weight,
            },
        )
    student.expect("four rows, under jit", jax.jit(student.model_loss)(*given), right(*given))


def right(mean: jax.Array, log_variance: jax.Array, target: jax.Array) -> jax.Array:
    """What the library says, without the constant."""
    log_prob = ops.DiagonalGaussian(mean, 0.5 * log_variance).log_prob(target)
    return -jnp.mean(log_prob) - 0.5 * mean.shape[-1] * math.log(2.0 * math.pi)


def mistakes(mean: np.ndarray, log_variance: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """What typical mistakes give, by what is said then."""
    square, constant = (target - mean) ** 2, math.log(2.0 * math.pi)
    first, rows, width = square * np.exp(-log_variance), *mean.shape
    with np.errstate(all="ignore"):
        inverted = np.divide(square, log_variance)
    each = {
        "log_variance is taken for log sigma: it is log sigma^2.": (
            0.5 * square * np.exp(-2.0 * log_variance) + log_variance
        ),
        "log_variance is taken for log sigma in the first term: exp(-log_variance) is 1 / sigma^2 already.": (
            0.5 * (square * np.exp(-2.0 * log_variance) + log_variance)
        ),
        "The error is divided by sigma, where it should be by sigma^2.": (
            0.5 * (square * np.exp(-0.5 * log_variance) + log_variance)
        ),
        "The error is multiplied by the variance: it is divided by it, exp(-log_variance).": (
            0.5 * (square * np.exp(log_variance) + log_variance)
        ),
        "The error is divided by log_variance: that is a logarithm, the variance is its exp.": (
            0.5 * (inverted + log_variance)
        ),
        "The factor 1/2 is missing.": first + log_variance,
        "The second term has lost its 1/2: both terms stand behind it.": 0.5 * first + log_variance,
        "The first term has lost its 1/2: both terms stand behind it.": first + 0.5 * log_variance,
        "The second term is missing: without it an infinite variance is best.": 0.5 * first,
        "The second term has the wrong sign: a large variance has to cost.": 0.5 * (first - log_variance),
        "The second term is the variance: it is its logarithm.": 0.5 * (first + np.exp(log_variance)),
        "The errors are not squared.": 0.5 * (np.abs(target - mean) * np.exp(-log_variance) + log_variance),
        "This is half the squared error alone: the variance is not read.": 0.5 * square,
        "The constant log(2 pi) / 2 is there for each number: the task leaves it out.": (
            0.5 * (first + log_variance + constant)
        ),
    }
    found = {said: float(np.mean(np.sum(x, axis=-1))) for said, x in each.items()}
    exact = 0.5 * (first + log_variance)
    return found | {
        "This is the mean over the K numbers of a row as well: sum over them, mean over rows.": exact.mean(),
        "This is the sum over rows as well: take the mean over them.": exact.sum(),
        "This is the sum over rows and the mean over the numbers of each: it is the other way round.": (
            exact.sum() / width
        ),
        "This is the log-likelihood: the loss is minus that.": -exact.sum() / rows,
        "The loss of each row is there: take the mean over rows.": exact.sum(-1),
        "Neither the sum over numbers nor the mean over rows is taken.": exact,
        "The loss of each number is there: sum over the numbers of a row, axis -1, not over rows.": exact.mean(0),
        "The constant is there once for all rows: the task leaves it out.": exact.sum() / rows + 0.5 * constant,
    }
