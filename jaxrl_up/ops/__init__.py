"""The mathematics of reinforcement learning: pure functions of arrays, time leading, no state."""

from jaxrl_up.ops.policies import Categorical as Categorical
from jaxrl_up.ops.policies import DiagonalGaussian as DiagonalGaussian
from jaxrl_up.ops.returns import gae as gae
from jaxrl_up.ops.statistics import RunningStatistics as RunningStatistics
from jaxrl_up.ops.statistics import init_statistics as init_statistics
from jaxrl_up.ops.statistics import merge_statistics as merge_statistics
from jaxrl_up.ops.statistics import normalize as normalize
from jaxrl_up.ops.statistics import update_statistics as update_statistics
from jaxrl_up.ops.policy_gradients import LineSearch as LineSearch
from jaxrl_up.ops.policy_gradients import backtracking_line_search as backtracking_line_search
from jaxrl_up.ops.policy_gradients import clipped_surrogate_loss as clipped_surrogate_loss
from jaxrl_up.ops.policy_gradients import clipped_value_loss as clipped_value_loss
from jaxrl_up.ops.policy_gradients import conjugate_gradient as conjugate_gradient
from jaxrl_up.ops.policy_gradients import fisher_operator as fisher_operator
from jaxrl_up.ops.policy_gradients import fisher_vector_product as fisher_vector_product
from jaxrl_up.ops.policy_gradients import kl_k1 as kl_k1
from jaxrl_up.ops.policy_gradients import kl_k3 as kl_k3
from jaxrl_up.ops.policy_gradients import normalize_advantages as normalize_advantages
from jaxrl_up.ops.policy_gradients import score_function_loss as score_function_loss
from jaxrl_up.ops.policy_gradients import surrogate_loss as surrogate_loss
from jaxrl_up.ops.policy_gradients import value_loss as value_loss
