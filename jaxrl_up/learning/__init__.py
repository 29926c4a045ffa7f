"""What algorithms are built from: networks, rollouts, replay, exploration, optimisation, and the families' loops.

`on_policy`, `off_policy`, `q_learning`, `planning` and `given_policy` hold what the algorithms of a family share,
`networks` what they learn with, `rollout` how they act, `replay` and `sum_tree` what they remember. Anything that two
algorithms need comes in here; what one paper alone needs stays in its file. Pure functions of arrays: no files, no
clock, no host.
"""

from jaxrl_up.learning import actor_critic as actor_critic
from jaxrl_up.learning import exploration as exploration
from jaxrl_up.learning import given_policy as given_policy
from jaxrl_up.learning import models as models
from jaxrl_up.learning import networks as networks
from jaxrl_up.learning import normalisation as normalisation
from jaxrl_up.learning import off_policy as off_policy
from jaxrl_up.learning import on_policy as on_policy
from jaxrl_up.learning import optimisation as optimisation
from jaxrl_up.learning import planning as planning
from jaxrl_up.learning import prioritized as prioritized
from jaxrl_up.learning import q_learning as q_learning
from jaxrl_up.learning import replay as replay
from jaxrl_up.learning import rollout as rollout
from jaxrl_up.learning import sum_tree as sum_tree
from jaxrl_up.learning.networks import ACTIVATIONS as ACTIVATIONS
from jaxrl_up.learning.networks import CNN as CNN
from jaxrl_up.learning.networks import MLP as MLP
from jaxrl_up.learning.networks import ActorCritics as ActorCritics
from jaxrl_up.learning.networks import BetaHead as BetaHead
from jaxrl_up.learning.networks import Conv as Conv
from jaxrl_up.learning.networks import Dense as Dense
from jaxrl_up.learning.networks import DistraxPolicy as DistraxPolicy
from jaxrl_up.learning.networks import QFunction as QFunction
from jaxrl_up.learning.networks import Residual as Residual
from jaxrl_up.learning.networks import Torso as Torso
from jaxrl_up.learning.networks import action_dims as action_dims
from jaxrl_up.learning.networks import actor_critic_network as actor_critic_network
from jaxrl_up.learning.networks import as_observation as as_observation
from jaxrl_up.learning.networks import check_network as check_network
from jaxrl_up.learning.networks import from_nnx as from_nnx
from jaxrl_up.learning.networks import named_module as named_module
from jaxrl_up.learning.networks import orthogonal as orthogonal
from jaxrl_up.learning.networks import policy_value_network as policy_value_network
from jaxrl_up.learning.networks import product as product
from jaxrl_up.learning.networks import q_network as q_network
from jaxrl_up.learning.networks import rescale_value as rescale_value
from jaxrl_up.learning.networks import to_float as to_float
from jaxrl_up.learning.networks import value_network as value_network
from jaxrl_up.learning.networks import value_scale as value_scale
from jaxrl_up.learning.off_policy import Loss as Loss
from jaxrl_up.learning.off_policy import OffPolicy as OffPolicy
from jaxrl_up.learning.on_policy import Batch as Batch
from jaxrl_up.learning.on_policy import Collected as Collected
from jaxrl_up.learning.planning import Planner as Planner
from jaxrl_up.learning.planning import one_by_one as one_by_one
from jaxrl_up.learning.q_learning import QLearner as QLearner
from jaxrl_up.learning.replay import Transitions as Transitions
from jaxrl_up.learning.rollout import DEFAULT_STEP_CAP as DEFAULT_STEP_CAP
from jaxrl_up.learning.rollout import Episodes as Episodes
from jaxrl_up.learning.rollout import acting_space as acting_space
from jaxrl_up.learning.rollout import distinct as distinct
from jaxrl_up.learning.rollout import fresh_start as fresh_start
from jaxrl_up.learning.rollout import memory_of as memory_of
from jaxrl_up.learning.rollout import play as play
from jaxrl_up.learning.rollout import remembers as remembers
from jaxrl_up.learning.rollout import start as start
from jaxrl_up.learning.rollout import stored_space as stored_space
from jaxrl_up.learning.rollout import training_env as training_env
from jaxrl_up.learning.rollout import unroll as unroll
from jaxrl_up.types import face

__dir__ = face(__name__)
