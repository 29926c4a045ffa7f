"""The check of exercise 6.2, by `ops.TanhGaussian`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student, Wrong, shown

READING = (
    'lesson 06_from_vpg_to_sac, "SAC: pay for entropy"; docs/algorithms/sac.md; '
    "Haarnoja et al. 2018, arXiv:1812.05905, appendix C, eq. 26"
)
HINTS = (
    "Three parts: u from the noise, log N(u), and the correction. (u - mean) / std is the noise itself, so log N(u) "
    "needs no division. Densities of independent dimensions multiply.",
    "1 - tanh(u)^2 = 4 / (e^u + e^-u)^2 = 4 e^(-2u) / (1 + e^(-2u))^2 for a u of any sign; take the logarithm of that.",
    "log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u)); it is subtracted, inside the sum over the last axis.",
)
CASES = {
    "mean 0, std 1, noise 0": ([0.0], [0.0], [0.0]),
    "one dimension": ([0.5], [0.3], [-0.7]),
    "two dimensions": ([0.5, -1.0], [0.3, 0.2], [-0.7, 0.4]),
    "a batch of two": ([[0.5, -1.0], [1.0, 0.0]], [[0.3, 0.2], [-0.4, 0.6]], [[-0.7, 0.4], [0.1, 0.2]]),
    "u = 20, where tanh is 1 in float32": ([0.0], [20.0], [0.0]),
    "u = -20, where tanh is -1": ([0.0], [-20.0], [0.0]),
    "u = 6, where tanh has lost most digits": ([1.0], [5.0], [0.0]),
}


def check(student: Student) -> None:
    """Actions, log-probabilities where tanh saturates too, and their gradient. Raises `Wrong`."""
    for case, numbers in CASES.items():
        noise, mean, log_std = (jnp.array(x) for x in numbers)
        action, log_prob = pair(student, noise, mean, log_std)
        policy = ops.TanhGaussian(mean, log_std)
        right_action, right_log_prob = policy.sample_and_log_prob_with(noise)
        asked = (
            f"{case}, noise {shown(noise)}, mean {shown(mean)}, log_std {shown(log_std)}" if mean.ndim == 1 else case
        )
        student.expect(f"{asked}: action", action, right_action, action_mistakes(*(np.array(x) for x in numbers)))
        student.expect(f"{asked}: log pi(a)", log_prob, right_log_prob, mistakes(*(np.array(x) for x in numbers)))
    for at in (1.0, 20.0, -20.0):
        mean = jnp.array([at])
        came = jax.grad(lambda mean: student.sample_and_log_prob(jnp.zeros(1), mean, jnp.zeros(1))[1])(mean)
        expected = jax.grad(lambda mean: ops.TanhGaussian(mean, jnp.zeros(1)).sample_and_log_prob_with(jnp.zeros(1))[1])
        none = {
            "The gradient is cut off: jnp.clip and jnp.maximum have none where they act.": [0.0],
            "The gradient is nan: jnp.where does not help, since the branch that is not taken is differentiated as "
            "well.": ([np.nan]),
        }
        student.expect(f"gradient of log pi(a) with respect to the mean at u = {at:g}", came, expected(mean), none)


def pair(student: Student, *arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What the student's function returned, if it is two things."""
    found = student.sample_and_log_prob(*arrays)
    if not isinstance(found, tuple) or len(found) != 2:
        raise Wrong("`sample_and_log_prob` is to return two things: the action, and its log-probability.")
    return found


def action_mistakes(noise: np.ndarray, mean: np.ndarray, log_std: np.ndarray) -> dict[str, np.ndarray]:
    """What typical mistakes give as the action, by what is said then."""
    before = mean + np.exp(log_std) * noise
    return {
        "This is u: the action is tanh(u).": before,
        "The noise is multiplied by log_std, where it should be by exp(log_std).": np.tanh(mean + log_std * noise),
        "The noise is not multiplied by the standard deviation exp(log_std).": np.tanh(mean + noise),
        "The noise is multiplied by the variance: exp(log_std) is the standard deviation.": np.tanh(
            mean + np.exp(2 * log_std) * noise
        ),
        "The mean is squashed before the noise is added: a = tanh(mean + std noise).": np.tanh(mean)
        + np.exp(log_std) * noise,
    }


def mistakes(noise: np.ndarray, mean: np.ndarray, log_std: np.ndarray) -> dict[str, np.ndarray]:
    """What typical mistakes give as the log-probability, by what is said then."""
    std, constant = np.exp(log_std), 0.5 * np.log(2 * np.pi)
    before = mean + std * noise
    action = np.tanh(before)
    normal = -0.5 * noise**2 - log_std - constant
    stretch = 2 * (np.log(2) - before - np.logaddexp(0, -2 * before))
    squashed = np.tanh(before.astype(np.float32))  # as float32 rounds it
    with np.errstate(divide="ignore"):
        naive = np.log(1 - squashed**2)
    said = {
        "log(1 - tanh(u)^2) is -inf here, as tanh(u)^2 is 1 in float32: write it in u.": (normal - naive).sum(-1),
        "The sum over the dimensions is missing: sum over the last axis.": normal - stretch,
        "This is the sum over the batch too: sum over the last axis only (axis=-1).": (normal - stretch).sum(),
        "Only the Gaussian's terms are summed, or only the correction: the last axis of both.": (
            normal.sum(-1, keepdims=True) - stretch
        ),
        "The correction is missing: this is the log-density of u, not of a = tanh(u).": normal.sum(-1),
        "The correction has the wrong sign: where tanh is flat, actions are crowded and their density is higher.": (
            (normal + stretch).sum(-1)
        ),
        "The correction is log(1 - tanh(u)), without the square.": _quiet(
            lambda: (normal - np.log(1 - action)).sum(-1)
        ),
        "The correction is taken twice.": (normal - 2 * stretch).sum(-1),
        "The correction is half of what it should be: a factor 2 is missing.": (normal - stretch / 2).sum(-1),
        "The term log 2 is missing in the correction.": (normal - stretch + 2 * np.log(2)).sum(-1),
        "softplus has 2 u where it should have -2 u.": (
            normal - 2 * (np.log(2) - before - np.logaddexp(0, 2 * before))
        ).sum(-1),
        "The constant log(2 pi) / 2 is left out.": (normal + constant - stretch).sum(-1),
        "The term -log_std is left out.": (normal + log_std - stretch).sum(-1),
        "The Gaussian's density is taken at the action: it is that of u.": (
            -0.5 * ((action - mean) / std) ** 2 - log_std - constant - stretch
        ).sum(-1),
    }
    for small in (1e-6, 1e-8, 1e-7, 1e-5, 1e-4, 1e-3):
        for value in (np.log(1 - squashed**2 + small), np.log(np.maximum(1 - squashed**2, small))):
            text = (
                f"A small number such as {small:g} keeps the logarithm finite, and the result wrong by far where tanh "
                "saturates: write the correction in u."
            )
            said.setdefault(text if text not in said else text.replace("such as", "like"), (normal - value).sum(-1))
    return said


def _quiet(function):
    with np.errstate(all="ignore"):
        return function()
