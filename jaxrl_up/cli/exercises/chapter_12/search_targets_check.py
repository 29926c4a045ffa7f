"""The check of exercise 12.3, by `ops.value_expansion` and exact powers of the counts."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student

READING = (
    'lesson 12_tree_search, "Expert iteration"; Silver et al. 2017, Nature 550, methods; Anthony et al. 2017, '
    "arXiv:1705.08439, section 3"
)
HINTS = (
    "Both are small. For the policy: what happens to the shares if all counts of a row are divided by the largest one "
    "first? For the value: begin at the last step and go backwards.",
    "pi does not change if N is divided by max N, and then no power of it is above 1; at tau = 0 the weights are 1 "
    "where N / max N is 1, and 0 elsewhere. z needs jax.lax.scan with reverse=True, or a loop from T - 1 to 0.",
    "z = last_value; for t in reversed(range(T)): z = rewards[t] + jnp.where(ended[t], 0, discount * z), with discount "
    "= -gamma if players == 2 else gamma; keep each z. A where, because 0 * nan is nan.",
)
VISITS = np.array([[8, 2, 6, 0], [1, 5, 5, 5]])
LARGE = np.array([[800, 760, 0, 40], [30, 30, 30, 10]])
NAN = np.nan
REWARDS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.25, 0.0], [0.0, -1.0]])  # [T = 5, B = 2]
ENDED = np.array([[0, 0], [0, 1], [1, 0], [0, 0], [0, 1]], bool)
LAST = np.array([0.5, NAN])


def check(student: Student) -> None:
    """Temperatures 1, 1/2, 2, 0 and one that overflows; then games with ends, of two players and of one. `Wrong`."""
    for visits, temperature in ((VISITS, 1.0), (VISITS, 0.5), (VISITS, 2.0), (LARGE, 0.05), (VISITS, 0.0)):
        came = student.policy_target(jnp.array(visits), temperature)
        asked = f"policy_target of visits {visits.tolist()}, temperature {temperature:g}"
        student.expect(asked, came, shares(visits, temperature), misshared(visits, temperature))
    for players, gamma in ((2, 1.0), (2, 0.5), (1, 0.5)):
        given = jnp.array(REWARDS), jnp.array(ENDED), jnp.array(LAST)
        came = student.value_target(*given, gamma, players)
        asked = (
            f"value_target, {players} player{'s' * (players > 1)}, gamma {gamma:g}, two boards: rewards "
            f"{REWARDS.T.tolist()}, ends after steps {[np.flatnonzero(x).tolist() for x in ENDED.T]}, v {LAST.tolist()}"
        )
        student.expect(f"{asked}\n  z of the first board", board(came, 0), right(gamma, players)[:, 0],
                       {said: z[:, 0] for said, z in mistakes(gamma, players).items()})  # fmt: skip
        student.expect(f"{asked}\n  z of the second board", board(came, 1), right(gamma, players)[:, 1],
                       {said: z[:, 1] for said, z in mistakes(gamma, players).items()})  # fmt: skip
    came = jax.jit(student.value_target, static_argnums=(3, 4))(*given, gamma, players)
    student.expect("value_target of the last case, under jit", came, right(gamma, players))


def board(came: jax.Array, number: int) -> jax.Array:
    """The column of one board, or all that came where it has another shape."""
    return came[:, number] if np.shape(came) == REWARDS.shape else came


def shares(visits: np.ndarray, temperature: float) -> np.ndarray:
    """pi, exactly: powers of whole numbers."""
    if temperature == 0.0:
        most = visits == visits.max(axis=1, keepdims=True)
        return most / most.sum(axis=1, keepdims=True)
    if temperature > 1.0:
        return _normal(visits ** (1.0 / temperature))
    power = round(1.0 / temperature)
    return np.array(
        [[float(Fraction(int(n) ** power, sum(int(m) ** power for m in row))) for n in row] for row in visits]
    )


def misshared(visits: np.ndarray, temperature: float) -> dict[str, np.ndarray]:
    """What typical mistakes give as pi, by what is said then."""
    most = 1.0 * (visits == visits.max(axis=1, keepdims=True))
    power = 1.0 / temperature if temperature else np.inf
    weight, counts = (visits / visits.max(axis=1, keepdims=True)) ** power, visits**power if temperature else most
    said = {
        "The temperature is not read: these are the shares of visits.": _normal(visits),
        "The rows do not add up to 1: divide by their sums.": weight,
        "The sum is that of all positions: each row adds up to 1.": weight / weight.sum(),
        "The sum is that of all positions: it is that of the row.": counts / counts.sum(),
        "The sum is that over the positions: each row adds up to 1, axis -1.": _normal(weight.T).T,
        "The sum is that over the positions: add up each row, axis -1.": _normal(counts.T).T,
        "The counts are raised by 1: what was never tried gets nothing.": _normal(
            ((visits + 1.0) / (visits + 1.0).max(axis=1, keepdims=True)) ** power
        ),
        "At temperature 0 all that were tried most often share: here the first takes all.": (
            np.eye(visits.shape[1])[visits.argmax(1)]
        ),
        "At temperature 0 this is uniform: it is the limit of small ones, so that the most visited take all.": np.full(
            visits.shape, 1.0 / visits.shape[1]
        ),
        "The most visited takes all: that is temperature 0.": _normal(most),
        "The powers overflow: divide the counts by the largest of the row first.": _overflown(visits, temperature),
    }
    if not temperature:
        return said | {"1/tau is no number at temperature 0: make a case of it.": np.full(visits.shape, NAN)}
    return said | {
        "The counts are raised to tau: it is 1/tau.": _normal(visits**temperature),
        "This is a softmax of N / tau: pi is in proportion to N^(1/tau), a softmax of log N / tau.": _soft(
            visits / temperature
        ),
        "This is a softmax of N * tau: pi is in proportion to N^(1/tau), a softmax of log N / tau.": _soft(
            visits * temperature
        ),
        "This is a softmax of the shares: pi is in proportion to N^(1/tau).": _soft(_normal(visits) / temperature),
    }


def _overflown(visits: np.ndarray, temperature: float) -> np.ndarray:
    """pi in float32 by powers of the counts."""
    with np.errstate(all="ignore"):
        power = visits.astype(np.float32) ** np.float32(1.0 / max(temperature, 1e-6))
        return power / power.sum(1, keepdims=True)


def _normal(weight: np.ndarray) -> np.ndarray:
    return weight / np.sum(weight, axis=1, keepdims=True)


def _soft(logits: np.ndarray) -> np.ndarray:
    return _normal(np.exp(logits - logits.max(1, keepdims=True)))


def right(gamma: float, players: int) -> np.ndarray:
    """What the library says: the discount of two players is -gamma, and 0 at an end."""
    discount = jnp.where(ENDED, 0.0, -gamma if players == 2 else gamma)
    return np.asarray(ops.value_expansion(jnp.array(REWARDS), discount, jnp.array(LAST)))


def mistakes(gamma: float, players: int) -> dict[str, np.ndarray]:
    """What typical mistakes give as z, by what is said then."""
    d = -gamma if players == 2 else gamma
    first = np.array([(-1.0) ** np.arange(len(REWARDS))] * 2).T
    return {
        "The sign does not change: with two players what follows is the other's, -gamma.": _loop(abs(d)),
        "The sign changes, and there is one player: all of it is his.": _loop(-gamma),
        "gamma is left out.": _loop(np.sign(d)),
        "What comes after an end is nan and came through: 0 * nan is nan, and jnp.where is not.": _loop(d, where=False),
        "The value goes on through the end of a game: the next game's result is none of this one's.": _loop(
            d, ends=False
        ),
        "v is left out: the last game is not over.": _loop(d, last=0.0 * REWARDS[0]),
        "v is added as it is: it is seen by whoever moves next, and discounted.": _loop(d, turned=False),
        "An end is noticed a step late: step t's own end cuts what follows it.": _loop(
            d, ended=np.vstack([np.zeros((1, 2), bool), ENDED[:-1]])
        ),
        "An end is noticed a step early: step t's own end cuts what follows it.": _loop(
            d, ended=np.vstack([ENDED[1:], np.zeros((1, 2), bool)])
        ),
        "The reward of the step that ends a game is left out: it is the result.": _loop(d, rewards=REWARDS * ~ENDED),
        "z is seen by whoever moved first in the window: each position's is its own mover's.": _loop(d) * first,
        "z is seen by the other side: it is the mover's.": -_loop(d),
        "This goes forward in time: z_t is what comes at t and later.": _forward(d),
        "These are the rewards alone: the moves before the last one get nothing.": REWARDS.copy(),
        "The rows are in reverse order: the first is step 0.": _loop(d)[::-1],
        "This is one step and v: z adds up all that comes until the game ends.": REWARDS
        + np.where(ENDED, 0.0, d * np.where(np.isnan(LAST), 0.0, LAST)),
    }


def _loop(discount, *, ends=True, where=True, last=LAST, turned=True, ended=ENDED, rewards=REWARDS) -> np.ndarray:
    """z in a plain loop, for both boards side by side."""
    z, rows = last * np.ones(2), []
    for t in reversed(range(len(rewards))):
        over = ended[t] if ends else np.zeros(2, bool)
        after = z if t == len(rewards) - 1 and not turned else discount * z
        z = rewards[t] + (np.where(over, 0.0, after) if where else (1.0 - over) * after)
        rows.append(z)
    return np.array(rows[::-1])


def _forward(discount: float) -> np.ndarray:
    """The sum of what came before."""
    z, rows = np.zeros(2), []
    for reward, over in zip(REWARDS, ENDED, strict=True):
        z = reward + discount * z
        rows.append(z)
        z = np.where(over, 0.0, z)
    return np.array(rows)
