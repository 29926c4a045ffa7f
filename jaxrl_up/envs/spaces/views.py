"""Who sees which leaves of an observation, and the mask of the actions in it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import as_key
from jaxrl_up.envs.spaces.discrete import Discrete, Mask, MultiDiscrete
from jaxrl_up.envs.spaces.trees import Leaf, Simulator, Space, leaves, pick, sample
from jaxrl_up.ops import action_from_noise
from jaxrl_up.types import Array, Key, PyTree

CRITIC_ONLY = "critic_only"
"""A name in a Dict: what lies under it the critic sees and the actor does not."""


def stored(path: str, leaf: Leaf) -> bool:
    """What replays and rollouts keep: all but simulators."""
    return not isinstance(leaf, Simulator)


def acting(path: str, leaf: Leaf) -> bool:
    """What a policy is shown: nothing that is named `critic_only`."""
    return CRITIC_ONLY not in path.split("/")


def seen(path: str, leaf: Leaf) -> bool:
    """What a torso turns into features: no mask and no simulator."""
    return not isinstance(leaf, Mask | Simulator)


def mask_space(space: Space) -> Mask | None:
    """The mask in a space of observations, if there is one. Raises ValueError for two."""
    masks = {path: leaf for path, leaf in leaves(space).items() if isinstance(leaf, Mask)}
    if len(masks) > 1:
        raise ValueError(
            f"an observation has one mask at most, but {' and '.join(map(repr, masks))} are masks: {space}"
        )
    return next(iter(masks.values()), None)


def mask_of(space: Space, obs: PyTree) -> Array | None:
    """The mask `[..., n]` in observations `[..., *shape]` of a space; None where it has none."""
    if mask_space(space) is None:
        return None
    return jax.tree.leaves(pick(space, lambda path, leaf: isinstance(leaf, Mask), obs))[0]


def require_mask_fits(name: str, observation_space: Space, action_space: Space) -> None:
    """Raise ValueError unless the mask in the observations of `name`, if there is one, is of its actions."""
    try:
        mask = mask_space(observation_space)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if mask is None:
        return
    if any(isinstance(leaf, Mask) and not acting(path, leaf) for path, leaf in leaves(observation_space).items()):
        raise ValueError(f"{name}: {mask} is {CRITIC_ONLY}, but what acts has to see it: give it another place.")
    if not isinstance(action_space, Discrete | MultiDiscrete):
        raise ValueError(
            f"{name}: a Mask says which actions of a Discrete or a MultiDiscrete are allowed, but actions are "
            f"{action_space}: take {mask} out of the observation."
        )
    if mask.sizes != action_space.sizes:
        raise ValueError(
            f"{name}: {mask} does not fit the action space {action_space}: its sizes must be {action_space.sizes}."
        )


def sample_allowed(action_space: Space, mask: Array | None, key: Key) -> PyTree:
    """Draw an action uniformly of those that a mask `[n]` allows; of all where it is None, or allows none."""
    if mask is None:
        return sample(action_space, key)
    assert isinstance(action_space, Discrete | MultiDiscrete)
    noise = jax.random.uniform(as_key(key), mask.shape, jnp.float32)
    groups = zip(*(jnp.split(x, np.cumsum(action_space.sizes[:-1])) for x in (noise, mask)), strict=True)
    drawn = jnp.stack([action_from_noise(noise, mask) for noise, mask in groups])
    return drawn[0] + action_space.start if isinstance(action_space, Discrete) else drawn


def allows(action_space: Space, mask: Array, action: Array) -> Array:
    """Whether a mask `[..., n]` allows an action, `[...]` of a Discrete or `[..., K]` of a MultiDiscrete: bool."""
    assert isinstance(action_space, Discrete | MultiDiscrete)
    if isinstance(action_space, Discrete):
        action = (action - action_space.start)[..., None]
    place = action + np.broadcast_to(np.cumsum((0, *action_space.sizes[:-1])).astype(np.int32), action.shape)
    mask = jnp.broadcast_to(mask, (*action.shape[:-1], mask.shape[-1]))
    return jnp.all(jnp.take_along_axis(mask, place, axis=-1), axis=-1)
