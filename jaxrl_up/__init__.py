"""jaxrl_up: deep reinforcement learning as pure functions, whole training runs as one JAX program.

Packages, each importing from those before it: `types`, `config` and `ops`, `envs`, `tabular` and `learning`,
`algorithms`, `training`, `records`, `analysis`, `experiments` and `deploy`, `cli`.
"""

import os as _os
from importlib import metadata as _metadata

# XLA reads this once, when it is imported; 1 is what JAX sets. jaxlib before 0.10.2 writes 3 KB on standard error of
# every program that it takes from a compilation cache, on processors where its compiler notes preferences
# (`prefer-no-gather`) that are no features (https://github.com/jax-ml/jax/issues/38445): the programs run, and its
# errors reach Python as exceptions all the same. 3: only what ends the process.
_NOISY = tuple(map(int, _metadata.version("jaxlib").split(".")[:3])) < (0, 10, 2)
if _NOISY and _os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
    _os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from jaxrl_up import envs as envs
from jaxrl_up import ops as ops
from jaxrl_up import tabular as tabular
from jaxrl_up._version import __version__ as __version__
from jaxrl_up.algorithms import A2C as A2C
from jaxrl_up.algorithms import ALGORITHMS as ALGORITHMS
from jaxrl_up.algorithms import ALPHAZERO as ALPHAZERO
from jaxrl_up.algorithms import C51 as C51
from jaxrl_up.algorithms import DDPG as DDPG
from jaxrl_up.algorithms import DQN as DQN
from jaxrl_up.algorithms import MBPO as MBPO
from jaxrl_up.algorithms import MBVE as MBVE
from jaxrl_up.algorithms import MPC as MPC
from jaxrl_up.algorithms import PETS as PETS
from jaxrl_up.algorithms import PPO as PPO
from jaxrl_up.algorithms import QR_DQN as QR_DQN
from jaxrl_up.algorithms import SAC as SAC
from jaxrl_up.algorithms import SAC_DISCRETE as SAC_DISCRETE
from jaxrl_up.algorithms import TD3 as TD3
from jaxrl_up.algorithms import TRPO as TRPO
from jaxrl_up.algorithms import VALUE_FITTING as VALUE_FITTING
from jaxrl_up.algorithms import VPG as VPG
from jaxrl_up.algorithms import make_config as make_config
from jaxrl_up.experiments import SweepResult as SweepResult
from jaxrl_up.experiments import leave_out_faulty_fusion as _leave_out_faulty_fusion
from jaxrl_up.experiments import load_recipe as load_recipe
from jaxrl_up.experiments import load_sweep as load_sweep
from jaxrl_up.experiments import random_points as random_points
from jaxrl_up.experiments import resume as resume
from jaxrl_up.experiments import resume_sweep as resume_sweep
from jaxrl_up.experiments import run as run
from jaxrl_up.experiments import run_sweep as run_sweep
from jaxrl_up.experiments import use_all_cores as use_all_cores
from jaxrl_up.experiments import use_all_processes as use_all_processes
from jaxrl_up.experiments import use_compilation_cache as use_compilation_cache
from jaxrl_up.ops import Score as Score
from jaxrl_up.ops import iqm as iqm
from jaxrl_up.records import RunResult as RunResult
from jaxrl_up.records import load_policies as load_policies
from jaxrl_up.records import load_run as load_run
from jaxrl_up.training import Evaluation as Evaluation
from jaxrl_up.training import Log as Log
from jaxrl_up.training import evaluate as evaluate
from jaxrl_up.training import evaluate_episodes as evaluate_episodes
from jaxrl_up.training import sweep as sweep
from jaxrl_up.training import train as train
from jaxrl_up.types import Algorithm as Algorithm
from jaxrl_up.types import Array as Array
from jaxrl_up.types import Key as Key
from jaxrl_up.types import TimeStep as TimeStep
from jaxrl_up.types import face

_leave_out_faulty_fusion()

__dir__ = face(__name__)
