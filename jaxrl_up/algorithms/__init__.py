"""The algorithms, one file each, and the registry of them by name.

A file reads like its paper, top to bottom: Config, init, loss, learn or update, act, and the record `Algorithm` that
holds them. A new one comes in as a file and a line in `registry.ALGORITHMS`; the contract suite then tests it. What two
algorithms need moves to `jaxrl_up.learning`. The registry also checks what public functions are given: an algorithm, an
environment, a config and a policy that fit one another.
"""

from jaxrl_up.algorithms import ppo as ppo
from jaxrl_up.algorithms import value_fitting as value_fitting
from jaxrl_up.algorithms import vpg as vpg
from jaxrl_up.algorithms.a2c import A2C as A2C
from jaxrl_up.algorithms.alphazero import ALPHAZERO as ALPHAZERO
from jaxrl_up.algorithms.c51 import C51 as C51
from jaxrl_up.algorithms.ddpg import DDPG as DDPG
from jaxrl_up.algorithms.dqn import DQN as DQN
from jaxrl_up.algorithms.mbpo import MBPO as MBPO
from jaxrl_up.algorithms.mbve import MBVE as MBVE
from jaxrl_up.algorithms.mpc import MPC as MPC
from jaxrl_up.algorithms.pets import PETS as PETS
from jaxrl_up.algorithms.ppo import PPO as PPO
from jaxrl_up.algorithms.qr_dqn import QR_DQN as QR_DQN
from jaxrl_up.algorithms.registry import ALGORITHMS as ALGORITHMS
from jaxrl_up.algorithms.registry import check_order as check_order
from jaxrl_up.algorithms.registry import check_policy as check_policy
from jaxrl_up.algorithms.registry import check_same_policies as check_same_policies
from jaxrl_up.algorithms.registry import check_steps as check_steps
from jaxrl_up.algorithms.registry import check_support as check_support
from jaxrl_up.algorithms.registry import find_algorithm as find_algorithm
from jaxrl_up.algorithms.registry import make_config as make_config
from jaxrl_up.algorithms.registry import own_kinds as own_kinds
from jaxrl_up.algorithms.registry import own_name as own_name
from jaxrl_up.algorithms.registry import own_value as own_value
from jaxrl_up.algorithms.registry import preset_fields as preset_fields
from jaxrl_up.algorithms.registry import take as take
from jaxrl_up.algorithms.registry import take_config as take_config
from jaxrl_up.algorithms.registry import take_names as take_names
from jaxrl_up.algorithms.sac import SAC as SAC
from jaxrl_up.algorithms.sac_discrete import SAC_DISCRETE as SAC_DISCRETE
from jaxrl_up.algorithms.td3 import TD3 as TD3
from jaxrl_up.algorithms.trpo import TRPO as TRPO
from jaxrl_up.algorithms.value_fitting import VALUE_FITTING as VALUE_FITTING
from jaxrl_up.algorithms.vpg import VPG as VPG
from jaxrl_up.types import face

__dir__ = face(__name__)
