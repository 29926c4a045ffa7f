"""The check of exercise 6.3, by `ops` and, of variances, by plain NumPy (`tabular.policy_gradients` has the same)."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student

READING = (
    'lesson 06_from_vpg_to_sac, "PPO: the same wish, by clipping"; '
    'lesson 03_policy_optimisation, "The forms of Phi_t"; '
    "docs/theory.md, policy gradients; Schulman et al. 2016, arXiv:1506.02438, eq. 1 and 16; Schulman et al. 2017, "
    "arXiv:1707.06347, eq. 7"
)
HINTS = (
    "Both kinds of advantage are one recursion from the last row to the first: A_t = delta_t + gamma lambda A_{t+1}. "
    "What are V and lambda when it is the reward-to-go?",
    "PPO's minimum is between rho A and clip(rho) A, after the product: for a negative A it is the larger ratio that "
    "counts. The variance is a number: squared distances to the mean, summed over the parameters, weighed by P.",
    "mean = P @ g; variance = P @ jnp.sum((g - mean) ** 2, axis=-1), with g = gradients(logits, gamma, lam, fit) once "
    "for fit=False and once for fit=True; the ratio is the first divided by the second.",
)
STEPS = 4
REWARDS, VALUES = (1.0, 2.0, 4.0), (5.0, 3.0, 2.0)
RATIO, ADVANTAGES = (1.5, 0.5, 1.6, 0.7, 1.1), (1.0, 2.0, -2.0, -1.0, 3.0)
OLD = (0.5, 0.25, 0.5, 0.25, 0.5)


def check(student: Student) -> None:
    """Advantages of both kinds, both surrogates and their gradient, the ratio of variances. Raises `Wrong`."""
    rewards, values = jnp.array(REWARDS), jnp.array(VALUES)
    for fit, gamma, lam in (
        (False, 1.0, 0.5),
        (False, 0.5, 0.5),
        (True, 0.5, 0.25),
        (True, 0.5, 1.0),
        (True, 0.5, 0.0),
    ):
        asked = f"advantages of rewards {list(REWARDS)}, values {list(VALUES)}, gamma {gamma}, lambda {lam}, fit={fit}"
        student.expect(asked, student.advantages(rewards, values, gamma, lam, fit), *advantage_answers(gamma, lam, fit))

    old, advantages = jnp.log(jnp.array(OLD)), jnp.array(ADVANTAGES)
    log_prob = jnp.log(jnp.array(RATIO)) + old
    for epsilon in (None, 0.2):
        name = "TRPO" if epsilon is None else "PPO"
        asked = f"surrogate of {name}, ratios {list(RATIO)}, advantages {list(ADVANTAGES)}, epsilon {epsilon}"
        came = student.surrogate(log_prob, old, advantages, epsilon)
        student.expect(asked, came, *surrogate_answers(epsilon))
    came = jax.grad(student.surrogate)(old, old, advantages, 0.2)
    none = {"Nothing flows back to log_prob: only the old policy's is data.": np.zeros(5)}
    student.expect("gradient of PPO's surrogate at the old policy, A / T", came, advantages / 5, none)

    for logits, gamma, lam in (((0.0, 0.0), 1.0, 1.0), ((0.0, 1.0), 0.9, 0.5)):
        came = student.variance_ratio(jnp.array([logits] * STEPS), gamma, lam)
        asked = f"variance_ratio of logits {list(logits)} at each step, gamma {gamma}, lambda {lam}"
        student.expect(asked, came, *ratio_answers(logits, gamma, lam), tolerance=1e-3)


def advantage_answers(gamma: float, lam: float, fit: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The right advantages, and what typical mistakes give, by what is said then."""
    rewards, values = np.array(REWARDS), np.array(VALUES)
    next_values = np.append(values[1:], 0.0)

    def back(increments: np.ndarray, weight: float) -> np.ndarray:
        total, found = 0.0, []
        for each in increments[::-1]:
            total = each + weight * total
            found.append(total)
        return np.array(found[::-1])

    errors = rewards + gamma * next_values - values
    to_go, gae = back(rewards, gamma), back(errors, gamma * lam)
    going = jnp.array([1.0, 1.0, 0.0])
    given = [jnp.array(x, jnp.float32) for x in (rewards, values, next_values)]
    library = ops.gae(given[0], gamma * going, lam * going, *given[1:])
    if not fit:
        whole = ops.trajectory_returns(given[0], gamma * going, going)
        expected = ops.discounted_returns(given[0], gamma * going, going)
        return np.asarray(expected), {
            "fit=False gives GAE: the two kinds have changed places, or `fit` is not read.": np.asarray(library),
            "This is the return of the whole episode in every row: without V it is what follows the "
            "action.": np.asarray(whole),
            "Without value fitting nothing is taken off: this is the reward-to-go less V.": to_go - values,
            "Without value fitting there is no lambda: the reward-to-go counts gamma^l.": back(rewards, gamma * lam),
            "These are the rewards alone: those that follow belong to the action as well.": rewards,
            "gamma is missing in the reward-to-go.": back(rewards, 1.0),
            "The rewards are summed from the first row on: the sum is over what follows.": np.cumsum(rewards),
        }
    return np.asarray(library), {
        "fit=True gives the reward-to-go: V is not read.": to_go,
        "V(s_t) is not taken off.": back(rewards + gamma * next_values, gamma * lam),
        "V has been added again: these are the targets that V is fitted to.": gae + values,
        "V(s_{t+1}) is missing: delta_t = r_t + gamma V(s_{t+1}) - V(s_t).": back(rewards - values, gamma * lam),
        "lambda is not read: this is the reward-to-go less V, lambda = 1.": to_go - values,
        "This is one TD error in each row, lambda = 0: the later ones are missing.": errors,
        "The errors count lambda^l: gamma is missing beside lambda.": back(errors, lam),
        "gamma is missing before V(s_{t+1}).": back(rewards + next_values - values, gamma * lam),
        "After the last row V is 0, as the episode terminated: here it is V of the last state.": back(
            rewards + gamma * np.append(values[1:], values[-1]) - values, gamma * lam
        ),
        "After the last row V is 0: jnp.roll brings V(s_0) there.": back(
            rewards + gamma * np.roll(values, -1) - values, gamma * lam
        ),
    }


