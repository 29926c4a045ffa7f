"""Learned models of environments: what follows an observation and an action.

`dynamics` has the networks and what they learn from, `fitting` what algorithms that learn them from a replay share,
`branches` short rollouts in them, `imagined` an environment made of a model, `errors` how far a model strays. Models of
another kind come in here; what plans in them is in `learning.planning`.
"""

from jaxrl_up.learning.models.branches import Branches as Branches
from jaxrl_up.learning.models.branches import branch as branch
from jaxrl_up.learning.models.dynamics import Dynamics as Dynamics
from jaxrl_up.learning.models.dynamics import Prediction as Prediction
from jaxrl_up.learning.models.dynamics import Targets as Targets
from jaxrl_up.learning.models.dynamics import dynamics_of as dynamics_of
from jaxrl_up.learning.models.errors import HorizonErrors as HorizonErrors
from jaxrl_up.learning.models.errors import horizon_errors as horizon_errors
from jaxrl_up.learning.models.fitting import BesideFields as BesideFields
from jaxrl_up.learning.models.fitting import Ensemble as Ensemble
from jaxrl_up.learning.models.fitting import ModelFields as ModelFields
from jaxrl_up.learning.models.fitting import beside_network as beside_network
from jaxrl_up.learning.models.fitting import ensemble as ensemble
from jaxrl_up.learning.models.fitting import ensemble_beside as ensemble_beside
from jaxrl_up.learning.models.fitting import fit as fit
from jaxrl_up.learning.models.fitting import fit_sometimes as fit_sometimes
from jaxrl_up.learning.models.fitting import loss as loss
from jaxrl_up.learning.models.fitting import member_model as member_model
from jaxrl_up.learning.models.fitting import member_steps as member_steps
from jaxrl_up.learning.models.fitting import rows as rows
from jaxrl_up.learning.models.imagined import as_env as as_env
from jaxrl_up.learning.models.imagined import as_model as as_model
from jaxrl_up.types import face

__dir__ = face(__name__)
