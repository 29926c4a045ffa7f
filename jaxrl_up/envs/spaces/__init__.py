"""Hashable descriptions of what an environment shows and accepts: leaves, and trees of them.

A kind of leaf comes in in `box` or `discrete`, a function over all leaves in `trees`, who sees which in `views`.
"""

from jaxrl_up.envs.spaces.box import Box as Box
from jaxrl_up.envs.spaces.discrete import Discrete as Discrete
from jaxrl_up.envs.spaces.discrete import Mask as Mask
from jaxrl_up.envs.spaces.discrete import MultiDiscrete as MultiDiscrete
from jaxrl_up.envs.spaces.trees import LEAVES as LEAVES
from jaxrl_up.envs.spaces.trees import SPACES as SPACES
from jaxrl_up.envs.spaces.trees import Dict as Dict
from jaxrl_up.envs.spaces.trees import Leaf as Leaf
from jaxrl_up.envs.spaces.trees import Simulator as Simulator
from jaxrl_up.envs.spaces.trees import Space as Space
from jaxrl_up.envs.spaces.trees import Tuple as Tuple
from jaxrl_up.envs.spaces.trees import leaves as leaves
from jaxrl_up.envs.spaces.trees import map_leaves as map_leaves
from jaxrl_up.envs.spaces.trees import of_tree as of_tree
from jaxrl_up.envs.spaces.trees import only as only
from jaxrl_up.envs.spaces.trees import parts as parts
from jaxrl_up.envs.spaces.trees import pick as pick
from jaxrl_up.envs.spaces.trees import sample as sample
from jaxrl_up.envs.spaces.trees import tree as tree
from jaxrl_up.envs.spaces.trees import zeros as zeros
from jaxrl_up.envs.spaces.views import CRITIC_ONLY as CRITIC_ONLY
from jaxrl_up.envs.spaces.views import acting as acting
from jaxrl_up.envs.spaces.views import allows as allows
from jaxrl_up.envs.spaces.views import mask_of as mask_of
from jaxrl_up.envs.spaces.views import mask_space as mask_space
from jaxrl_up.envs.spaces.views import require_mask_fits as require_mask_fits
from jaxrl_up.envs.spaces.views import sample_allowed as sample_allowed
from jaxrl_up.envs.spaces.views import seen as seen
from jaxrl_up.envs.spaces.views import stored as stored
