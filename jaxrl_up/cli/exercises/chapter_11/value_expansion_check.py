"""The check of exercise 11.4, by `ops.td_target` and `planning.imagined_return`."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student
from jaxrl_up.envs import Model
from jaxrl_up.learning import planning

READING = (
    'lesson 11_planning_and_models, "A model in the target"; lesson 04_value_fitting, "Where the bootstrap ends"; '
    "Feinberg et al. 2018, arXiv:1803.00101, section 3"
)
HINTS = (
    "Begin with H = 0 and see that it is r + gamma (1 - terminated) Q'(s', mu'(s')). Then keep one number for each "
    "row, the weight of what comes next: what is it after the real step, and how does an imagined step change it?",
    "The weight is gamma after the real step, 0 if it terminated. An imagined reward counts by the weight before its "
    "step; then the weight is multiplied by gamma, and becomes 0 where the step ended the episode.",
    "for _ in range(horizon): imagined, ended, after = model(obs, mu(obs)); total += jnp.where(weight > 0, weight * "
    "imagined, 0); weight = jnp.where(ended, 0, gamma * weight); obs = after. Then weight * q(obs, mu(obs)), the same "
    "way.",
)
GAMMA, LIMIT = 0.5, 9.0
REWARD, NEXT_OBS = np.array([1.0, -2.0, 3.0]), np.array([1.0, 2.5, 4.0])
ENDS = {  # case: which real transitions terminated, the number beyond which an imagined episode ends
    "nothing ends": ((False, False, False), np.inf),
    f"imagined steps that reach more than {LIMIT:g} end the episode": ((False, False, False), LIMIT),
    "the second real transition terminated": ((False, True, False), np.inf),
    f"the first real transition terminated, imagined steps beyond {LIMIT:g} end": ((True, False, False), LIMIT),
}


def check(student: Student) -> None:
    """Horizons 0 to 3 with ends of both kinds, nan after them, gradients, and jit. Raises `Wrong`."""
    for case, (terminated, limit) in ENDS.items():
        for horizon in (3, 1, 0):
            came = student.value_expansion(*given(terminated), model(limit), q, mu, GAMMA, horizon)
            asked = f"H = {horizon}, {case}: y of 3 transitions, rewards {REWARD.tolist()}, gamma {GAMMA}"
            student.expect(
                asked, came, right(terminated, limit, horizon), mistakes(np.array(terminated), limit, horizon)
            )
    came = student.value_expansion(*given(terminated), model(limit, jnp.nan), broken, mu, GAMMA, 3)
    expected = right(terminated, limit, 3)
    nan = {
        "What the model or the critic says after an end came through: 0 * nan is nan, and jnp.where(ended, 0, x) is "
        "not.": np.where(np.isnan(np.asarray(came, float)), np.nan, expected)
    }
    student.expect("H = 3, where all that is said after an end is nan", came, expected, nan)

    def summed(scale: jax.Array) -> jax.Array:
        critic = lambda obs, action: scale * q(obs, action)  # noqa: E731
        return jnp.sum(student.value_expansion(*given(terminated), model(limit), critic, mu, GAMMA, 1))

    flows = "A gradient flows through y, which is data: stop it with jax.lax.stop_gradient."
    leak = jax.grad(summed)(jnp.float32(1.0))
    student.expect("gradient of the sum of y with respect to a parameter of Q'", leak, 0.0, {flows: leak})
    came = jax.jit(lambda *x: student.value_expansion(*x, model(limit), q, mu, GAMMA, 3))(*given(terminated))
    student.expect("H = 3, under jit", came, expected)


def given(terminated: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Reward, terminated and next_obs of the three real transitions."""
    return jnp.array(REWARD), jnp.array(terminated), jnp.array(NEXT_OBS)[:, None]


