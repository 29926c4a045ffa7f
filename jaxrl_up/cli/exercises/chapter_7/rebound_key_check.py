"""The check of exercise 7.1: draws have to look independent, and JAX itself says whether a key was used twice."""

import jax
import numpy as np

from jaxrl_up.cli.exercises.exercise import Student, Wrong, as_numbers, shown

READING = 'lesson 07_many_seeds, "A seed is a key"; docs.jax.dev, "Pseudorandom numbers"'
HINTS = (
    "Print what comes for two seeds, three steps and size 2, and look for numbers that are there twice: between seeds, "
    "between steps, between weights and noise. `with jax.debug_key_reuse(True):` around a call finds the rest.",
    "Three questions. Which key does `one_seed` get in `many_seeds`? Which key are the weights drawn with, and the "
    "first noise? After `key, noise_key = jax.random.split(key)`, which of the two is to be drawn from, and which one "
    "goes on?",
    "In `many_seeds` the function under vmap takes the key: lambda key: one_seed(key, ...). In `one_seed` split first: "
    "weights_key, key = jax.random.split(key). In the loop split first as well, and draw with noise_key.",
)
SEEDS, SIZE, STEPS = 3, 64, 4
LIKE = 0.9  # correlation of two draws that counts as the same numbers; of independent ones it is 0.13 or so


def check(student: Student) -> None:
    """Shapes, the same again, other keys, seeds, steps, weights against noise, and keys used twice. Raises `Wrong`."""
    weights, noise = drawn(student, student.one_seed, (SIZE, STEPS), "one_seed", ())
    again = drawn(student, student.one_seed, (SIZE, STEPS), "one_seed", ())
    if not all(np.array_equal(x, y) for x, y in zip((weights, noise), again, strict=True)):
        raise Wrong(
            "one_seed: the same key gave other numbers the second time. All randomness is to come from the key."
        )
    student.cases += 1
    weights, noise = drawn(student, student.many_seeds, (SEEDS, SIZE, STEPS), "many_seeds", (SEEDS,))
    others = drawn(student, student.many_seeds, (SEEDS, SIZE, STEPS), "many_seeds", (SEEDS,), seed=1)
    check_seeds(weights, noise, others)
    check_steps(weights[0], noise[0])
    check_scale(np.concatenate([weights.ravel(), noise.ravel()]))
    student.cases += 5
    check_reuse(student)


def drawn(
    student: Student, function, numbers: tuple[int, ...], name: str, lead: tuple[int, ...], seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and noise that the student's function draws."""
    found = function(jax.random.key(seed), *numbers)
    if not isinstance(found, tuple) or len(found) != 2:
        raise Wrong(f"`{name}` is to return two things: the weights, and the noise of each step.")
    arrays = [as_numbers(f"{name}: {what}", x) for what, x in zip(("weights", "noise"), found, strict=True)]
    for what, x, shape in zip(("weights", "noise"), arrays, ((*lead, SIZE), (*lead, STEPS, SIZE)), strict=True):
        if x.shape != shape:
            raise Wrong(f"{name}: the shape of the {what} is {list(x.shape)}, it should be {list(shape)}.")
    return arrays[0], arrays[1]


def check_seeds(weights: np.ndarray, noise: np.ndarray, others: tuple[np.ndarray, np.ndarray]) -> None:
    """Seeds differ, in all that they draw, and so do experiments of two keys."""
    for name, mine, other in (("weights", weights, others[0]), ("noise", noise, others[1])):
        if np.array_equal(mine[0], mine[1]):
            begin = shown(mine.reshape(SEEDS, -1)[:2, :3])
            raise Wrong(
                f"many_seeds: the {name} of seed 0 and of seed 1 are the same, to the last digit:\n  came      "
                f"{begin} and so "
                f"on\n  {SEEDS} seeds are one seed, {SEEDS} times. Each is to be run with its own row of `keys`."
            )
        if np.array_equal(mine, other):
            raise Wrong(
                f"many_seeds: two keys gave the same {name}, {shown(other.ravel()[:3])} and so on. The key that is "
                f"given is "
                "not read: is there one made inside, from a fixed number?"
            )
        if alike(mine[0].ravel(), mine[1].ravel()):
            raise Wrong(
                f"many_seeds: the {name} of seed 0 and of seed 1 rise and fall together: they are not independent."
            )


def check_steps(weights: np.ndarray, noise: np.ndarray) -> None:
    """Steps differ, and none has the weights as its noise."""
    for later in range(1, STEPS):
        for sooner in range(later):
            if alike(noise[sooner], noise[later]):
                raise Wrong(
                    f"one_seed: the noise of step {sooner} and of step {later} is the same, "
                    f"{shown(noise[sooner][:3])} and so "
                    "on. The key that goes on to the next step has to be a new one: rebind it, key, noise_key = "
                    "jax.random.split(key)."
                )
    for step in range(STEPS):
        if alike(weights, noise[step]):
            raise Wrong(
                f"one_seed: the noise of step {step} is the initial weights, {shown(weights[:3])} and so on. They "
                f"were drawn "
                "with one key: split it before the first draw."
            )


def check_scale(numbers: np.ndarray) -> None:
    """Mean 0 and standard deviation 1."""
    if abs(numbers.mean()) > 0.15 or abs(numbers.std() - 1.0) > 0.1:
        raise Wrong(
            f"many_seeds: all numbers together have mean {numbers.mean():.2f} and standard deviation "
            f"{numbers.std():.2f}; "
            "standard normal ones have 0 and 1."
        )


def check_reuse(student: Student) -> None:
    """No key is used twice, which JAX finds by itself."""
    with jax.debug_key_reuse(True):
        try:
            student.many_seeds(jax.random.key(2), 2, 2, 2)
        except Wrong as wrong:
            if "KeyReuseError" not in str(wrong):
                raise
            place = str(wrong).partition(": KeyReuseError")[0]
            raise Wrong(
                f"{place}: a key is used twice here: it was drawn from or split before. (Found by "
                f"jax.debug_key_reuse(True).) "
                "The numbers look right, but nothing says that they are independent. Draw with a key that is used for "
                "nothing else, and go on with another one."
            ) from None
    student.cases += 1


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two draws are the same numbers, also shifted or scaled."""
    if np.std(a) == 0 or np.std(b) == 0:
        return bool(np.allclose(a, b))
    return bool(abs(np.corrcoef(a, b)[0, 1]) > LIKE)
