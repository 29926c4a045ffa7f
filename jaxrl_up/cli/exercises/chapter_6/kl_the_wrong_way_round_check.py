"""The check of exercise 6.4, by `ops.Categorical`, `ops.kl_k1` and `ops.kl_k3`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student

READING = (
    'lesson 06_from_vpg_to_sac, "How long is a step?"; docs/algorithms/trpo.md and ppo.md; Schulman 2020, '
    "joschu.net/blog/kl-approx.html"
)
HINTS = (
    "Take old = (1/2, 1/2) and new = (9/10, 1/10). By hand, KL(old || new) is log(5/3) = 0.511 and KL(new || old) is "
    "0.368. Which one comes? And what is the mean of k1 and of k3 over both actions, each with probability 1/2?",
    "The policy before the bars is the one that weighs: the actions are its own. In all three functions the two "
    "policies have changed places.",
    "exact_kl weighs old - new by exp(old); k1 is old - new; and log r, inside k3, is new - old.",
)
PAIRS = {  # case: probabilities of old, and of new
    "policies that agree": ((0.25, 0.75), (0.25, 0.75)),
    "policies far apart": ((0.5, 0.5), (0.9, 0.1)),
    "the same two the other way round": ((0.9, 0.1), (0.5, 0.5)),
    "three actions": ((0.2, 0.3, 0.5), (0.6, 0.3, 0.1)),
    "a batch of two": (((0.5, 0.5), (0.2, 0.8)), ((0.9, 0.1), (0.4, 0.6))),
}


def check(student: Student) -> None:
    """The exact divergence, both estimates of every action, and that their means are the divergence. Raises `Wrong`."""
    for name in ("exact_kl", "k1", "k3"):
        for case, (old, new) in PAIRS.items():
            logs = [jnp.log(jnp.array(x)) for x in (old, new)]
            expected, said = answers(name, *logs)
            of = "" if name == "exact_kl" else " of each action"
            asked = f"{name}{of}, {case}: old {_plain(old)}, new {_plain(new)}"
            student.expect(asked, getattr(student, name)(*logs), expected, said)
    old, new = (jnp.array(x) for x in PAIRS["three actions"])
    exact = ops.Categorical(jnp.log(old)).kl(ops.Categorical(jnp.log(new)))
    for name in ("k1", "k3"):
        mean = jnp.sum(old * getattr(student, name)(jnp.log(old), jnp.log(new)))
        student.expect(f"mean of {name} over the actions of old, which is KL(old || new)", mean, exact)


def answers(name: str, old: jax.Array, new: jax.Array) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The right answer of a function, and what typical mistakes give, by what is said then."""
    log_old, log_new = np.asarray(old, float), np.asarray(new, float)
    p, q = np.exp(log_old), np.exp(log_new)
    ratio = q / p
    if name == "exact_kl":
        expected = ops.Categorical(jnp.asarray(old)).kl(ops.Categorical(jnp.asarray(new)))
        difference = log_old - log_new
        return np.asarray(expected), {
            "exact_kl: this is KL(new || old): the policy that acted is to weigh the differences, and it comes "
            "first.": (-(q * difference).sum(-1)),
            "exact_kl: this is -KL(old || new): the difference is old - new.": -(p * difference).sum(-1),
            "exact_kl: old - new is right, the weights are not: they are probabilities of old.": (q * difference).sum(
                -1
            ),
            "exact_kl: this is the mean of both directions: one is asked for.": ((p - q) * difference).sum(-1) / 2,
            "exact_kl: the differences are not weighed by probabilities.": difference.sum(-1),
            "exact_kl: this is the mean of the differences, where they are weighed by the probabilities of old.": (
                difference.mean(-1)
            ),
            "exact_kl: the sum over actions is missing.": p * difference,
            "exact_kl: the weights are log-probabilities where they should be probabilities: exp is missing.": (
                (log_old * difference).sum(-1)
            ),
            "exact_kl: this is the mean over the batch; one number for each row is asked for.": np.asarray(
                (p * difference).sum(-1).mean()
            ),
        }
    if name == "k1":
        return np.asarray(ops.kl_k1(old, new)), {
            "k1: the sign is turned: -log r = log old - log new.": np.log(ratio),
            "k1: this is r, where -log r is asked for.": ratio,
            "k1: each action is weighed by its probability: the sample does that already, it comes from old.": (
                -p * np.log(ratio)
            ),
            "k1: this is the absolute value: k1 is negative for some actions, which keeps its mean right.": np.abs(
                np.log(ratio)
            ),
        }
    inverse = 1 / ratio
    return np.asarray(ops.kl_k3(old, new)), {
        "k3: r is the wrong way round, old / new: never negative either, but its mean over the actions of old is no "
        "KL.": (inverse - 1 - np.log(inverse)),
        "k3: the sign of log r is turned: r - 1 - log r.": ratio - 1 + np.log(ratio),
        "k3: r and log r are of two ratios, one of them the wrong way round.": inverse - 1 - np.log(ratio),
        "k3: this is k2, (log r)^2 / 2, which is biased.": np.log(ratio) ** 2 / 2,
        "k3: this is k1, -log r.": -np.log(ratio),
        "k3: r log r - (r - 1) estimates KL(new || old), of actions of old.": ratio * np.log(ratio) - ratio + 1,
        "k3: the term -1 is missing.": ratio - np.log(ratio),
        "k3: the term -log r is missing.": ratio - 1,
        "k3: each action is weighed by its probability: the sample does that already, it comes from old.": (
            p * (ratio - 1 - np.log(ratio))
        ),
    }


def _plain(x: tuple) -> str:
    return str(x).replace("(", "[").replace(")", "]")
