"""Where gymnax 1.0 departs from what it declares or implements, and what the adapter does about it.

    environment               what gymnax 1.0.1 does  ->  what happens here
    CartPole-v1               total_mass and polemass_length do not follow masscart, masspole, length
                                ->  computed from them, unless given
    MountainCarContinuous-v0  the left wall does not stop the car (in gymnasium it does)
                                ->  velocity 0 at the wall
    Catch-bsuite              declares int32 observations, gives float32  ->  the space is float32
    MemoryChain-bsuite        observes -1 in a space from 0, and -1.5e-8 where 0 is meant
                                ->  the space begins at -1, observations are clipped to it
    UmbrellaChain-bsuite      int32 rewards, -1.5e-8 where 0 is meant  ->  float32, clipped to the space
    SimpleBandit-bsuite       redraws which arm is good for every one-step episode, so nothing can be learnt
                                ->  one order of the arms, as in bsuite
    BernoulliBandit-misc      int32 rewards; leaves its space if the limit is above 100
                                ->  float32; the space follows the limit
    GaussianBandit-misc       observes rewards and times below the space's 0  ->  the space is widened
    MetaMaze-misc             moves the agent from the goal to a random cell, and ends the episode only if
                                that is the goal again  ->  never terminates, as in Miconi et al. (2019)
    MetaMaze-misc             observes rewards above the space's 1  ->  the space is widened
    FourRooms-misc            int32 observations in a float32 space  ->  float32
    FourRooms-misc            use_visual_obs draws the agent at (column, row)
                                ->  at (row, column), as the walls
    Pong-misc                 no border above: the ball leaves the screen (up to row -71), a fifth of random
                                episodes end so  ->  reflected as it is below
    Pong-misc                 a space up to 2 for values up to 1  ->  up to 1
    all                       weak Python numbers in the state, other dtypes after step than after reset
                                ->  strong dtypes, the same after both
    all                       info["discount"], which repeats the flags  ->  dropped
    Pendulum-v1, MountainCarContinuous-v0, PointRobot-misc, Reacher-misc, Swimmer-misc
                              stop the gradient at every step  ->  differentiable, in states and parameters

Left as they are, to be known: all others stop the gradient at every step, so that the gradient of a return by a
parameter leaves out what earlier steps did to the state, and is often 0, without a word; DeepSea ends terminated *and*
truncated at once (its depth is its limit), and its statistics across episodes are reset with the rest;
DiscountingChain and Freeway end truncated where the originals terminate; PointRobot pays for the position before the
move; Asterix never fills the first slot it draws, and a spawn without a free slot empties one; Reacher cannot be
traced with num_joints other than 2. What MinAtar lacks is in `caution`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.envs.spaces import Box, Space

INFINITY = np.inf


def _gymnax_step(environment: Any, key: Any, state: Any, action: Any, params: Any) -> Any:
    return environment.step_env(key, state, action, params)


class Mend(NamedTuple):
    """How one gymnax environment is put right; every default means "leave as it is"."""

    step: Callable[..., Any] = _gymnax_step
    observation_space: Callable[[Any, Any], Space] | None = None  # (environment, params) -> Space
    observe: Callable[[Any, Any], Any] = lambda environment, obs: obs
    clip: bool = False  # observations leave their space by rounding only
    reset_key: Callable[[Any], Any] = lambda key: key
    binary: Callable[[Any], bool] = lambda environment: False  # observations are zeros and ones
    deterministic: Callable[[dict[str, Any]], bool] = lambda fixed: False  # one first state for all keys
    derived: Mapping[str, tuple[str, Callable[[Any], Any]]] = {}  # parameter -> what it follows, how


def caution(name: str) -> str:
    """A sentence that belongs beside scores on an environment; empty for most."""
    if not name.endswith("-MinAtar"):
        return ""
    return (
        "gymnax's MinAtar is not the original (Young and Tian 2019), so scores of papers do not compare: it has no "
        "sticky actions (there the last action is repeated with probability 0.1), minimal action sets (there all six), "
        "and cuts episodes at 1,000 steps (Freeway at 2,500; there at none)"
    )


def _always(_: Any) -> bool:
    return True


def _stop_at_left_wall(environment: Any, key: Any, state: Any, action: Any, params: Any) -> Any:
    obs, state, reward, terminated, info = environment.step_env(key, state, action, params)
    stopped = (state.position <= params.min_position) & (state.velocity < 0)
    velocity = jnp.where(stopped, 0.0, state.velocity)
    return obs.at[1].set(velocity), state.replace(velocity=velocity), reward, terminated, info


def _never_terminate(environment: Any, key: Any, state: Any, action: Any, params: Any) -> Any:
    obs, state, reward, _, info = environment.step_env(key, state, action, params)
    return obs, state, reward, jnp.asarray(False), info


def _pong_step(environment: Any, key: Any, state: Any, action: Any, params: Any) -> Any:
    from gymnax.environments.misc import pong

    height, width, half = environment.height, environment.width, environment.paddle_half_height
    last_position = state.ball_position
    state = pong.move_paddles(action, params.paddle_y_speed, state, half, height, params.use_ai_policy)
    state = pong.move_ball(state)
    above = state.ball_position[0] < 0
    mirror = jnp.where(above, -1, 1)
    state = state.replace(  # the border gymnax leaves out
        ball_position=state.ball_position.at[0].multiply(mirror),
        ball_velocity=state.ball_velocity.at[0].multiply(mirror),
    )
    state = pong.reflect_on_borders(state, height)
    state = pong.reflect_on_paddle(state, width, half, params)
    state = state.replace(last_ball_position=last_position, time=state.time + 1)
    terminated = environment.is_terminated(state, params)
    return environment.get_obs(state), state, 1.0 - terminated, terminated, {}


def _four_rooms_observe(environment: Any, obs: Any) -> Any:
    return obs.at[..., 1].set(obs[..., 1].T) if environment.use_visual_obs else obs


def _memory_chain_space(environment: Any, params: Any) -> Space:
    bits = environment.num_bits
    return Box([0.0, 0.0] + bits * [-1.0], [1.0, max(bits - 1.0, 0.0)] + bits * [1.0], (bits + 2,))


def _time_bounds(params: Any) -> tuple[float, float]:
    """Bounds of the time entry of an observation: steps, or steps mapped from [0, 100] to [-1, 1]."""
    limit = float(params.max_steps_in_episode)
    return (-1.0, max(2.0 * limit / 100.0 - 1.0, 1.0)) if params.normalize_time else (0.0, limit)


def _bernoulli_space(environment: Any, params: Any) -> Space:
    low, high = 0.0, float(params.max_steps_in_episode)
    if params.normalize_time:
        low, span = float(params.min_lim), float(params.max_lim - params.min_lim)
        high = low + span * max(high / float(params.t_max), 1.0)
    return Box([0.0, 0.0, 0.0, min(low, high)], [1.0, 1.0, 1.0, max(low, high)], (4,))


def _gaussian_space(environment: Any, params: Any) -> Space:
    low, high = _time_bounds(params)
    return Box([-INFINITY, 0.0, 0.0, low], [INFINITY, 1.0, 1.0, high], (4,))


def _meta_maze_space(environment: Any, params: Any) -> Space:
    low, high = _time_bounds(params)
    cells = environment.rf_size**2 + environment.num_actions
    return Box([0.0] * cells + [-INFINITY, low], [1.0] * cells + [INFINITY, high], (cells + 2,))


def differentiable(environment: Any) -> Any:
    """The environment, its gradients no longer stopped where gymnax knows how."""
    known = getattr(environment, "supports_transition_gradients", False)
    return environment.with_transition_gradients() if known else environment


NO_MEND = Mend()

MENDS: Mapping[str, Mend] = {
    "CartPole-v1": Mend(
        derived={
            "total_mass": ("masscart and masspole", lambda p: p["masscart"] + p["masspole"]),
            "polemass_length": ("masspole and length", lambda p: p["masspole"] * p["length"]),
        }
    ),
    "MountainCarContinuous-v0": Mend(step=_stop_at_left_wall),
    "Asterix-MinAtar": Mend(binary=_always, deterministic=_always),
    "Breakout-MinAtar": Mend(binary=_always),
    "Freeway-MinAtar": Mend(binary=_always),
    "Seaquest-MinAtar": Mend(binary=_always, deterministic=_always),
    "SpaceInvaders-MinAtar": Mend(binary=_always, deterministic=_always),
    "Catch-bsuite": Mend(
        observation_space=lambda environment, params: Box(0.0, 1.0, (environment.rows, environment.columns)),
        binary=_always,
    ),
    "DeepSea-bsuite": Mend(binary=_always, deterministic=lambda fixed: not fixed["sample_action_map"]),
    "MemoryChain-bsuite": Mend(observation_space=_memory_chain_space, clip=True),
    "UmbrellaChain-bsuite": Mend(clip=True),
    "DiscountingChain-bsuite": Mend(deterministic=_always),
    "SimpleBandit-bsuite": Mend(reset_key=lambda key: jax.random.key(0), binary=_always, deterministic=_always),
    "FourRooms-misc": Mend(
        observe=_four_rooms_observe,
        binary=lambda environment: environment.use_visual_obs,
        deterministic=lambda fixed: not (fixed["resample_init_pos"] or fixed["resample_goal_pos"]),
    ),
    "MetaMaze-misc": Mend(step=_never_terminate, observation_space=_meta_maze_space),
    "BernoulliBandit-misc": Mend(observation_space=_bernoulli_space, clip=True),
    "GaussianBandit-misc": Mend(observation_space=_gaussian_space),
    "Pong-misc": Mend(
        step=_pong_step,
        observation_space=lambda environment, params: Box(0.0, 1.0, environment.obs_shape),
        binary=_always,
        deterministic=_always,
    ),
    "FrozenLake-misc": Mend(deterministic=_always),
}
