"""Networks: layers, encoders of observations, and the functions that each family learns.

`layers` and `encoders` are shared; a head and the function it ends go to the file of what is learned: `policy_value`
on-policy, `q_values` for discrete actions, `continuous_actor_critic` for continuous ones. A head for a new kind of
action or value comes in there, or in a file of its own, as `heads`, policies from distrax distributions. `own` has what
modules of the user's own may be.
"""

from jaxrl_up.learning.networks.continuous_actor_critic import ActorCritics as ActorCritics
from jaxrl_up.learning.networks.continuous_actor_critic import actor_critic_network as actor_critic_network
from jaxrl_up.learning.networks.encoders import NetworkFields as NetworkFields
from jaxrl_up.learning.networks.encoders import Torso as Torso
from jaxrl_up.learning.networks.encoders import action_dims as action_dims
from jaxrl_up.learning.networks.encoders import as_observation as as_observation
from jaxrl_up.learning.networks.encoders import check_network as check_network
from jaxrl_up.learning.networks.encoders import is_pixels as is_pixels
from jaxrl_up.learning.networks.encoders import sampling_noise as sampling_noise
from jaxrl_up.learning.networks.encoders import to_float as to_float
from jaxrl_up.learning.networks.heads import HEADS as HEADS
from jaxrl_up.learning.networks.heads import BetaHead as BetaHead
from jaxrl_up.learning.networks.heads import DistraxPolicy as DistraxPolicy
from jaxrl_up.learning.networks.layers import ACTIVATIONS as ACTIVATIONS
from jaxrl_up.learning.networks.layers import CNN as CNN
from jaxrl_up.learning.networks.layers import MLP as MLP
from jaxrl_up.learning.networks.layers import Conv as Conv
from jaxrl_up.learning.networks.layers import Dense as Dense
from jaxrl_up.learning.networks.layers import Residual as Residual
from jaxrl_up.learning.networks.layers import orthogonal as orthogonal
from jaxrl_up.learning.networks.layers import product as product
from jaxrl_up.learning.networks.own import FromNNX as FromNNX
from jaxrl_up.learning.networks.own import from_nnx as from_nnx
from jaxrl_up.learning.networks.own import named_module as named_module
from jaxrl_up.learning.networks.policy_value import LOG_STD_RANGE as LOG_STD_RANGE
from jaxrl_up.learning.networks.policy_value import ActorCritic as ActorCritic
from jaxrl_up.learning.networks.policy_value import ValueFunction as ValueFunction
from jaxrl_up.learning.networks.policy_value import policy_value_network as policy_value_network
from jaxrl_up.learning.networks.policy_value import rescale_value as rescale_value
from jaxrl_up.learning.networks.policy_value import value_network as value_network
from jaxrl_up.learning.networks.policy_value import value_scale as value_scale
from jaxrl_up.learning.networks.q_values import QFunction as QFunction
from jaxrl_up.learning.networks.q_values import q_network as q_network
