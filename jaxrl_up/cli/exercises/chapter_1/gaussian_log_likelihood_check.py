"""The check of exercise 1.1, by `ops.DiagonalGaussian`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.cli.exercises.exercise import Student, shown
from jaxrl_up.ops import DiagonalGaussian

READING = (
    'lesson 01_key_concepts, "Diagonal Gaussian: continuous actions"; Sutton & Barto 2018, section 13.7, eq. 13.19'
)
HINTS = (
    "Begin with D = 1: the logarithm of the density of a normal number, exp(-((a - mean) / std)^2 / 2) / (std "
    "sqrt(2 pi)). Three terms: which of them depend on the action?",
    "Independent numbers have a density that is a product, so logarithms add up: compute an array [..., D] of three "
    "terms, and sum its last axis. log_std is the logarithm already.",
    "distance = (action - mean) / jnp.exp(log_std); then jnp.sum over axis=-1 of -distance^2 / 2 - log_std - log(2 pi) "
    "/ 2.",
)
CASES = {
    "one number, at its mean": ([0.0], [0.0], [0.5]),
    "one number, off its mean": ([1.5], [0.5], [0.7]),
    "two numbers": ([0.3, -0.2], [0.0, 0.4], [-0.5, 0.2]),
    "a batch of two actions": ([[0.3, -0.2], [1.0, 2.0]], [[0.0, 0.4], [0.5, 1.0]], [-0.5, 0.2]),
    "a batch, log_std of each": ([[0.3, -0.2], [1.0, 2.0]], [[0.0, 0.4], [0.5, 1.0]], [[-0.5, 0.2], [0.1, -0.3]]),
}


def check(student: Student) -> None:
    """Single actions, batches, and both under vmap and jit. Raises `Wrong`."""
    for case, arrays in CASES.items():
        action, mean, log_std = (jnp.array(x) for x in arrays)
        got = student.log_likelihood(action, mean, log_std)
        expected = DiagonalGaussian(mean, log_std).log_prob(action)
        asked = f"action {shown(action)}, mean {shown(mean)}, log_std {shown(log_std)}" if mean.ndim == 1 else ""
        student.expect(f"{case}{': ' * bool(asked)}{asked}", got, expected, mistakes(action, mean, log_std))
    together = jax.jit(jax.vmap(student.log_likelihood, in_axes=(0, 0, None)))(action, mean, log_std[0])
    expected = DiagonalGaussian(mean, log_std[0]).log_prob(action)
    student.expect("the batch by jit and vmap", together, expected, mistakes(action, mean, log_std[0]))


def mistakes(action: jax.Array, mean: jax.Array, log_std: jax.Array) -> dict[str, np.ndarray]:
    """What typical mistakes give, by what is said then."""
    a, m, s = (np.asarray(x, float) for x in (action, mean, log_std))
    s = np.broadcast_to(s, m.shape)
    half, constant = 0.5 * ((a - m) / np.exp(s)) ** 2, 0.5 * np.log(2 * np.pi)
    terms = -half - s - constant
    return {
        "The last axis must go: sum over the numbers of an action (axis=-1).": terms,
        "This is the sum over the batch too: sum over the last axis only (axis=-1).": terms.sum(),
        "This is the mean over the numbers of an action; independent log-densities add up.": terms.mean(-1),
        "This is summed over the batch: the numbers of an action are the last axis.": terms.sum(0),
        "The constant log(2 pi) / 2 is left out.": (-half - s).sum(-1),
        "The constant log(2 pi) / 2 is there once; each of the D numbers has it.": (-half - s).sum(-1) - constant,
        "The constant is log(2 pi) where it should be half of it.": (terms - constant).sum(-1),
        "The sign is turned: this is the negative log-likelihood.": -terms.sum(-1),
        "This is the density; its logarithm was asked for.": np.exp(terms.sum(-1)),
        "log_std is a logarithm: the standard deviation is exp(log_std).": (
            -0.5 * ((a - m) / s) ** 2 - s - constant
        ).sum(-1),
        "log_std is the logarithm already: this takes it for the standard deviation.": _with_std(a, m, s),
        "The distance is divided by the variance exp(2 log_std) before it is squared.": (
            -0.5 * ((a - m) / np.exp(2 * s)) ** 2 - s - constant
        ).sum(-1),
        "The squared distance is divided by the standard deviation, where it should be the variance.": (
            -0.5 * (a - m) ** 2 / np.exp(s) - s - constant
        ).sum(-1),
        "The factor 1/2 of the squared distance is left out.": (terms - half).sum(-1),
        "The term -log_std is left out: a density that is wider is lower.": (terms + s).sum(-1),
        "The term log_std has the wrong sign: a density that is wider is lower.": (terms + 2 * s).sum(-1),
        "log_std is taken for the logarithm of the variance.": (
            -0.5 * (a - m) ** 2 / np.exp(s) - 0.5 * s - constant
        ).sum(-1),
    }


def _with_std(a: np.ndarray, m: np.ndarray, s: np.ndarray) -> np.ndarray:
    """As if log_std were the standard deviation."""
    with np.errstate(all="ignore"):
        return (-0.5 * ((a - m) / s) ** 2 - np.log(s) - 0.5 * np.log(2 * np.pi)).sum(-1)
