"""Sweeps: points, the parts that train them, successive halving, their directory and tables.

How points are chosen comes in in `points`, which go on in `plan`, what they reached in `results`, what is written in
`sweep_records`.
"""

from jaxrl_up.experiments.sweeps import plan as plan
from jaxrl_up.experiments.sweeps import running as running
from jaxrl_up.experiments.sweeps.jobs import PartResult as PartResult
from jaxrl_up.experiments.sweeps.jobs import load_jobs as load_jobs
from jaxrl_up.experiments.sweeps.jobs import plan_sweep as plan_sweep
from jaxrl_up.experiments.sweeps.jobs import resume_part as resume_part
from jaxrl_up.experiments.sweeps.live_progress import SweepWatcher as SweepWatcher
from jaxrl_up.experiments.sweeps.live_progress import plan_lines as plan_lines
from jaxrl_up.experiments.sweeps.plan import SweepArguments as SweepArguments
from jaxrl_up.experiments.sweeps.plan import SweepSettings as SweepSettings
from jaxrl_up.experiments.sweeps.plan import keep as keep
from jaxrl_up.experiments.sweeps.points import describe_point as describe_point
from jaxrl_up.experiments.sweeps.points import product as product
from jaxrl_up.experiments.sweeps.points import random_points as random_points
from jaxrl_up.experiments.sweeps.results import SweepResult as SweepResult
from jaxrl_up.experiments.sweeps.results import rank as rank
from jaxrl_up.experiments.sweeps.running import load_sweep as load_sweep
from jaxrl_up.experiments.sweeps.running import resume_sweep as resume_sweep
from jaxrl_up.experiments.sweeps.running import run_sweep as run_sweep
from jaxrl_up.experiments.sweeps.running import start_sweep as start_sweep
from jaxrl_up.experiments.sweeps.sweep_records import FILES as FILES
from jaxrl_up.experiments.sweeps.sweep_records import check_place as check_place
from jaxrl_up.experiments.sweeps.sweep_records import is_sweep as is_sweep
from jaxrl_up.experiments.sweeps.sweep_records import rung_ends as rung_ends
