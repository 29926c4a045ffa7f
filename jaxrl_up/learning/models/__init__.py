"""Learned models of environments: what follows an observation and an action.

`dynamics` has the networks and what they learn from, `imagined` an environment made of a model, `errors` how far a
model strays. Models of another kind come in here; what plans in them is in `learning.planning`.
"""

from jaxrl_up.learning.models.dynamics import Dynamics as Dynamics
from jaxrl_up.learning.models.dynamics import Prediction as Prediction
from jaxrl_up.learning.models.dynamics import Targets as Targets
from jaxrl_up.learning.models.dynamics import dynamics_of as dynamics_of
from jaxrl_up.learning.models.errors import HorizonErrors as HorizonErrors
from jaxrl_up.learning.models.errors import horizon_errors as horizon_errors
from jaxrl_up.learning.models.imagined import as_env as as_env
from jaxrl_up.learning.models.imagined import as_model as as_model
