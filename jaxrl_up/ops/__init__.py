"""The mathematics of reinforcement learning: pure functions of arrays, time leading, no state."""

from jaxrl_up.ops.policies import Categorical as Categorical
from jaxrl_up.ops.policies import DiagonalGaussian as DiagonalGaussian
from jaxrl_up.ops.returns import gae as gae
from jaxrl_up.ops.statistics import RunningStatistics as RunningStatistics
from jaxrl_up.ops.statistics import init_statistics as init_statistics
from jaxrl_up.ops.statistics import merge_statistics as merge_statistics
from jaxrl_up.ops.statistics import normalize as normalize
from jaxrl_up.ops.statistics import update_statistics as update_statistics
