"""Environments as records of pure functions: build, wrap, probe and check them.

env = envs.make("CartPole-v1", gravity=12.0)
state, obs = env.reset(key)
state, step = env.step(key, state, action)      # a TimeStep; the next episode starts by itself
heavier = env.with_params(masspole=0.5)         # physics is data: the same compiled program

A wrapper comes in in `wrappers`, with its name in `wrapping`, a space in `spaces`, a suite of environments as a file of
`suites` with its names in `suites.registry`. One of your own needs none of it: `from_functions`.
"""

from jaxrl_up.envs import probes as probes
from jaxrl_up.envs import waiting as waiting
from jaxrl_up.envs.board import Board as Board
from jaxrl_up.envs.boards.against import game_of as game_of
from jaxrl_up.envs.boards.against import opponent_of as opponent_of
from jaxrl_up.envs.boards.drawing import board_of as board_of
from jaxrl_up.envs.boards.drawing import board_text as board_text
from jaxrl_up.envs.boards.drawing import own_state as own_state
from jaxrl_up.envs.boards.symmetry import Symmetries as Symmetries
from jaxrl_up.envs.boards.symmetry import symmetries as symmetries
from jaxrl_up.envs.check import check as check
from jaxrl_up.envs.core import Env as Env
from jaxrl_up.envs.core import Spec as Spec
from jaxrl_up.envs.core import as_action as as_action
from jaxrl_up.envs.core import as_parameter as as_parameter
from jaxrl_up.envs.from_functions import from_functions as from_functions
from jaxrl_up.envs.host import GUARD as GUARD
from jaxrl_up.envs.host import HostError as HostError
from jaxrl_up.envs.host import host_call as host_call
from jaxrl_up.envs.look import Look as Look
from jaxrl_up.envs.look import Shapes as Shapes
from jaxrl_up.envs.simulator import Model as Model
from jaxrl_up.envs.simulator import Simulated as Simulated
from jaxrl_up.envs.simulator import model_of as model_of
from jaxrl_up.envs.simulator import simulate as simulate
from jaxrl_up.envs.simulator import simulator_of as simulator_of
from jaxrl_up.envs.simulator import with_simulator as with_simulator
from jaxrl_up.envs.simulator import without_simulator as without_simulator
from jaxrl_up.envs.spaces import CRITIC_ONLY as CRITIC_ONLY
from jaxrl_up.envs.spaces import LEAVES as LEAVES
from jaxrl_up.envs.spaces import SPACES as SPACES
from jaxrl_up.envs.spaces import Box as Box
from jaxrl_up.envs.spaces import Dict as Dict
from jaxrl_up.envs.spaces import Discrete as Discrete
from jaxrl_up.envs.spaces import Leaf as Leaf
from jaxrl_up.envs.spaces import Mask as Mask
from jaxrl_up.envs.spaces import MultiDiscrete as MultiDiscrete
from jaxrl_up.envs.spaces import Simulator as Simulator
from jaxrl_up.envs.spaces import Space as Space
from jaxrl_up.envs.spaces import Tuple as Tuple
from jaxrl_up.envs.spaces import acting as acting
from jaxrl_up.envs.spaces import allows as allows
from jaxrl_up.envs.spaces import leaves as leaves
from jaxrl_up.envs.spaces import map_leaves as map_leaves
from jaxrl_up.envs.spaces import mask_of as mask_of
from jaxrl_up.envs.spaces import mask_space as mask_space
from jaxrl_up.envs.spaces import of_tree as of_tree
from jaxrl_up.envs.spaces import only as only
from jaxrl_up.envs.spaces import parts as parts
from jaxrl_up.envs.spaces import pick as pick
from jaxrl_up.envs.spaces import require_mask_fits as require_mask_fits
from jaxrl_up.envs.spaces import sample as sample
from jaxrl_up.envs.spaces import sample_allowed as sample_allowed
from jaxrl_up.envs.spaces import seen as seen
from jaxrl_up.envs.spaces import stored as stored
from jaxrl_up.envs.spaces import tree as tree
from jaxrl_up.envs.spaces import zeros as zeros
from jaxrl_up.envs.suites import caution as caution
from jaxrl_up.envs.suites import find as find
from jaxrl_up.envs.suites import from_gymnasium as from_gymnasium
from jaxrl_up.envs.suites import from_gymnax as from_gymnax
from jaxrl_up.envs.suites import gymnax_mends as gymnax_mends
from jaxrl_up.envs.suites import is_gone as is_gone
from jaxrl_up.envs.suites import is_name as is_name
from jaxrl_up.envs.suites import let_go as let_go
from jaxrl_up.envs.suites import libraries as libraries
from jaxrl_up.envs.suites import listing as listing
from jaxrl_up.envs.suites import make as make
from jaxrl_up.envs.suites import names as names
from jaxrl_up.envs.suites import orphaned as orphaned
from jaxrl_up.envs.suites import own as own
from jaxrl_up.envs.suites import own_parts as own_parts
from jaxrl_up.envs.suites import restarting as restarting
from jaxrl_up.envs.suites import was_named as was_named
from jaxrl_up.envs.waiting import counting as counting
from jaxrl_up.envs.wrappers import Counted as Counted
from jaxrl_up.envs.wrappers import Limited as Limited
from jaxrl_up.envs.wrappers import Randomized as Randomized
from jaxrl_up.envs.wrappers import Stacked as Stacked
from jaxrl_up.envs.wrappers import Sticky as Sticky
from jaxrl_up.envs.wrappers import Timed as Timed
from jaxrl_up.envs.wrappers import against as against
from jaxrl_up.envs.wrappers import clip_action as clip_action
from jaxrl_up.envs.wrappers import clip_reward as clip_reward
from jaxrl_up.envs.wrappers import episode_statistics as episode_statistics
from jaxrl_up.envs.wrappers import flatten_observation as flatten_observation
from jaxrl_up.envs.wrappers import frame_stack as frame_stack
from jaxrl_up.envs.wrappers import from_unit as from_unit
from jaxrl_up.envs.wrappers import mask_observation as mask_observation
from jaxrl_up.envs.wrappers import nominal as nominal
from jaxrl_up.envs.wrappers import one_hot_observation as one_hot_observation
from jaxrl_up.envs.wrappers import previous_action as previous_action
from jaxrl_up.envs.wrappers import randomize as randomize
from jaxrl_up.envs.wrappers import randomized as randomized
from jaxrl_up.envs.wrappers import rescale_action as rescale_action
from jaxrl_up.envs.wrappers import scale_reward as scale_reward
from jaxrl_up.envs.wrappers import sticky_actions as sticky_actions
from jaxrl_up.envs.wrappers import time_left as time_left
from jaxrl_up.envs.wrappers import time_limit as time_limit
from jaxrl_up.envs.wrappers import to_bounds as to_bounds
from jaxrl_up.envs.wrappers import unit_action as unit_action
from jaxrl_up.envs.wrappers import unit_space as unit_space
from jaxrl_up.envs.wrapping import is_named as is_named
from jaxrl_up.envs.wrapping import parse_wrappers as parse_wrappers
from jaxrl_up.envs.wrapping import wrap as wrap
from jaxrl_up.envs.wrapping import wrapper_usages as wrapper_usages
from jaxrl_up.types import face

__dir__ = face(__name__)