def surrogate_answers(epsilon: float | None) -> tuple[float, dict[str, float]]:
    """The right surrogate, and what typical mistakes give, by what is said then."""
    ratio, advantages, old = np.array(RATIO), np.array(ADVANTAGES), np.log(OLD)
    new_log, old_log, data = (jnp.array(x, jnp.float32) for x in (np.log(ratio) + old, old, advantages))
    plain = float(np.mean(ratio * advantages))
    general = {
        "The ratio is the wrong way round: new / old = exp(log_prob - old_log_prob).": float(
            np.mean(advantages / ratio)
        ),
        "This is log of the ratio times A: exp is missing.": float(np.mean(np.log(ratio) * advantages)),
        "This is log pi times A, without the old policy.": float(np.mean((np.log(ratio) + old) * advantages)),
    }
    if epsilon is None:
        expected = -float(ops.surrogate_loss(new_log, old_log, data))
        return expected, {
            "The sign is turned: this is a loss, the surrogate is to be maximised.": -expected,
            "This is the sum over the steps: it should be the mean.": 5 * expected,
            **general,
        }
    expected = -float(ops.clipped_surrogate_loss(new_log, old_log, data, epsilon))
    clipped = np.clip(ratio, 1 - epsilon, 1 + epsilon)
    return expected, {
        "epsilon is not read: this is TRPO's surrogate.": plain,
        "The minimum with rho A is missing: this is clip(rho) A alone.": float(np.mean(clipped * advantages)),
        "This is the maximum of rho A and clip(rho) A; it is the minimum, which never promises more.": float(
            np.mean(np.maximum(ratio * advantages, clipped * advantages))
        ),
        "The minimum is of the ratios: multiply by A first, whose sign decides which product is smaller.": float(
            np.mean(np.minimum(ratio, clipped) * advantages)
        ),
        "The ratio is only clipped from above: clip to [1 - epsilon, 1 + epsilon].": float(
            np.mean(np.minimum(ratio * advantages, np.minimum(ratio, 1 + epsilon) * advantages))
        ),
        "The sign is turned: this is a loss, the surrogate is to be maximised.": -expected,
        "This is the sum over the steps: it should be the mean.": 5 * expected,
        **general,
    }


def ratio_answers(step_logits: tuple[float, float], gamma: float, lam: float) -> tuple[float, dict[str, float]]:
    """The right ratio, and what typical mistakes give, by what is said then."""
    probability, without = estimates(step_logits, gamma, lam, False)
    _, fitted = estimates(step_logits, gamma, lam, True)
    alike = np.full(len(probability), 1.0 / len(probability))
    variances = variance(probability, without), variance(probability, fitted)
    expected = variances[0] / variances[1]
    squares = [probability @ np.sum(g**2, axis=-1) for g in (without, fitted)]
    return expected, {
        "This is the variance with value fitting divided by that without: the other way round.": 1.0 / expected,
        "This is the ratio of standard deviations: the variance is their square.": float(np.sqrt(expected)),
        "The mean is not taken off: this is the ratio of E |g|^2.": float(squares[0] / squares[1]),
        "The episodes are not weighed by their probability: they are not all as likely under these logits.": (
            variance(alike, without) / variance(alike, fitted)
        ),
        "The squares are weighed by P, and the mean that is taken off is not: it is sum_j P_j g_j.": (
            off_the_plain_mean(probability, without) / off_the_plain_mean(probability, fitted)
        ),
        "Both variances are of the same estimates: one is with fit=False, the other one with fit=True.": 1.0,
        "This is the variance without value fitting, not yet divided by that with it.": variances[0],
        "This is the variance with value fitting; that without is to be divided by it.": variances[1],
    }


@functools.cache
def estimates(step_logits: tuple[float, float], gamma: float, lam: float, fit: bool) -> tuple[np.ndarray, np.ndarray]:
    """The probability of every episode `[N]`, and its estimate of the gradient `[N, 2 STEPS]`, in plain NumPy."""
    policy = np.exp(step_logits) / np.sum(np.exp(step_logits))
    actions = np.array(list(itertools.product((0, 1), repeat=STEPS)))
    advantages = np.zeros(actions.shape)
    for t in range(STEPS):
        for i in range(t, STEPS):
            reward = 1.0 + actions[:, i]
            left = [np.sum((gamma ** np.arange(n)) * (1.0 + policy[1])) for n in (STEPS - i, STEPS - i - 1)]
            error = reward + gamma * left[1] - left[0]
            advantages[:, t] += (gamma * lam) ** (i - t) * error if fit else gamma ** (i - t) * reward
    scores = np.eye(2)[actions] - policy
    found = scores * advantages[..., None] / STEPS
    return np.prod(policy[actions], axis=-1), found.reshape(len(actions), -1)


def variance(probability: np.ndarray, estimates: np.ndarray) -> float:
    """E |g - E g|^2."""
    return float(probability @ np.sum((estimates - probability @ estimates) ** 2, axis=-1))


def off_the_plain_mean(probability: np.ndarray, estimates: np.ndarray) -> float:
    """E |g - m|^2 where m is the mean over the episodes, each as likely."""
    return float(probability @ np.sum((estimates - estimates.mean(axis=0)) ** 2, axis=-1))
