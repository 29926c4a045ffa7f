"""The check of exercise 4.1, by `ops.n_step_returns`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student

READING = (
    'lesson 04_value_fitting, "Where the bootstrap ends"; Sutton & Barto 2018, section 7.1, eq. 7.1; '
    "Pardo et al. 2018, arXiv:1712.00378"
)
HINTS = (
    "Do it by hand for three rows, k = 2, where the first row ended its episode: the target of row 0 has one reward. "
    "Which of the two ends lets a V follow?",
    "The targets of k steps follow from those of k - 1: G^k_t = r_t + gamma G^{k-1}_{t+1} inside an episode, and "
    "r_t + gamma V(s'_t), with V = 0 if it terminated, where row t ended it. So loop k - 1 times over whole arrays.",
    "future = jnp.where(terminated, 0.0, next_values); begin with rewards + gamma * future. Each turn, later is the "
    "array so far, moved up by one row, with future[-1] in its last place; inside an episode gamma * later is added, "
    "where a row is done gamma * future.",
)
REWARDS, VALUES, GAMMA = (1.0, 2.0, 3.0, 4.0, 5.0), (10.0, 20.0, 30.0, 40.0, 50.0), 0.5
ENDS = {  # case: rows that terminated, rows that were truncated; first those that tell most mistakes apart
    "no episode ends": ((), ()),
    "a time limit cut row 1, row 3 terminated": ((3,), (1,)),
    "row 1 terminated": ((1,), ()),
    "a time limit cut row 1": ((), (1,)),
    "row 2 terminated at its time limit": ((2,), (2,)),
}
KS = {"no episode ends": (2, 1, 9), "a time limit cut row 1, row 3 terminated": (3, 2)}


def check(student: Student) -> None:
    """Ends of both kinds, windows longer than the episode, nan where it means nothing, and jit. Raises `Wrong`."""
    for case, rows in ENDS.items():
        terminated, truncated = (np.isin(np.arange(5), x) for x in rows)
        for k in KS.get(case, (2, 4)):
            arrays = (np.array(REWARDS), terminated, truncated, np.array(VALUES))
            given = [jnp.array(x, x.dtype if x.dtype == bool else jnp.float32) for x in arrays]
            asked = f"{case}, k = {k}, rewards {list(REWARDS)}, next_values {list(VALUES)}, gamma {GAMMA}"
            came = student.k_step_targets(*given, GAMMA, k)
            student.expect(asked, came, right(given, k), mistakes(*arrays, k))
    unknown = jnp.where(given[1], jnp.nan, given[3])
    came = student.k_step_targets(*given[:3], unknown, GAMMA, 2)
    nan = {
        "The nan of next_values in the terminated row came through: 0 * nan is nan, and jnp.where(terminated, 0.0, "
        "next_values) is not.": np.where(np.isnan(np.asarray(came, float)), np.nan, right(given, 2))
    }
    student.expect("row 2 terminated, where next_values is nan, k = 2", came, right(given, 2), nan)
    came = jax.jit(student.k_step_targets, static_argnums=5)(*given, GAMMA, 3)
    student.expect("row 2 terminated, k = 3, under jit", came, right(given, 3), mistakes(*arrays, k=3))


def right(given: list[jax.Array], k: int) -> np.ndarray:
    """What the library says."""
    rewards, terminated, truncated, next_values = given
    discount = GAMMA * (1.0 - terminated)
    return np.asarray(ops.n_step_returns(rewards, discount, 1.0 - (terminated | truncated), next_values, k))


def mistakes(
    rewards: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, next_values: np.ndarray, k: int
) -> dict[str, np.ndarray]:
    """What typical mistakes give, by what is said then."""
    given, none = (rewards, next_values, k), np.zeros_like(terminated)
    done = terminated | truncated
    return {
        "The sum runs on into the next episode: the reward of a row that ended is its last term.": loop(
            *given, stop=none, zero=terminated
        ),
        "The sum runs on into the next episode, and V is there at every end: the sum has to stop.": loop(
            *given, stop=none, zero=none
        ),
        "Behind a time limit the sum runs on into the next episode: truncated rows end it as well.": loop(
            *given, stop=terminated, zero=terminated
        ),
        "A time limit counts as termination: what would have come after it was only not seen, so V follows.": loop(
            *given, stop=done, zero=done
        ),
        "V is added behind a row that terminated, where nothing comes any more.": loop(*given, stop=done, zero=none),
        "V is added where the episode terminated, and left out where a time limit cut it: it is the other way round.": (
            loop(*given, stop=done, zero=truncated & ~terminated)
        ),
        "No row has V after its rewards.": loop(*given, stop=done, zero=~none),
        "V counts gamma^k also where the sum stopped sooner: after m steps it counts gamma^m.": loop(
            *given, stop=done, zero=terminated, power=lambda m: k
        ),
        "V counts gamma^(m-1) after m steps: one gamma is missing.": loop(
            *given, stop=done, zero=terminated, power=lambda m: m - 1
        ),
        "V counts gamma^(m+1) after m steps: one gamma is too many.": loop(
            *given, stop=done, zero=terminated, power=lambda m: m + 1
        ),
        "V is not discounted.": loop(*given, stop=done, zero=terminated, power=lambda m: 0),
        "The rewards are not discounted.": loop(*given, stop=done, zero=terminated, discounted=False),
        "These are the targets of k + 1 steps.": loop(rewards, next_values, k + 1, stop=done, zero=terminated),
        "These are the targets of k - 1 steps.": loop(rewards, next_values, max(k - 1, 1), stop=done, zero=terminated),
        "These are the targets of one step.": loop(rewards, next_values, 1, stop=done, zero=terminated),
        "k is not read: the sum goes to the end of the episode.": loop(
            rewards, next_values, len(rewards), stop=done, zero=terminated
        ),
        "At the end of the window V of the last state is missing.": loop(
            *given, stop=done, zero=terminated, edge=False
        ),
        "The first rows come in again behind the last one: jnp.roll turns around, and the window ends there.": loop(
            *given, stop=done, zero=terminated, around=True
        ),
    }


def loop(rewards, next_values, k, *, stop, zero, power=lambda m: m, discounted=True, edge=True, around=False):
    """The targets in plain loops: sums end behind `stop`, no V follows `zero`."""
    rows, found = len(rewards), []
    for start in range(rows):
        total, m = 0.0, 0
        while True:
            row = (start + m) % rows
            total += rewards[row] * (GAMMA**m if discounted else 1.0)
            m += 1
            at_edge = row == rows - 1 and not around
            if m == k or stop[row] or at_edge:
                break
        missing = zero[row] or (at_edge and m < k and not stop[row] and not edge)
        found.append(total + (0.0 if missing else GAMMA ** power(m) * next_values[row]))
    return np.array(found)
