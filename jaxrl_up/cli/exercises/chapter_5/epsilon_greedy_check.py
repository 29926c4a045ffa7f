"""The check of exercise 5.1, by `ops.EpsilonGreedy`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student, Wrong, shown

READING = 'lesson 05_q_learning_to_dqn, "The table"; Sutton & Barto 2018, section 2.2'
HINTS = (
    "Which actions are greedy is an array of booleans: the values that are equal to their maximum. How many there are "
    "is its sum, over the last axis, with keepdims=True so that it divides each row.",
    "Two terms: epsilon / A for every action, the greedy ones too, and (1 - epsilon) * greedy / number of greedy ones.",
    "For the draw, jax.random.categorical(key, logits, axis=-1) wants logarithms of probabilities; log 0 = -inf is "
    "fine.",
)
DRAWS = 2000
CASES = {
    "one best action": ([1.0, 3.0, 2.0, 0.0], 0.2),
    "two best actions": ([3.0, 1.0, 3.0, 0.0], 0.2),
    "all values equal": ([0.0, 0.0, 0.0, 0.0], 0.2),
    "negative values": ([-2.0, -1.0, -1.0], 0.3),
    "epsilon 0": ([1.0, 3.0, 3.0], 0.0),
    "epsilon 1": ([1.0, 3.0, 3.0], 1.0),
    "a batch of two": ([[1.0, 3.0, 2.0], [2.0, 2.0, 1.0]], 0.6),
}


def check(student: Student) -> None:
    """Probabilities with and without ties, in batches and under jit, then frequencies of draws. Raises `Wrong`."""
    for case, (q_values, epsilon) in CASES.items():
        came = student.action_probabilities(jnp.array(q_values), epsilon)
        asked = f"{case}: probabilities of q_values {q_values} and epsilon {epsilon}"
        student.expect(asked, came, right(q_values, epsilon), mistakes(np.array(q_values), epsilon))
    q_values = jnp.array([[1.0, 3.0, 3.0], [2.0, 2.0, 1.0]])
    came = jax.jit(jax.vmap(student.action_probabilities))(q_values, jnp.array([0.5, 0.25]))
    student.expect(
        "a row each of epsilon 0.5 and 0.25, by vmap under jit",
        came,
        np.stack([right(row, epsilon) for row, epsilon in zip(q_values, (0.5, 0.25), strict=True)]),
    )
    check_draws(student)


def check_draws(student: Student) -> None:
    """Shapes and kinds of a draw, the same ones by the same key, and frequencies."""
    values = [0.0, 2.0, 2.0, -1.0]
    key, many = jax.random.key(3), jnp.tile(jnp.array(values), (DRAWS, 1))
    actions = student.sample_action(key, many, 0.4)
    if not np.issubdtype(np.asarray(actions).dtype, np.integer):
        raise Wrong(f"sample_action: actions are integers 0..A-1; these are {np.asarray(actions).dtype}.")
    if np.shape(actions) != (DRAWS,):
        one = " This is one action for all rows." * (np.shape(actions) == ())
        raise Wrong(
            f"sample_action of q_values [{DRAWS}, 4]: the shape is {list(np.shape(actions))}, it should be "
            f"[{DRAWS}].{one}"
        )
    if not np.array_equal(actions, student.sample_action(key, many, 0.4)):
        raise Wrong(
            "sample_action: the same key gave other actions the second time. All randomness is to come from the key."
        )
    if np.array_equal(actions, student.sample_action(jax.random.key(4), many, 0.4)):
        raise Wrong(
            f"sample_action: two keys gave the same {DRAWS} actions, {shown(np.asarray(actions)[:6])} and so on. Draw "
            f"with "
            "the key that is given; a key made inside, or argmax alone, gives the same at every step."
        )
    if len(np.unique(actions)) == 1:
        raise Wrong(
            "sample_action: all rows of a batch drew the same action. Each row is a draw of its own: one call of "
            "jax.random.categorical on the whole batch does that."
        )
    if not np.all((np.asarray(actions) >= 0) & (np.asarray(actions) < 4)):
        raise Wrong("sample_action: there are actions outside 0..A-1.")
    probs, q = right(values, 0.4), np.array(values)
    student.expect(
        f"frequencies of {DRAWS} actions drawn with q_values {values} and epsilon 0.4",
        np.bincount(actions, minlength=4) / DRAWS,
        probs,
        {
            "categorical wants the logarithms of probabilities: what you gave it were the probabilities.": _soft(probs),
            "These are draws from softmax(q_values).": _soft(q),
            "These are draws from log-values: epsilon is not read.": np.array([0.0, 0.5, 0.5, 0.0]),
            "All actions come alike: the values are not read.": np.full(4, 0.25),
            "One of the two best actions never comes but by chance: argmax breaks the tie for the first.": _mixed(
                np.eye(4)[1], 0.4
            ),
            "epsilon and 1 - epsilon have changed places.": right(values, 0.6),
        },
        tolerance=0.03,
    )
    came = jax.jit(student.sample_action)(jax.random.key(5), jnp.array([1.0, 5.0, 2.0]), 0.0)
    student.expect("the action of q_values [1, 5, 2] and epsilon 0, under jit", came, 1)


def right(q_values, epsilon: float) -> np.ndarray:
    """What the library says."""
    return np.asarray(ops.EpsilonGreedy(jnp.array(q_values), epsilon).probs())


def mistakes(q: np.ndarray, epsilon: float) -> dict[str, np.ndarray]:
    """What typical mistakes give, by what is said then."""
    number = q.shape[-1]
    greedy = (q == q.max(-1, keepdims=True)).astype(float)
    share = greedy / greedy.sum(-1, keepdims=True)
    first = np.eye(number)[q.argmax(-1)]
    least = (q == q.min(-1, keepdims=True)).astype(float)
    return {
        "Only the first of the best actions has the greedy part, as argmax chooses: equal ones share it.": _mixed(
            first, epsilon
        ),
        "Each of the best actions has all of 1 - epsilon, so that the sum is more than 1: they share it.": _mixed(
            greedy, epsilon
        ),
        "The greedy part is there for the best action of the whole batch only: the maximum is over the last axis.": (
            _mixed((q == q.max()).astype(float) / (q == q.max()).sum(), epsilon)
        ),
        "epsilon is shared by the other A - 1 actions: here the greedy one is among those drawn at random too.": (
            (1.0 - epsilon) * first + epsilon * (1.0 - first) / max(number - 1, 1)
        ),
        "The random part is left out for the best actions: they have epsilon / A as well.": (
            (1.0 - epsilon) * share + epsilon / number * (1.0 - greedy)
        ),
        "The sum is less than 1: epsilon / A is missing.": (1.0 - epsilon) * share,
        "The sum is more than 1: the greedy part is 1 - epsilon, not 1.": share + epsilon / number,
        "epsilon is not divided by the number of actions.": (1.0 - epsilon) * share + epsilon,
        "epsilon and 1 - epsilon have changed places.": _mixed(share, 1.0 - epsilon),
        "The greedy part is with the least value.": _mixed(least / least.sum(-1, keepdims=True), epsilon),
    }


def _mixed(greedy: np.ndarray, epsilon: float) -> np.ndarray:
    return epsilon / greedy.shape[-1] + (1.0 - epsilon) * greedy


def _soft(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum()
