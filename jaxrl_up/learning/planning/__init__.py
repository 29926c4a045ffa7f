"""Planning: acting by trying plans in a model, exact or learned.

`search` improves a distribution over plans, `proposals` has the distributions, `imagination` tries plans in a
`Model`, `acting` is what algorithms that learn nothing share. A planner draws with keys of its own.
"""

from jaxrl_up.learning.planning.acting import Learner as Learner
from jaxrl_up.learning.planning.acting import Planner as Planner
from jaxrl_up.learning.planning.acting import State as State
from jaxrl_up.learning.planning.acting import one_by_one as one_by_one
from jaxrl_up.learning.planning.acting import together as together
from jaxrl_up.learning.planning.imagination import imagined_return as imagined_return
from jaxrl_up.learning.planning.imagination import policy_plan as policy_plan
from jaxrl_up.learning.planning.positions import Positions as Positions
from jaxrl_up.learning.planning.positions import draw as draw
from jaxrl_up.learning.planning.positions import draw_symmetries as draw_symmetries
from jaxrl_up.learning.planning.positions import empty as empty
from jaxrl_up.learning.planning.positions import outcomes as outcomes
from jaxrl_up.learning.planning.positions import ring_rows as ring_rows
from jaxrl_up.learning.planning.positions import turned as turned
from jaxrl_up.learning.planning.positions import write as write
from jaxrl_up.learning.planning.proposals import Categorical as Categorical
from jaxrl_up.learning.planning.proposals import Gaussian as Gaussian
from jaxrl_up.learning.planning.proposals import initial_proposal as initial_proposal
from jaxrl_up.learning.planning.search import Found as Found
from jaxrl_up.learning.planning.search import SearchFields as SearchFields
from jaxrl_up.learning.planning.search import initial_plans as initial_plans
from jaxrl_up.learning.planning.search import replan as replan
from jaxrl_up.learning.planning.search import search as search
from jaxrl_up.learning.planning.search import weigh as weigh
from jaxrl_up.learning.planning.tree import Noise as Noise
from jaxrl_up.learning.planning.tree import Searched as Searched
from jaxrl_up.learning.planning.tree import TreeFields as TreeFields
from jaxrl_up.learning.planning.tree import advance as advance
from jaxrl_up.learning.planning.tree import check_search as check_search
from jaxrl_up.learning.planning.tree import discount_of as discount_of
from jaxrl_up.learning.planning.tree import players_of as players_of
from jaxrl_up.learning.planning.tree import space_within as space_within
from jaxrl_up.learning.planning.tree import tree_search as tree_search
from jaxrl_up.types import face

__dir__ = face(__name__)
