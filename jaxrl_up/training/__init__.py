"""The compiled gear: whole training loops, many seeds and many settings, as one program.

`advance` makes some updates and one evaluation; `train` and `sweep` scan it, and the host-driven gear of
`jaxrl_up.experiments` loops over the same. What happens inside a run's program comes in here: no files, no printing.
"""

from jaxrl_up.training import lanes as lanes
from jaxrl_up.training.compiled import train as train
from jaxrl_up.training.compiled import train_program as train_program
from jaxrl_up.training.evaluation import Evaluation as Evaluation
from jaxrl_up.training.evaluation import evaluate as evaluate
from jaxrl_up.training.evaluation import evaluate_episodes as evaluate_episodes
from jaxrl_up.training.evaluation import played_in as played_in
from jaxrl_up.training.evaluation import take_evaluation_env as take_evaluation_env
from jaxrl_up.training.evaluation_schedule import evaluation_ends as evaluation_ends
from jaxrl_up.training.evaluation_schedule import num_updates as num_updates
from jaxrl_up.training.evaluation_schedule import schedule as schedule
from jaxrl_up.training.evaluation_schedule import updates_between as updates_between
from jaxrl_up.training.lanes import advance_lanes as advance_lanes
from jaxrl_up.training.lanes import apply_swept as apply_swept
from jaxrl_up.training.lanes import begin_lanes as begin_lanes
from jaxrl_up.training.lanes import begin_program as begin_program
from jaxrl_up.training.lanes import join as join
from jaxrl_up.training.lanes import lane_axes as lane_axes
from jaxrl_up.training.lanes import lane_mesh as lane_mesh
from jaxrl_up.training.lanes import place as place
from jaxrl_up.training.lanes import shares as shares
from jaxrl_up.training.lanes import trace_update as trace_update
from jaxrl_up.training.lanes import train_lanes as train_lanes
from jaxrl_up.training.lanes import with_fields as with_fields
from jaxrl_up.training.lanes import with_swept as with_swept
from jaxrl_up.training.matches import match as match
from jaxrl_up.training.matches import round_robin as round_robin
from jaxrl_up.training.progress import Log as Log
from jaxrl_up.training.progress import Progress as Progress
from jaxrl_up.training.progress import advance as advance
from jaxrl_up.training.progress import begin as begin
from jaxrl_up.training.progress import update as update
from jaxrl_up.training.swept import check_grid as check_grid
from jaxrl_up.training.swept import check_not_drawn as check_not_drawn
from jaxrl_up.training.swept import resolve as resolve
from jaxrl_up.training.swept import sweep as sweep
from jaxrl_up.types import face

__dir__ = face(__name__)
