"""The algorithms, one file each; `ALGORITHMS` lists them by name."""

from jaxrl_up.algorithms.a2c import A2C as A2C
from jaxrl_up.algorithms.ppo import PPO as PPO
from jaxrl_up.algorithms.trpo import TRPO as TRPO
from jaxrl_up.algorithms.vpg import VPG as VPG

ALGORITHMS = {algo.name: algo for algo in (VPG, A2C, PPO, TRPO)}
