"""The algorithms, one file each; `ALGORITHMS` lists them by name."""

from jaxrl_up.algorithms.a2c import A2C as A2C
from jaxrl_up.algorithms.c51 import C51 as C51
from jaxrl_up.algorithms.ddpg import DDPG as DDPG
from jaxrl_up.algorithms.dqn import DQN as DQN
from jaxrl_up.algorithms.ppo import PPO as PPO
from jaxrl_up.algorithms.qr_dqn import QR_DQN as QR_DQN
from jaxrl_up.algorithms.sac import SAC as SAC
from jaxrl_up.algorithms.sac_discrete import SAC_DISCRETE as SAC_DISCRETE
from jaxrl_up.algorithms.td3 import TD3 as TD3
from jaxrl_up.algorithms.trpo import TRPO as TRPO
from jaxrl_up.algorithms.vpg import VPG as VPG
from jaxrl_up.config import name_unknown_fields

ALGORITHMS = {
    algo.name: name_unknown_fields(algo)
    for algo in (VPG, A2C, PPO, TRPO, DQN, C51, QR_DQN, DDPG, TD3, SAC, SAC_DISCRETE)
}
