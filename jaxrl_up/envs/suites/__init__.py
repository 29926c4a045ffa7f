"""Bridges to suites of environments, one file each, and the registry of all that are built by name.

A new suite comes in as a file here, its names and what builds them in `registry`.
"""

from jaxrl_up.envs.suites import gymnax as gymnax
from jaxrl_up.envs.suites import gymnax_mends as gymnax_mends
from jaxrl_up.envs.suites import own as own
from jaxrl_up.envs.suites.gymnasium import from_gymnasium as from_gymnasium
from jaxrl_up.envs.suites.gymnax import from_gymnax as from_gymnax
from jaxrl_up.envs.suites.gymnax_mends import caution as caution
from jaxrl_up.envs.suites.registry import find as find
from jaxrl_up.envs.suites.registry import is_gone as is_gone
from jaxrl_up.envs.suites.registry import is_name as is_name
from jaxrl_up.envs.suites.registry import libraries as libraries
from jaxrl_up.envs.suites.registry import listing as listing
from jaxrl_up.envs.suites.registry import make as make
from jaxrl_up.envs.suites.registry import names as names
from jaxrl_up.envs.suites.registry import own_parts as own_parts
from jaxrl_up.envs.suites.registry import was_named as was_named
from jaxrl_up.envs.suites.restarting import restarting as restarting
from jaxrl_up.envs.suites.slots import let_go as let_go
from jaxrl_up.envs.suites.slots import orphaned as orphaned
