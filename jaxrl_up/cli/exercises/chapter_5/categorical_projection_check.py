"""The check of exercise 5.2, by `ops.categorical_projection`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student

READING = (
    'lesson 05_q_learning_to_dqn, "The distribution that C51 learns"; '
    "Bellemare, Dabney & Munos 2017, arXiv:1707.06887, eq. 7 and algorithm 1"
)
HINTS = (
    "Take one mass at y = 0.25 and atoms 0, 1, 2. It is nearer to 0: three quarters go there, one quarter to 1. And at "
    "y = 1, exactly an atom: which two numbers have to add up to 1 there?",
    "below = floor(b) and above = below + 1 always have shares 1 - (b - below) and b - below, also where b is whole. "
    "Only at the last atom is there nothing above, and its share is 0. Several masses may go to one atom: add, do not "
    "set.",
    "jnp.zeros_like(atoms).at[below].add((1 - share) * probs).at[above].add(share * probs), with share = b - below, "
    "and below as int32, above = jnp.minimum(below + 1, Z - 1).",
)
ATOMS, WIDE = (0.0, 1.0, 2.0, 3.0), (-2.0, -1.5, -1.0, -0.5)
CASES = {
    "places that are atoms": ((0.0, 2.0, 3.0), (0.25, 0.5, 0.25), ATOMS),
    "one place between two atoms": ((1.25,), (1.0,), ATOMS),
    "two places that share an atom": ((0.5, 1.5), (0.5, 0.5), ATOMS),
    "places beyond both ends": ((-4.0, 1.0, 9.0), (0.25, 0.25, 0.5), ATOMS),
    "equal places": ((1.75, 1.75, 1.75), (0.5, 0.25, 0.25), ATOMS),
    "atoms from -2, in steps of 0.5": ((-1.75, -1.0, -0.6), (0.25, 0.25, 0.5), WIDE),
}


def check(student: Student) -> None:
    """Atoms, places between and beyond, equal ones, other supports, a batch. Raises `Wrong`."""
    for case, numbers in CASES.items():
        places, probs, atoms = (jnp.array(x) for x in numbers)
        asked = "{}: places {}, probs {}, atoms {}".format(case, *(list(x) for x in numbers))
        expected = ops.categorical_projection(places, probs, atoms)
        student.expect(
            asked, student.project(places, probs, atoms), expected, mistakes(*(np.array(x) for x in numbers))
        )
    atoms = jnp.array(ATOMS)
    places = jnp.array([1.0, -0.5])[:, None] + jnp.array([0.9, 0.0])[:, None] * atoms
    probs = jnp.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    came = jax.jit(jax.vmap(student.project, in_axes=(0, 0, None)))(places, probs, atoms)
    expected = ops.categorical_projection(places, probs, atoms)
    student.expect("two Bellman targets, r = 1 and gamma 0.9, r = -0.5 and terminated, by jit and vmap", came, expected)


def mistakes(places: np.ndarray, probs: np.ndarray, atoms: np.ndarray) -> dict[str, np.ndarray]:
    """What typical mistakes give, by what is said then."""
    last, step = len(atoms) - 1, atoms[1] - atoms[0]
    free = (places - atoms[0]) / step
    inside = (free >= 0) & (free <= last)
    at = np.clip(free, 0, last)
    below, above = np.floor(at), np.ceil(at)
    upper = np.minimum(below + 1, last)
    lost = spread(last, (below, (above - at) * probs), (above, (at - below) * probs))
    right = (below, (1 - at + below) * probs), (upper, (at - below) * probs)
    unscaled = np.clip(places - atoms[0], 0, last)
    unmoved = np.clip(places / step, 0, last)
    return {
        "Mass is lost where a place is exactly an atom: there floor and ceil are the same, and both shares, above - b "
        "and b - below, are 0.": lost,
        "Mass is lost at atoms and made up for by dividing by the sum: the shape of the distribution is another one.": (
            lost / max(lost.sum(), 1e-9)
        ),
        "Where a place is an atom it has its mass twice: below and above are the same there.": spread(
            last, (below, (1 - at + below) * probs), (above, np.where(below == above, 1.0, at - below) * probs)
        ),
        "Where several masses go to one atom only one of them is there: .at[...].add adds them, .set overwrites.": put(
            last, *right
        ),
        "The two shares have changed places: the nearer atom gets more.": spread(
            last, (below, (at - below) * probs), (upper, (1 - at + below) * probs)
        ),
        "Each mass went to the nearest atom as a whole: it is split between two, which keeps the mean.": spread(
            last, (np.round(at), probs)
        ),
        "Each mass went to the atom below as a whole: it is split between two, which keeps the mean.": spread(
            last, (below, probs)
        ),
        "Each mass is split into halves: nearness decides.": spread(last, (below, probs / 2), (upper, probs / 2)),
        "Mass beyond the ends is lost: it belongs to the atom at that end, so clip the places first.": spread(
            last, *((index, share * inside) for index, share in right)
        ),
        "Mass beyond the ends is lost, and the rest divided by its sum: it belongs to the atom at that end.": (
            spread(last, *((index, share * inside) for index, share in right)) / max((probs * inside).sum(), 1e-9)
        ),
        "The places are not clipped to the atoms: beyond the ends shares are negative or larger than 1.": spread(
            last, (below, (1 - free + below) * probs), (upper, (free - below) * probs)
        ),
        "The places are not counted in atoms: divide by the step between two atoms.": spread(
            last, *_split(unscaled, probs)
        ),
        "z_0 is not taken off: the first atom is place 0.": spread(last, *_split(unmoved, probs)),
    }


def _split(at: np.ndarray, probs: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    below = np.floor(at)
    return (below, (1 - at + below) * probs), (below + 1, (at - below) * probs)


def spread(last: int, *parts: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Masses added up by atom; those beyond the last one are lost."""
    found = np.zeros(last + 2)
    for index, mass in parts:
        np.add.at(found, np.minimum(index, last + 1).astype(int), mass)
    return found[: last + 1]


def put(last: int, *parts: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Masses written over one another, those of the atoms below first."""
    found = jnp.zeros(last + 1)
    for index, mass in parts:
        found = found.at[index.astype(int)].set(mass)
    return np.asarray(found)
