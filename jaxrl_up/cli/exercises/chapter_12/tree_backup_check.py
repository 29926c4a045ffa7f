"""The check of exercise 12.1, by `ops.value_expansion`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student, Wrong

READING = (
    'lesson 12_tree_search, "A search in four moves"; Browne et al. 2012, IEEE Transactions on Computational '
    "Intelligence and AI in Games 4, section 3.1; Silver et al. 2017, Nature 550, methods"
)
HINTS = (
    "Two steps. First the G of each node on the path, from the leaf up: which G does an edge need, the one above or "
    "the one below? Then one new mean for each node, from the old one and its G.",
    "The last G is the leaf's value itself; going up, G = reward + discount * G, with the edges from the last to the "
    "first. It is G that goes on up, never the new mean of a child.",
    "G = [leaf]; for r, d in zip(rewards[::-1], discounts[::-1]): G.append(r + d * G[-1]); then reversed and stacked, "
    "values.at[path].add((G - values[path]) / (visits[path] + 1)) and visits.at[path].add(1).",
)
VALUES, VISITS = np.array([0.2, -0.1, 0.5, 0.3, 0.0, -0.4]), np.array([8, 4, 2, 1, 0, 2])
CASES = {  # path, rewards, discounts, what the leaf is worth
    "two players, gamma 0.9": ((0, 1, 3, 4), (0.0, 0.0, 0.0), (-0.9, -0.9, -0.9), -0.5),
    "one player, gamma 0.5": ((0, 1, 3, 4), (1.0, -0.5, 2.0), (0.5, 0.5, 0.5), 0.6),
    "two players, and the last edge wins the game": ((0, 1, 3, 4), (0.0, 0.0, 1.0), (-1.0, -1.0, 0.0), 0.7),
    "two players, the leaf right below the root": ((0, 4), (0.25,), (-1.0,), 0.5),
}


def check(student: Student) -> None:
    """One player and two, rewards on the way, an end, a short path, and jit. Raises `Wrong`."""
    for case, (path, rewards, discounts, leaf) in CASES.items():
        given = arrays(path, rewards, discounts, leaf)
        values, visits = two(student.backup(*given))
        expected = right(*given)
        shown = (
            f"{case}: path {list(path)}, rewards {list(rewards)}, discounts {list(discounts)}, leaf {leaf}\n"
            f"  before    V {VALUES.tolist()}\n            N {VISITS.tolist()}"
        )
        student.expect(f"{shown}\n  V after", values, expected[0], mistakes(path, rewards, discounts, leaf))
        student.expect(f"{shown}\n  N after", visits, expected[1], miscounts(path))
    values, _ = two(jax.jit(student.backup)(*given))
    student.expect("V of the last case, under jit", values, expected[0])


def arrays(path: tuple, rewards: tuple, discounts: tuple, leaf: float) -> tuple[jax.Array, ...]:
    """What `backup` is given."""
    numbers = [jnp.array(x, jnp.float32) for x in (rewards, discounts, leaf)]
    return jnp.array(VALUES, jnp.float32), jnp.array(VISITS), jnp.array(path), *numbers


def two(found: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Values and visits, if what came is two things."""
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Wrong("`backup` is to return two things: the values, and the visits.")
    return found


