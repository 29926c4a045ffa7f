"""Policies and algorithms on their own: exported files, a loader that needs NumPy only, scripts to edit.

Another format for policies comes in as `export` is, what is recorded of one in `programs`. `numpy_policy` is copied out
of the package: it imports nothing of it.
"""

from jaxrl_up.deploy import export as export
from jaxrl_up.deploy import numpy_policy as numpy_policy
from jaxrl_up.deploy.export import check_path as check_path
from jaxrl_up.deploy.export import load_policy as load_policy
from jaxrl_up.deploy.export import save_policy as save_policy
from jaxrl_up.deploy.programs import numpy_program as numpy_program
from jaxrl_up.deploy.scripts import eject as eject
from jaxrl_up.types import face

__dir__ = face(__name__)
