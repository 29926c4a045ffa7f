"""jaxrl_up: deep reinforcement learning as pure functions, whole training runs as one JAX program."""

from jaxrl_up import envs as envs
from jaxrl_up import ops as ops
from jaxrl_up._version import __version__ as __version__
from jaxrl_up.algorithms import A2C as A2C
from jaxrl_up.algorithms import ALGORITHMS as ALGORITHMS
from jaxrl_up.algorithms import PPO as PPO
from jaxrl_up.algorithms import TRPO as TRPO
from jaxrl_up.algorithms import VPG as VPG
from jaxrl_up.config import make_config as make_config
from jaxrl_up.devices import use_all_cores as use_all_cores
from jaxrl_up.run import RunResult as RunResult
from jaxrl_up.run import run as run
from jaxrl_up.scores import Score as Score
from jaxrl_up.scores import iqm as iqm
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
