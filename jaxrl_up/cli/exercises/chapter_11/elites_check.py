"""The check of exercise 11.1, by `planning.weigh` and `planning.Gaussian.refit`."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.cli.exercises.exercise import Student, Wrong
from jaxrl_up.learning import planning

READING = (
    'lesson 11_planning_and_models, "Planning is a search"; docs/algorithms/mpc.md, "Key equations"; Rubinstein 1999, '
    "Methodology and Computing in Applied Probability 1, algorithm 2.1"
)
HINTS = (
    "Which plan is the K-th best? Sort the returns, not the plans. With that one number you can say of every plan "
    "whether it is an elite.",
    "jnp.sort sorts upwards, so the K-th best return is the entry -K. `returns >= it` is bool [N]: as weights that add "
    "up to 1 it makes means of everything, and needs no sorted plans.",
    'weight = elite / jnp.sum(elite); mean = jnp.einsum("n,nhd->hd", weight, plans); the standard deviation is the '
    "root of the same sum of (plans - mean) ** 2.",
)
SMALL = np.array([[[1.0], [0.0]], [[3.0], [2.0]], [[-1.0], [1.0]], [[2.0], [-4.0]], [[0.5], [6.0]]])  # [5, 2, 1]
WIDE = np.stack([SMALL[..., 0], 3.0 * SMALL[::-1, :, 0] + 1.0, SMALL[[2, 0, 4, 1, 3], :, 0]], axis=-1)  # [5, 2, 3]
CASES = {
    "5 plans of 2 steps and 1 dimension, K = 3": (SMALL, (4.0, -2.0, 7.0, 1.0, 0.0), 3),
    "5 plans of 2 steps and 3 dimensions, K = 2": (WIDE, (-4.0, -1.0, -9.0, -2.5, -7.0), 2),
    "K = 1": (SMALL, (4.0, -2.0, 3.0, 1.0, 0.0), 1),
    "K = N": (SMALL, (4.0, -2.0, 7.0, 1.0, 0.0), 5),
    "K = 2, and two plans that earned as much as the second best": (SMALL, (1.0, 4.0, 1.0, 0.0, -3.0), 2),
}


def check(student: Student) -> None:
    """Plans of one dimension and of several, one elite, all, ties, and jit. Raises `Wrong`."""
    for case, (plans, returns, number) in CASES.items():
        given = jnp.array(plans, jnp.float32), jnp.array(returns, jnp.float32)
        mean, std = two(student.refit(*given, number))
        shown = f"plans {plans[..., 0].tolist()} that earned {list(returns)}" if plans.shape[-1] == 1 else (
            f"they earned {list(returns)}"
        )  # fmt: skip
        expected = right(*given, number)
        student.expect(f"{case}, {shown}: mean", mean, expected[0], mistakes(plans, np.array(returns), number)[0])
        student.expect(f"{case}, {shown}: std", std, expected[1], mistakes(plans, np.array(returns), number)[1])
    mean, _ = two(jax.jit(student.refit, static_argnums=2)(*given, number))
    student.expect("mean of the last case, under jit", mean, expected[0])


def two(found: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Mean and standard deviation, if what came is two things."""
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Wrong("`refit` is to return two things: the mean, and the standard deviation.")
    return found


def right(plans: jax.Array, returns: jax.Array, number: int) -> tuple[jax.Array, jax.Array]:
    """What the library says."""
    config = planning.SearchFields(elites=number, smoothing=0.0)
    nothing = jnp.zeros(plans.shape[1:])
    return planning.Gaussian(nothing, nothing).refit(config, plans, planning.weigh(config, returns))


