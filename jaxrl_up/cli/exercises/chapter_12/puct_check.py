"""The check of exercise 12.2, by a loop over the actions and `ops.masked_argmax`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student, Wrong, shown

READING = (
    'lesson 12_tree_search, "A search in four moves"; Rosin 2011, Annals of Mathematics and Artificial Intelligence '
    "61; Silver et al. 2017, Nature 550, methods"
)
HINTS = (
    "Three things are mended around the formula: the prior of illegal actions, the Q of untried ones, and the score of "
    "illegal ones. Write each as a jnp.where.",
    "The prior is masked and divided by its sum; Q is jnp.where(visits > 0, q, value); N is 1 + jnp.sum(visits). What "
    "is illegal is masked at the end, with -inf and not with 0: scores may be negative.",
    "share = jnp.where(legal, prior, 0); share = share / jnp.sum(share); score = jnp.where(visits > 0, q, value) + c * "
    "share * jnp.sqrt(1 + jnp.sum(visits)) / (1 + visits); jnp.where(legal, score, -jnp.inf), and its argmax.",
)
NAN = np.nan
CASES = {  # prior, visits, q, the node's value, legal, c
    "all legal, all tried": (
        *((0.15, 0.1, 0.1, 0.1, 0.55), (1, 8, 2, 6, 6), (0.3, 0.1, -0.6, 0.4, -0.5)),
        *(0.1, (1, 1, 1, 1, 1), 1.5),
    ),
    "one untried": ((0.5, 0.2, 0.3), (4, 0, 3), (-0.8, NAN, -0.9), -0.7, (1, 1, 1), 0.5),
    "one illegal, to which the network gives most": ((0.7, 0.1, 0.2), (0, 3, 5), (NAN, 0.3, 0.1), 0.2, (0, 1, 1), 2.0),
    "nothing tried yet": ((0.1, 0.2, 0.4, 0.3), (0, 0, 0, 0), (NAN,) * 4, 0.4, (1, 1, 0, 1), 1.0),
    "all lose, one illegal": ((0.25, 0.5, 0.25), (0, 6, 9), (NAN, -1.0, -0.95), -0.98, (0, 1, 1), 0.1),
}


def check(student: Student) -> None:
    """All tried, some untried, some illegal, nothing tried, all losing; then `choose`, vmap and jit. Raises `Wrong`."""
    for case, numbers in CASES.items():
        prior, visits, q, value, legal, c = numbers
        asked = (
            f"{case}: prior {list(prior)}, visits {list(visits)}, Q {list(q)}, V {value}, "
            f"legal {[bool(x) for x in legal]}, c {c}"
        )
        given = arrays(numbers)
        masked(student, f"{asked}\n  scores", student.scores(*given), numbers)
        expected = right(numbers)
        best = ops.masked_argmax(jnp.array(expected), given[4])
        student.expect(f"{asked}\n  choose", student.choose(*given), best, misled(numbers, expected))
    three = [numbers for numbers in CASES.values() if len(numbers[0]) == 3]
    several = [jnp.stack(rows) for rows in zip(*map(arrays, three), strict=True)]
    chosen = jax.jit(jax.vmap(student.choose))(*several)
    expected = [np.argmax(right(numbers)) for numbers in three]
    student.expect("choose for all cases of three actions at once, under vmap and jit", chosen, expected)


def arrays(numbers: tuple) -> tuple[jax.Array, ...]:
    """What `scores` is given."""
    prior, visits, q, value, legal, c = numbers
    return (
        *(jnp.array(prior, jnp.float32), jnp.array(visits), jnp.array(q, jnp.float32)),
        *(jnp.float32(value), jnp.array(legal, bool), jnp.float32(c)),
    )


def masked(student: Student, asked: str, came: jax.Array, numbers: tuple) -> None:
    """Scores of legal actions by number, of illegal ones -inf."""
    legal, expected = np.array(numbers[4], bool), right(numbers)
    try:
        found = np.asarray(came, float)
    except (TypeError, ValueError):
        found = np.zeros(())
    if found.shape != legal.shape:
        return student.expect(asked, came, np.where(legal, expected, 0.0))
    said = {name: _score(numbers, **changes)[legal] for name, changes in MISTAKES.items()}
    student.expect(f"{asked} of the legal ones", found[legal], expected[legal], said)
    if np.any(found[~legal] != -np.inf):
        zero = " A score of 0 is no mask: those of legal actions may be below it." if not found[~legal].any() else ""
        raise Wrong(f"{asked}:\n  came      {shown(found)}\n  Those of illegal actions are to be -inf.{zero}")
    return None


def right(numbers: tuple) -> np.ndarray:
    """The scores, -inf where not legal."""
    return np.where(np.array(numbers[4], bool), _score(numbers), -np.inf)


def misled(numbers: tuple, expected: np.ndarray) -> dict[str, int]:
    """What a wrong choice by right scores is, by what is said then."""
    prior, visits, q, _, legal, _ = (np.array(x) for x in numbers)
    finite = np.where(legal > 0, expected, np.inf)
    return {
        "This is the most visited: that is what is played after the search, not gone down by.": int(np.argmax(visits)),
        "This is the action of least score.": int(np.argmin(finite)),
        "This is the one of greatest Q: the bonus counts as well.": int(np.argmax(np.where(visits > 0, q, -np.inf))),
        "This is the one of greatest prior.": int(np.argmax(prior)),
        "This action is illegal.": int(np.argmin(legal)),
    }


MISTAKES = {
    "The bonus is left out.": {"bonus": 0.0},
    "c is left out.": {"c": 1.0},
    "The prior is left out.": {"prior": "none"},
    "The prior is not divided by the sum over legal actions.": {"prior": "raw"},
    "The prior is divided among legal actions by a softmax: it is probabilities already.": {"prior": "softmax"},
    "N lacks the 1: the node itself was visited once before any action was.": {"total": 0},
    "N is not under a root: the bonus grows as sqrt(N).": {"root": "none"},
    "The root is over N alone: not over the whole fraction.": {"root": "fraction"},
    "The bonus is divided by N(a): it is 1 + N(a), or untried actions have an infinite one.": {"one": 0.0},
    "The bonus is not divided by 1 + N(a).": {"divide": False},
    "That is UCB1's bonus, with sqrt(log N / (1 + N(a))): PUCT's is P(a) sqrt(N) / (1 + N(a)).": {"root": "log"},
    "Q has the wrong sign: it is seen by whoever moves in this node.": {"sign": -1.0},
    "Q of what was never tried is taken as 0: it is the node's value V.": {"untried": 0.0},
    "Q of what was never tried is taken as a loss, -1: it is the node's value V.": {"untried": -1.0},
    "Q of what was never tried is taken as a win, +1: it is the node's value V.": {"untried": 1.0},
    "Q of what was never tried is nan: there is no mean of nothing, so put V there by jnp.where.": {"untried": NAN},
    "Q is multiplied by the counts: it is a mean already.": {"summed": True},
    "Q is left out.": {"sign": 0.0},
}


def _score(
    numbers: tuple, *, bonus=1.0, c=None, prior="legal", total=1, root="usual", one=1.0, divide=True, sign=1.0,
    untried=None, summed=False,
) -> np.ndarray:  # fmt: skip
    """Scores of all actions in one line after the other."""
    p, visits, q, value, legal, constant = (np.array(x, float) for x in numbers)
    shares = {"raw": p, "none": np.ones_like(p)}
    shares["legal"] = p * legal / np.sum(p * legal)
    shares["softmax"] = np.exp(p) * legal / np.sum(np.exp(p) * legal)
    mean = np.where(visits > 0, q, value if untried is None else untried)
    mean = np.where(visits > 0, q * visits, mean) if summed else mean
    number = total + visits.sum()
    with np.errstate(all="ignore"):
        below = one + visits if divide else np.ones_like(visits)
        grown = {"usual": np.sqrt(number) / below, "none": number / below, "fraction": np.sqrt(number / below)}
        grown["log"] = np.sqrt(np.log(number) / below)
        return sign * mean + bonus * (constant if c is None else c) * shares[prior] * grown[root]