def model(limit: Any, beyond: float | None = None) -> Any:
    """s' = s + a, r^ = 2 s + a; it ends where s' is over the limit, from where, if given, `beyond` is all it says."""

    def step(obs: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        x, a = obs[:, 0], action[:, 0]
        reached = x + a
        ended = reached > limit
        if beyond is not None:
            reached = jnp.where(ended, beyond, reached)
        return 2.0 * x + a, ended, reached[:, None]

    return step


def mu(obs: jax.Array) -> jax.Array:
    """mu'(s) = s / 2 + 1."""
    return obs / 2.0 + 1.0


def q(obs: jax.Array, action: jax.Array) -> jax.Array:
    """Q'(s, a) = 10 s - a."""
    return 10.0 * obs[:, 0] - action[:, 0]


def broken(obs: jax.Array, action: jax.Array) -> jax.Array:
    """The same, and nan where it is asked for the first state of a transition that terminated."""
    return jnp.where(jnp.arange(3) == 0, jnp.nan, q(obs, action))


def right(terminated: Any, limit: float, horizon: int) -> np.ndarray:
    """What the library says: the TD target of what the policy's plan earns in the model, with Q' at its end."""
    reward, terminated, next_obs = given(terminated)
    return np.asarray(ops.td_target(reward, GAMMA * (1.0 - terminated), _worth(next_obs, limit, horizon)))


@partial(jax.jit, static_argnums=2)
def _worth(next_obs: jax.Array, limit: float, horizon: int) -> jax.Array:
    """V of each `next_obs`, `horizon` steps in the model and then Q'."""

    def step(params: Any, key: Any, obs: jax.Array, action: jax.Array) -> Any:
        reward, ended, after = (x[0] for x in model(limit)(obs[None], action[None]))
        return after, after, reward, ended

    def value(obs: jax.Array) -> jax.Array:
        return q(obs[None], mu(obs[None]))[0]

    def of_one(obs: jax.Array) -> jax.Array:
        if horizon == 0:
            return value(obs)
        world, key = Model(lambda params, key: obs, step), jax.random.key(0)
        plan = planning.policy_plan(world, (), obs, obs, lambda obs, key: mu(obs), key, horizon)
        return planning.imagined_return(world, (), obs, plan, key, GAMMA, value)

    return jax.vmap(of_one)(next_obs)


def mistakes(terminated: np.ndarray, limit: float, horizon: int) -> dict[str, np.ndarray]:
    """What typical mistakes give, by what is said then."""
    usual = terminated, limit, horizon
    return {
        "A value follows a real transition that terminated: y is its reward alone.": _loop(
            np.zeros(3, bool), *usual[1:]
        ),
        "Rewards are added after an imagined step that ended the episode, and Q' too: nothing comes after it.": _loop(
            *usual, rewards_end=False, value_ends=False
        ),
        "Q' is added after an imagined step that ended the episode: nothing comes after it.": _loop(
            *usual, value_ends=False
        ),
        "Rewards are added after an imagined step that ended the episode: nothing comes after it.": _loop(
            *usual, rewards_end=False
        ),
        "The reward of the imagined step that ends the episode is left out: it counts.": _loop(*usual, last=False),
        "One end ends all rows: each row ends by itself.": _loop(*usual, together=True),
        "The imagined rewards count gamma^t: the real step comes before them, so gamma^(t + 1).": _loop(
            *usual, shift=0
        ),
        "The imagined rewards count gamma^(t + 2): one gamma too many.": _loop(*usual, shift=2),
        "The imagined rewards are not discounted.": _loop(*usual, discounted=False),
        "Q' counts gamma^H: the real step is one more, so gamma^(H + 1).": _loop(*usual, power=horizon),
        "Q' counts gamma^(H + 2): one gamma too many.": _loop(*usual, power=horizon + 2),
        "Q' counts gamma, whatever H is: it counts gamma^(H + 1).": _loop(*usual, power=1),
        "Q' is not discounted.": _loop(*usual, power=0),
        "Q' is left out.": _loop(*usual, bootstrap=False),
        "Q' is asked for the state before the last imagined step: it is that of the state reached.": _loop(
            *usual, early=True
        ),
        "The action in Q' is that of the state before: it is mu'(s^_H), of the state reached.": _loop(*usual, old=True),
        "The action stays that of s' for all steps: the policy is asked at each imagined state.": _loop(
            *usual, open_loop=True
        ),
        "The real reward is there twice: as r, and again in the place of the first imagined one.": _loop(
            *usual, twice=True
        ),
        "The real reward is added to each imagined one.": _loop(*usual, added=True),
        "The real reward is left out.": _loop(*usual) - REWARD,
        "These are H + 1 imagined steps.": _loop(terminated, limit, horizon + 1),
        "These are H - 1 imagined steps.": _loop(terminated, limit, max(horizon - 1, 0)),
        "H is not read: this is the TD target.": _loop(terminated, limit, 0),
        "H is not read: this is the target of one imagined step.": _loop(terminated, limit, 1),
        "The states are not carried on: each imagined step begins in s'.": _loop(*usual, moves=False),
        "y has values only behind transitions that terminated: `terminated` is the wrong way round.": _loop(
            ~terminated, *usual[1:]
        ),
        "This is the mean over the transitions: one target for each.": _loop(*usual).mean(),
    }


def _loop(
    terminated, limit, horizon, *, rewards_end=True, value_ends=True, last=True, together=False, shift=1, power=None,
    discounted=True, bootstrap=True, early=False, old=False, open_loop=False, twice=False, added=False, moves=True,
) -> np.ndarray:  # fmt: skip
    """The targets in a plain loop over the imagined steps, for all rows side by side."""
    act = lambda x: x / 2.0 + 1.0  # noqa: E731
    x, total, going = NEXT_OBS.copy(), REWARD.copy(), ~terminated
    before, action = x, act(x)
    for t in range(horizon):
        before, action = x, action if open_loop else act(x)
        reached = x + action
        ended = reached > limit
        if together:
            ended = np.full(3, ended.any())
        earned = REWARD if twice and t == 0 else 2.0 * x + action + added * REWARD
        counts = (going & ~ended) if not last else going if rewards_end else ~terminated
        total = total + np.where(counts, (GAMMA ** (t + shift) if discounted else 1.0) * earned, 0.0)
        going, x = going & ~ended, reached if moves else x
    there = before if early else x
    value = 10.0 * there - (action if old or open_loop else act(there))
    weight = GAMMA ** (horizon + 1 if power is None else power)
    counts = going if value_ends else ~terminated
    return total + np.where(counts & bootstrap, weight * value, 0.0)