def mistakes(plans: np.ndarray, returns: np.ndarray, number: int) -> tuple[dict, dict]:
    """What typical mistakes give as mean and as standard deviation, by what is said then."""
    up, rows = np.argsort(returns, kind="stable"), len(plans)
    chosen = plans[returns >= np.sort(returns)[-number]]
    which = {
        "These are the worst K: the elites earned most.": plans[up[:number]],
        "These are all plans: only the best K count.": plans,
        "K is not read: this is the best plan alone.": plans[up[-1:]],
        "This is one elite too few: the K-th best is one itself, >= and not >.": plans[up[rows - number + 1 :]],
        "This is one elite too many: an index that begins at 0 leaves sort(returns)[-K] as the K-th best.": plans[
            up[max(rows - number - 1, 0) :]
        ],
        "Only one of the plans that tie for the K-th place is counted, by the order they stand in: all that earned as "
        "much are elites.": plans[up[rows - number :]],
        "Of the plans that tie for the K-th place not all are counted: all that earned as much are elites.": plans[
            np.argsort(-returns, kind="stable")[:number]
        ],
        "These are the first K plans: they are not sorted by what they earned.": plans[:number],
        "These are the last K plans: they are not sorted by what they earned.": plans[-number:],
        "The numbers of the plans are sorted, not the plans: sort by what they earned.": np.sort(plans, axis=0)[
            rows - number :
        ],
        "The indices by which the plans are sorted are taken for ranks: argsort gives the index of the best last.": (
            plans[up >= rows - number]
        ),
    }
    with np.errstate(all="ignore"):
        softmax = np.exp(returns - returns.max())
        weights = {
            "All plans count here, by exp(return): that is MPPI. CEM's elites count alike.": softmax / softmax.sum(),
            "The sum of the elites is divided by N, not by their number.": (
                (returns >= np.sort(returns)[-number]) / rows
            ),
            "The sum is divided by K, and there are more elites: plans that tie are elites too.": (
                (returns >= np.sort(returns)[-number]) / number
            ),
            "The elites are weighed by what they earned: they count alike.": (
                returns * (returns >= np.sort(returns)[-number])
                / np.sum(returns * (returns >= np.sort(returns)[-number]))
            ),
        }  # fmt: skip
        means = {said: chosen.mean(0) for said, chosen in which.items() if len(chosen)}
        means |= {said: np.tensordot(weight, plans, 1) for said, weight in weights.items()}
        means |= _axes(chosen, plans[up[rows - number :]], np.mean)
        means["The sum of the elites is not divided by their number."] = chosen.sum(0)
        return means, {
            "This is the variance: take its root.": chosen.var(0),
            "The sum of squares is divided by |E| - 1: by the task it is the root of the elites' mean square.": (
                chosen.std(0, ddof=1) if len(chosen) > 1 else np.full(chosen.shape[1:], np.nan)
            ),
            "The distances are those from the mean of all plans: take those from the new mean, of the elites.": np.sqrt(
                np.mean((chosen - plans.mean(0)) ** 2, 0)
            ),
            "The distances are those from 0: take those from the mean.": np.sqrt(np.mean(chosen**2, 0)),
            "This is the standard deviation of all plans: it is that of the elites.": plans.std(0),
            "These are mean distances: square, take the mean, take the root.": np.mean(
                np.abs(chosen - chosen.mean(0)), 0
            ),
            "The root is taken before the sum of squares is divided by their number.": np.sqrt(
                np.sum((chosen - chosen.mean(0)) ** 2, 0)
            )
            / len(chosen),
            "This is the standard error of the mean: the root of |E| is divided out.": chosen.std(0)
            / len(chosen) ** 0.5,
            **_axes(chosen, plans[up[rows - number :]], np.std),
        }


def _axes(chosen: np.ndarray, ordered: np.ndarray, function: Callable) -> dict[str, np.ndarray]:
    """A statistic over the wrong axes, of the elites, and of them in order."""
    return {
        "This is over steps and dimensions as well: each step and dimension has its own, so take axis 0 only.": (
            function(chosen)
        ),
        "This is over the steps: take it over the elites, axis 0, so that each step keeps its own.": function(
            ordered, axis=1
        ),
        "This is over the steps: take it over the elites, axis 0; each step keeps its own.": function(
            ordered[::-1], axis=1
        ),
        "This is over elites and steps: each step keeps its own.": function(chosen, axis=(0, 1)),
        "This is over elites and dimensions: each dimension keeps its own.": function(chosen, axis=(0, 2)),
        "The axis of the elites is still there, with length 1: without keepdims the shape is [H, D].": function(
            chosen, axis=0, keepdims=True
        ),
    }
