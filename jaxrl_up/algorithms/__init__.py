"""The algorithms, one file each; `ALGORITHMS` lists them by name."""

from jaxrl_up.algorithms.ppo import PPO as PPO

ALGORITHMS = {algo.name: algo for algo in (PPO,)}
