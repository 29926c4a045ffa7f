"""The check of exercise 11.3, by `planning.imagined_return`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.cli.exercises.exercise import Student, Wrong, shown
from jaxrl_up.envs import Model
from jaxrl_up.learning import planning

READING = (
    'lesson 11_planning_and_models, "The search finds what is wrong"; docs/algorithms/pets.md, "Key equations"; Chua '
    "et al. 2018, arXiv:1805.12114, section 5.1"
)
HINTS = (
    "The two ways of choosing members differ in `which_members` alone: which of its two axes is drawn, and which is a "
    "copy? `plan_value` reads what it is given, member[h, p].",
    "Keep two things for each particle, its state [P, D] and whether it is still going [P], and loop over the steps. "
    "One call of jax.vmap(predict, (0, 0, None)) asks each particle's own member.",
    "In a step: said = jax.vmap(predict, (0, 0, None))(member[h], states, plan[h]); add the mean over particles of "
    "jnp.where(going, said.reward, 0); states = said.mean + said.std * noise[h]; going = going & ~said.terminated.",
)
GAIN, REWARD = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, -2.0])  # of three members
ACTIONS = (1.0, 2.0, -1.0, 0.5)
STEPS, PARTICLES, MEMBERS = len(ACTIONS), 4, 3
KEPT = np.tile([0, 1, 2, 1], (STEPS, 1))
DRAWN = np.array([[0, 1, 2, 1], [2, 1, 0, 0], [1, 0, 0, 2], [0, 2, 1, 1]])
NOISE = np.array([[0.5, -1.0, 0.25, 2.0], [-0.5, 1.5, 0.75, -1.0], [1.0, 0.5, -0.25, 0.1], [0.3, 0.2, -0.6, 0.4]])
CASES = {  # whether particles change their members, whether there is noise, the state beyond which it ends
    "TS-infinity, noise 0, nothing ends": (KEPT, 0.0 * NOISE, np.inf),
    "TS-infinity, nothing ends": (KEPT, NOISE, np.inf),
    "TS1, nothing ends": (DRAWN, NOISE, np.inf),
    "TS-infinity, a particle ends where the mean of its next state is over 4": (KEPT, NOISE, 4.0),
    "TS1, a particle ends where the mean of its next state is over 4": (DRAWN, NOISE, 4.0),
}
DRAWS = 3000


def check(student: Student) -> None:
    """Which members, then what plans are worth: by both ways, with noise and ends, and jit. Raises `Wrong`."""
    members(student)
    for case, (member, noise, limit) in CASES.items():
        given = jnp.array([1.0]), jnp.array(ACTIONS)[:, None], jnp.array(member), jnp.array(noise)[..., None]
        came = student.plan_value(predictor(student, limit), *given)
        said = mistakes(member, noise, limit)
        asked = f"plan_value of {PARTICLES} particles and {STEPS} steps: {case}"
        student.expect(asked, came, right(member, noise, limit), said)
    came = jax.jit(lambda *x: student.plan_value(predictor(student, limit), *x))(*given)
    student.expect("plan_value of the last case, under jit", came, right(member, noise, limit))


def members(student: Student) -> None:
    """Shape, range, who keeps what, and frequencies."""
    keys = jax.random.split(jax.random.key(0))
    for redraw, name in ((False, "TS-infinity (redraw=False)"), (True, "TS1 (redraw=True)")):
        first, other = (np.asarray(student.which_members(key, 8, DRAWS, MEMBERS, redraw)) for key in keys)
        if first.shape != (8, DRAWS):
            raise Wrong(f"which_members of 8 steps and {DRAWS} particles: the shape is {list(first.shape)}, it should "
                        f"be {[8, DRAWS]}.")  # fmt: skip
        if first.dtype.kind not in "iu":
            raise Wrong(f"which_members: members are whole numbers, these are {first.dtype}.")
        if first.min() < 0 or first.max() >= MEMBERS:
            raise Wrong(f"which_members: with {MEMBERS} members they are 0 to {MEMBERS - 1}; there are numbers from "
                        f"{first.min()} to {first.max()}.")  # fmt: skip
        what = f"which_members, {name}: e(h, p) of the first particles, step by step, {shown(first[:4, :6])}"
        keeps = bool((first == first[0]).all())
        if (first == first[:, :1]).all():
            raise Wrong(f"{what}\n  All particles go through one and the same member: each draws its own.")
        if not redraw and not keeps:
            raise Wrong(f"{what}\n  A particle changes its member on the way: with TS-infinity it keeps the one that "
                        "it drew at first.")  # fmt: skip
        if redraw and keeps:
            raise Wrong(f"{what}\n  A particle keeps its member: with TS1 it draws a new one at each step.")
        if np.array_equal(first, other):
            raise Wrong(f"{what}\n  Two keys gave the same members: all randomness is to come from the key.")
        came = np.bincount(first[-1], minlength=MEMBERS) / DRAWS
        last = {"The last member is never drawn: randint's upper bound is not drawn itself.": [1 / 2, 1 / 2, 0]}
        asked = f"which_members, {name}: shares of {DRAWS} particles with each of {MEMBERS} members"
        student.expect(asked, came, np.full(MEMBERS, 1 / 3), last, tolerance=0.04)


def predictor(student: Student, limit: float) -> Any:
    """Member e: s' ~ N(s + gain_e a, (a / 2)^2), reward_e s, an end where that mean is over the limit."""
    gain, reward = jnp.array(GAIN), jnp.array(REWARD)

    def predict(member: jax.Array, state: jax.Array, action: jax.Array) -> Any:
        mean = state + gain[member] * action
        return student.Prediction(mean, jnp.abs(action) / 2.0, reward[member] * state[0], mean[0] > limit)

    return predict


