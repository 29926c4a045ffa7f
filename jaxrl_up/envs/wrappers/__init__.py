"""Functions from Env to Env.

What they are made with is in `base`; a wrapper comes in where its kind is: `observations`, `history`, `actions`,
`rewards`, `episodes`, `players`, `randomize` (parameters).
"""

from jaxrl_up.envs.wrappers.actions import Sticky as Sticky
from jaxrl_up.envs.wrappers.actions import clip_action as clip_action
from jaxrl_up.envs.wrappers.actions import from_unit as from_unit
from jaxrl_up.envs.wrappers.actions import rescale_action as rescale_action
from jaxrl_up.envs.wrappers.actions import sticky_actions as sticky_actions
from jaxrl_up.envs.wrappers.actions import to_bounds as to_bounds
from jaxrl_up.envs.wrappers.actions import unit_action as unit_action
from jaxrl_up.envs.wrappers.actions import unit_space as unit_space
from jaxrl_up.envs.wrappers.episodes import Counted as Counted
from jaxrl_up.envs.wrappers.episodes import Limited as Limited
from jaxrl_up.envs.wrappers.episodes import episode_statistics as episode_statistics
from jaxrl_up.envs.wrappers.episodes import time_limit as time_limit
from jaxrl_up.envs.wrappers.history import Stacked as Stacked
from jaxrl_up.envs.wrappers.history import Timed as Timed
from jaxrl_up.envs.wrappers.history import frame_stack as frame_stack
from jaxrl_up.envs.wrappers.history import previous_action as previous_action
from jaxrl_up.envs.wrappers.history import time_left as time_left
from jaxrl_up.envs.wrappers.observations import flatten_observation as flatten_observation
from jaxrl_up.envs.wrappers.observations import mask_observation as mask_observation
from jaxrl_up.envs.wrappers.observations import one_hot_observation as one_hot_observation
from jaxrl_up.envs.wrappers.players import against as against
from jaxrl_up.envs.wrappers.randomize import Randomized as Randomized
from jaxrl_up.envs.wrappers.randomize import nominal as nominal
from jaxrl_up.envs.wrappers.randomize import randomize as randomize
from jaxrl_up.envs.wrappers.randomize import randomized as randomized
from jaxrl_up.envs.wrappers.rewards import clip_reward as clip_reward
from jaxrl_up.envs.wrappers.rewards import scale_reward as scale_reward
