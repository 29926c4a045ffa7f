"""jaxrl_up: deep reinforcement learning as pure functions, whole training runs as one JAX program."""

import jaxrl_up.logs  # first: it is to be before JAX
from jaxrl_up import envs as envs
from jaxrl_up import ops as ops
from jaxrl_up._version import __version__ as __version__
from jaxrl_up.algorithms import A2C as A2C
from jaxrl_up.algorithms import ALGORITHMS as ALGORITHMS
from jaxrl_up.algorithms import C51 as C51
from jaxrl_up.algorithms import DDPG as DDPG
from jaxrl_up.algorithms import DQN as DQN
from jaxrl_up.algorithms import PPO as PPO
from jaxrl_up.algorithms import QR_DQN as QR_DQN
from jaxrl_up.algorithms import SAC as SAC
from jaxrl_up.algorithms import SAC_DISCRETE as SAC_DISCRETE
from jaxrl_up.algorithms import TD3 as TD3
from jaxrl_up.algorithms import TRPO as TRPO
from jaxrl_up.algorithms import VPG as VPG
from jaxrl_up.compilation_cache import use_compilation_cache as use_compilation_cache
from jaxrl_up.compiler import leave_out_faulty_fusion as _leave_out_faulty_fusion
from jaxrl_up.config import make_config as make_config
from jaxrl_up.devices import use_all_cores as use_all_cores
from jaxrl_up.points import random_points as random_points
from jaxrl_up.recipes import load_recipe as load_recipe
from jaxrl_up.run import RunResult as RunResult
from jaxrl_up.run import resume as resume
from jaxrl_up.run import run as run
from jaxrl_up.saved_runs import load_policies as load_policies
from jaxrl_up.saved_runs import load_run as load_run
from jaxrl_up.scores import Score as Score
from jaxrl_up.scores import iqm as iqm
from jaxrl_up.sweep_records import SweepResult as SweepResult
from jaxrl_up.sweeps import load_sweep as load_sweep
from jaxrl_up.sweeps import resume_sweep as resume_sweep
from jaxrl_up.sweeps import run_sweep as run_sweep
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

_leave_out_faulty_fusion()
