"""The check of exercise 3.2: mean and variance by summing over all actions."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.cli.exercises.exercise import Student, Wrong, close

READING = 'lesson 03_policy_optimisation, "Baselines"; Tucker et al. 2018 (arXiv 1802.10031), section 3'
HINTS = (
    "Compute the mean of the estimator by hand: the sum over actions of pi(a) times the estimate for a. Which term is "
    "left beside the gradient, and does it depend on which action was drawn?",
    "What was subtracted in the mean is sum_a pi(a) grad log pi(a) b(a). All of it is known: add it again. Or make the "
    "baseline a function of the state alone, as sum_a pi(a) b(a).",
    "The gradient of log pi(a) is onehot(a) - pi, so the sum is pi * (b - sum_a pi(a) b(a)). Add this to what the "
    "function returns.",
)
LOGITS, REWARDS = np.array([0.5, 0.0, -1.0]), np.array([10.0, 12.0, 11.0])
BASELINES = {
    "a constant baseline": np.full(3, 11.0),
    "a perfect baseline b(a) = r(a)": REWARDS,
    "a poor baseline": np.array([9.0, 12.5, 12.0]),
    "no baseline, b(a) = 0": np.zeros(3),
}


def check(student: Student) -> None:
    """The mean for four baselines, the variance with good ones, and vmap. Raises `Wrong`."""
    logits = jnp.asarray(LOGITS, jnp.float32)
    policy = np.asarray(jax.nn.softmax(logits), float)
    gradient = policy * (REWARDS - policy @ REWARDS)
    score = np.eye(3) - policy  # a row for each action that is drawn
    plain = _variance(score * REWARDS[:, None], policy)
    for case, b in BASELINES.items():
        baseline = jnp.asarray(b, jnp.float32)
        rows = [np.asarray(student.estimate(logits, a, REWARDS[a], baseline)) for a in range(3)]
        if any(row.shape != (3,) for row in rows):
            raise Wrong(f"{case}: the estimate has shape {list(rows[0].shape)}, expected [3], a number for each logit.")
        without = score * REWARDS[:, None]
        if np.any(b) and close(rows, without, 1e-3):
            raise Wrong(
                f"{case}: the mean is right, and the baseline is gone: this is grad log pi(a) r, variance {plain:.3g}."
                "\n  Keep the baseline, and add only what it takes from the mean."
            )
        mean = policy @ np.array(rows)
        student.expect(f"rewards [10, 12, 11], {case}: mean over actions", mean, gradient, mistakes(policy, b))
        variance = _variance(np.array(rows), policy)
        if np.any(b) and variance > 0.5 * plain:
            raise Wrong(
                f"{case}: the mean is right, but the variance is {variance:.3g}, and {plain:.3g} without any baseline."
                "\n  Subtract the baseline from the reward, and add only what that takes from the mean."
            )
    together = jax.vmap(student.estimate, in_axes=(None, 0, 0, None))(
        logits, jnp.arange(3), jnp.asarray(REWARDS, jnp.float32), baseline
    )
    student.expect("all three actions by vmap, no baseline", together, score * REWARDS[:, None], tolerance=1e-3)


def _variance(rows: np.ndarray, policy: np.ndarray) -> float:
    """E |g - E g|^2 over actions."""
    return float(policy @ ((rows - policy @ rows) ** 2).sum(1))


def mistakes(policy: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    """The means that typical mistakes have, by what is said then."""
    score = np.eye(3) - policy
    gradient = policy @ (score * REWARDS[:, None])
    lost = policy @ (score * b[:, None])
    return {
        "The baseline depends on the action, so the mean lacks sum_a pi(a) grad log pi(a) b(a).": gradient - lost,
        "The correction has the wrong sign: what was subtracted is to be added.": gradient - 2 * lost,
        "The correction is not weighed by the policy: it is a sum of pi(a) grad log pi(a) b(a).": (
            gradient - lost + score.T @ b
        ),
        "The correction is sum_a pi(a) b(a), a number: its gradient with respect to the logits is what is missing.": (
            gradient - lost + policy @ b
        ),
        "The correction is pi(a) b(a): the gradient of pi(a) also has the term -pi(a) sum_b pi(b) b(b).": (
            gradient - lost + policy * b
        ),
        "The sign of the estimate is turned.": -gradient,
    }