def right(
    values: jax.Array, visits: jax.Array, path: jax.Array, rewards: jax.Array, discounts: jax.Array, leaf: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """What the library's targets make of it: they are G_0 ... G_{L-1}."""
    found = jnp.append(ops.value_expansion(rewards, discounts, leaf), leaf)
    visits = visits.at[path].add(1)
    return values.at[path].add((found - values[path]) / visits[path]), visits


def mistakes(path: tuple, rewards: tuple, discounts: tuple, leaf: float) -> dict[str, np.ndarray]:
    """V after a backup with a typical mistake, by what is said then."""
    reward, discount, rows = np.array(rewards), np.array(discounts), list(path)
    found = _found(reward, discount, leaf)
    tried = {
        "The leaf's value goes up as it is: each edge turns it into r + d G.": np.full(len(path), leaf),
        "The value changes its sign at each edge, and that is all: the discount is -gamma, or gamma, or 0 at an end.": (
            leaf * (-1.0) ** np.arange(len(path))[::-1]
        ),
        "The discount's sign is lost: of two players each sees the other's gain as a loss, d = -gamma.": _found(
            reward, np.abs(discount), leaf
        ),
        "The sign is turned for one player too: take d as it is given.": _found(reward, -np.abs(discount), leaf),
        "The rewards are left out.": _found(0.0 * reward, discount, leaf),
        "The reward is discounted with what follows: G = r + d G, not d (r + G).": _found(
            reward * discount, discount, leaf
        ),
        "The edges are taken in the wrong order: the last one comes first on the way up.": _found(
            reward[::-1], discount[::-1], leaf
        ),
        "What is behind an edge that ends the game came up through it: its discount is 0.": _found(
            reward, np.where(discount == 0.0, discount[0], discount), leaf
        ),
        "All nodes get the root's G: each has its own, what the simulation is worth from there on.": np.full(
            len(path), found[0]
        ),
        "The G of the path are in the order of the way up: the root's belongs to path[0].": found[::-1],
    }
    said = {name: _averaged(rows, each) for name, each in tried.items()}
    chained, going = VALUES.copy(), leaf
    for node, r, d in zip(rows[::-1], [0.0, *rewards[::-1]], [1.0, *discounts[::-1]], strict=True):
        going = r + d * going
        chained[node] += (going - chained[node]) / (VISITS[node] + 1)
        going = chained[node]
    return said | {
        "A child's new mean goes on up: it is G that does, what this one simulation is worth.": chained,
        "The root keeps its value: it is on the path too.": _averaged(rows[1:], found[1:]),
        "The leaf keeps 0: it is on the path too, and its first mean is v.": _averaged(rows[:-1], found[:-1]),
        "G is divided by N, not by N + 1: the new one counts among them.": _averaged(rows, found, more=0.0),
        "G is divided by N + 2: the count was raised before, and 1 added once more.": _averaged(rows, found, more=2.0),
        "G takes the place of the mean.": _replaced(rows, found),
        "G is added to V: a mean moves by (G - V) / (N + 1).": _replaced(rows, VALUES[rows] + found),
        "This is the sum of all G, N V + G: divide it by N + 1.": _replaced(rows, VALUES[rows] * VISITS[rows] + found),
        "This is the mean of V and G: V stands for N simulations, G for one.": _replaced(
            rows, (VALUES[rows] + found) / 2.0
        ),
        "This is the larger of V and G: a node's value is the mean of what came through it.": _replaced(
            rows, np.maximum(VALUES[rows], found)
        ),
    }


def miscounts(path: tuple) -> dict[str, np.ndarray]:
    """N after a backup with a typical mistake, by what is said then."""
    on = np.isin(np.arange(len(VISITS)), path)
    return {
        "The counts are as they were: each node on the path was visited once more.": VISITS,
        "All nodes are counted: only those on the path were visited.": VISITS + 1,
        "The leaf is not counted: this was its first visit.": VISITS + (on & (np.arange(len(VISITS)) != path[-1])),
        "The root is not counted: every simulation goes through it.": VISITS
        + (on & (np.arange(len(VISITS)) != path[0])),
        "Each node on the path is counted twice.": VISITS + 2 * on,
    }


def _found(rewards: np.ndarray, discounts: np.ndarray, leaf: float) -> np.ndarray:
    """G_0 ... G_L."""
    found = [leaf]
    for reward, discount in zip(rewards[::-1], discounts[::-1], strict=True):
        found.append(reward + discount * found[-1])
    return np.array(found[::-1])


def _averaged(rows: list[int], found: np.ndarray, more: float = 1.0) -> np.ndarray:
    """V after (G - V) / (N + more) is added at the nodes of a path."""
    with np.errstate(all="ignore"):
        return _replaced(rows, VALUES[rows] + (found - VALUES[rows]) / (VISITS[rows] + more))


def _replaced(rows: list[int], value: np.ndarray) -> np.ndarray:
    after = VALUES.copy()
    after[rows] = value
    return after
