"""Exercise 11.3: trajectory sampling, what a plan is worth in an ensemble.

An ensemble of E members predicts, member by member, what follows a state and an action: a Gaussian for the next state,
a reward, and whether the episode ends. A plan a_0 ... a_{H-1} is tried by P particles, all of which begin in the same
state. Particle p goes through one member at each step, e(h, p):

    s_{h+1}^p = mu_{e(h,p)}(s_h^p, a_h) + sigma_{e(h,p)}(s_h^p, a_h) n_h^p,    n_h^p ~ N(0, 1)
    value = 1/P sum_p sum_h r_{e(h,p)}(s_h^p, a_h)    until the particle's episode ends

The reward of the step that ends it counts, later ones do not. Two ways to choose the members (Chua et al. 2018):

    TS-infinity   a particle keeps for the whole plan the member that it drew at first: its world is one and the same
    TS1           it draws a new one at each step: what members disagree about counts as chance, step by step

Write `which_members` and `plan_value`. The ensemble is a function of one particle, `predict(member, state, action)`,
with `member` a whole number in 0..E-1; `jax.vmap` makes it one of many.
Read: lesson 11, "The search finds what is wrong"; Chua et al. 2018, arXiv:1805.12114, section 5.1.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Prediction(NamedTuple):
    """What a member says of one state and action."""

    mean: jax.Array  # [D], of the next state
    std: jax.Array  # [D], standard deviation of the next state
    reward: jax.Array  # []
    terminated: jax.Array  # bool [], the episode ends with this step


def which_members(key: jax.Array, horizon: int, particles: int, members: int, redraw: bool) -> jax.Array:
    """e(h, p), uniform over the members.

    Args:
      key: a random key; all randomness comes from it.
      horizon: H.
      particles: P.
      members: E.
      redraw: whether a particle draws a new member at each step, TS1; otherwise it keeps its first one, TS-infinity.

    Returns:
      int `[H, P]`, from 0 to E - 1.
    """
    ### BEGIN SOLUTION
    steps = horizon if redraw else 1
    drawn = jax.random.randint(key, (steps, particles), 0, members)
    return jnp.broadcast_to(drawn, (horizon, particles))
    ### END SOLUTION


def plan_value(
    predict: Callable[[jax.Array, jax.Array, jax.Array], Prediction],
    state: jax.Array,
    plan: jax.Array,
    member: jax.Array,
    noise: jax.Array,
) -> jax.Array:
    """What a plan is worth, the mean over the particles.

    Args:
      predict: (member `[]`, state `[D]`, action `[A]`) -> `Prediction`.
      state: `[D]`, where all particles begin.
      plan: `[H, A]`.
      member: int `[H, P]`, the member that each particle goes through at each step.
      noise: `[H, P, D]`, standard normal.

    Returns:
      `[]`.
    """
    ### BEGIN SOLUTION
    particles = member.shape[1]

    def step(carry, row):
        states, going = carry
        action, member, noise = row
        said = jax.vmap(predict, (0, 0, None))(member, states, action)
        earned = jnp.where(going, said.reward, 0.0)
        return (said.mean + said.std * noise, going & ~said.terminated), earned

    begin = jnp.tile(state, (particles, 1)), jnp.ones(particles, bool)
    earned = jax.lax.scan(step, begin, (plan, member, noise))[1]
    return jnp.mean(jnp.sum(earned, axis=0))
    ### END SOLUTION