@jax.jit
def right(member: jax.Array, noise: jax.Array, limit: float) -> jax.Array:
    """What the library says of a model whose params are a particle's members and noise; its state has the time."""

    def step(params: Any, key: Any, state: Any, action: jax.Array) -> Any:
        (members, noise), (now, time) = params, state
        mean = now + jnp.array(GAIN)[members[time]] * action
        reached = mean + jnp.abs(action) / 2.0 * noise[time], time + 1
        return reached, reached[0], jnp.array(REWARD)[members[time]] * now, mean > limit

    def worth(members: jax.Array, noise: jax.Array) -> jax.Array:
        begin = jnp.float32(1.0), jnp.int32(0)
        model, plan = Model(lambda params, key: begin, step), jnp.array(ACTIONS)
        return planning.imagined_return(model, (members, noise), begin, plan, jax.random.key(0))

    return jnp.mean(jax.vmap(worth)(jnp.asarray(member).T, jnp.asarray(noise).T))


def mistakes(member: np.ndarray, noise: np.ndarray, limit: float) -> dict[str, float]:
    """What typical mistakes give, by what is said then."""
    given = member, noise, limit
    said = {
        "Each particle takes the mean of all members' predictions: it goes through one member, its own.": _loop(
            *given, mixed=True
        ),
        "This is the mean of all members' predictions, without noise: a particle goes through one member, its own.": (
            _loop(member, 0.0 * noise, limit, mixed=True)
        ),
        "The noise is left out.": _loop(member, 0.0 * noise, limit),
        "All particles have the same noise, that of the first: it is noise[h, p].": _loop(
            member, np.tile(noise[:, :1], (1, PARTICLES)), limit
        ),
        "A particle has the same noise at all steps, noise[0]: it is noise[h, p].": _loop(
            member, np.tile(noise[:1], (STEPS, 1)), limit
        ),
        "The noise is multiplied by the variance: it is by the standard deviation, which is what `std` is.": _loop(
            *given, scale=lambda std: std**2
        ),
        "The noise is multiplied by the root of `std`, which is the standard deviation already.": _loop(
            *given, scale=np.sqrt
        ),
        "The noise is not multiplied by `std`.": _loop(*given, scale=np.ones_like),
        "A particle stays with its first member, member[0]: here it has a new one at each step.": _loop(
            np.tile(member[:1], (STEPS, 1)), noise, limit
        ),
        "All particles go through the first one's member: it is member[h, p].": _loop(
            np.tile(member[:, :1], (1, PARTICLES)), noise, limit
        ),
        "All particles go through member 0: it is member[h, p].": _loop(0 * member, noise, limit),
        "A particle earns on after its episode ended: rewards count as long as it is going.": _loop(*given, ends=False),
        "The reward of the step that ends the episode is left out: it counts.": _loop(*given, last=False),
        "All particles end as soon as one does: each ends by itself.": _loop(*given, together=np.any),
        "Particles end only when all of them have: each ends by itself.": _loop(*given, together=np.all),
        "A particle that does not end at a step is alive again: once it has ended, it has ended for good.": _loop(
            *given, again=True
        ),
        "This is the sum over particles: take their mean.": PARTICLES * _loop(*given),
        "This is the mean over the steps as well: a plan's rewards add up.": _loop(*given) / STEPS,
        "The state stays where it was: each step goes on from where the last one led.": _loop(*given, moves=False),
        "The particles are put together after each step, to their mean: each goes its own way.": _loop(
            *given, merged=True
        ),
        "The reward is asked of the state that the step reached: it is that of the state and action before it.": _loop(
            *given, reached=True
        ),
        "The first particle's value is returned: take the mean of all.": _loop(*given, which=slice(1)),
        "This is the best particle's value: take the mean of all.": _loop(*given, over=np.max),
    }  # fmt: skip
    return said


def _loop(
    member, noise, limit, *, mixed=False, scale=lambda x: x, ends=True, last=True, together=None, again=False,
    moves=True, merged=False, reached=False, which=slice(None), over=np.mean,
) -> float:  # fmt: skip
    """The value in plain loops over the steps, for all particles side by side."""
    states, going, total = np.ones(PARTICLES), np.ones(PARTICLES, bool), np.zeros(PARTICLES)
    for action, members, drawn in zip(ACTIONS, member, noise, strict=True):
        gain, reward = (np.full(PARTICLES, x.mean()) if mixed else x[members] for x in (GAIN, REWARD))
        mean = states + gain * action
        after = mean + scale(np.abs(action) / 2.0) * drawn
        ended = mean > limit
        if together is not None:
            ended = np.full(PARTICLES, together(ended))
        counts = going & ~ended if not last else going if ends else np.ones(PARTICLES, bool)
        total += np.where(counts, reward * (after if reached else states), 0.0)
        going = ~ended if again else going & ~ended
        states = states if not moves else np.full(PARTICLES, after.mean()) if merged else after
    return float(over(total[which]))
