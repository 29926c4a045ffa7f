"""The host-driven gear: runs with progress, records, checkpoints and an orderly stop; sweeps; recipes.

Whatever concerns the process comes in here: signals, devices, memory, the compilation cache, sinks and what is said on
standard error. It loops over the compiled parts of `jaxrl_up.training` and keeps what they give by `jaxrl_up.records`.
"""

from jaxrl_up.experiments import compilation_cache as compilation_cache
from jaxrl_up.experiments import compiler as compiler
from jaxrl_up.experiments import memory as memory
from jaxrl_up.experiments import sinks as sinks
from jaxrl_up.experiments.compilation_cache import REFUSED as REFUSED
from jaxrl_up.experiments.compilation_cache import heeded as heeded
from jaxrl_up.experiments.compilation_cache import use_compilation_cache as use_compilation_cache
from jaxrl_up.experiments.compiler import leave_out_faulty_fusion as leave_out_faulty_fusion
from jaxrl_up.experiments.device_transfer import choose as choose
from jaxrl_up.experiments.device_transfer import gather as gather
from jaxrl_up.experiments.device_transfer import to_devices as to_devices
from jaxrl_up.experiments.device_transfer import to_host as to_host
from jaxrl_up.experiments.device_transfer import without_padding as without_padding
from jaxrl_up.experiments.devices import use_all_cores as use_all_cores
from jaxrl_up.experiments.jaxpr_memory import working_bytes as working_bytes
from jaxrl_up.experiments.joining import Meeting as Meeting
from jaxrl_up.experiments.joining import find_meeting as find_meeting
from jaxrl_up.experiments.joining import join as join
from jaxrl_up.experiments.joining import use_all_processes as use_all_processes
from jaxrl_up.experiments.live_progress import Reporter as Reporter
from jaxrl_up.experiments.live_progress import summary as summary
from jaxrl_up.experiments.memory import at_start as at_start
from jaxrl_up.experiments.memory import memory_lines as memory_lines
from jaxrl_up.experiments.memory import need as need
from jaxrl_up.experiments.recipes import FOLDER as FOLDER
from jaxrl_up.experiments.recipes import SEEDS as SEEDS
from jaxrl_up.experiments.recipes import Expected as Expected
from jaxrl_up.experiments.recipes import load_recipe as load_recipe
from jaxrl_up.experiments.recipes import read_recipe as read_recipe
from jaxrl_up.experiments.recipes import recipe_config as recipe_config
from jaxrl_up.experiments.recipes import recipe_expected as recipe_expected
from jaxrl_up.experiments.recipes import recipe_names as recipe_names
from jaxrl_up.experiments.recipes import recipe_path as recipe_path
from jaxrl_up.experiments.recipes import recipe_source as recipe_source
from jaxrl_up.experiments.runs import ask as ask
from jaxrl_up.experiments.runs import draw as draw
from jaxrl_up.experiments.runs import resume as resume
from jaxrl_up.experiments.runs import run as run
from jaxrl_up.experiments.runs import start as start
from jaxrl_up.experiments.sinks import Sink as Sink
from jaxrl_up.experiments.sinks import as_sinks as as_sinks
from jaxrl_up.experiments.stopping import LEAVING as LEAVING
from jaxrl_up.experiments.stopping import STOPS as STOPS
from jaxrl_up.experiments.stopping import last_words as last_words
from jaxrl_up.experiments.stopping import stop_words as stop_words
from jaxrl_up.experiments.stopping import stoppable as stoppable
from jaxrl_up.experiments.sweeps import FILES as FILES
from jaxrl_up.experiments.sweeps import PartResult as PartResult
from jaxrl_up.experiments.sweeps import SweepArguments as SweepArguments
from jaxrl_up.experiments.sweeps import SweepResult as SweepResult
from jaxrl_up.experiments.sweeps import SweepSettings as SweepSettings
from jaxrl_up.experiments.sweeps import SweepWatcher as SweepWatcher
from jaxrl_up.experiments.sweeps import check_place as check_place
from jaxrl_up.experiments.sweeps import describe_point as describe_point
from jaxrl_up.experiments.sweeps import is_sweep as is_sweep
from jaxrl_up.experiments.sweeps import keep as keep
from jaxrl_up.experiments.sweeps import load_jobs as load_jobs
from jaxrl_up.experiments.sweeps import load_sweep as load_sweep
from jaxrl_up.experiments.sweeps import plan_lines as plan_lines
from jaxrl_up.experiments.sweeps import plan_sweep as plan_sweep
from jaxrl_up.experiments.sweeps import points as points
from jaxrl_up.experiments.sweeps import product as product
from jaxrl_up.experiments.sweeps import random_points as random_points
from jaxrl_up.experiments.sweeps import rank as rank
from jaxrl_up.experiments.sweeps import resume_part as resume_part
from jaxrl_up.experiments.sweeps import resume_sweep as resume_sweep
from jaxrl_up.experiments.sweeps import run_sweep as run_sweep
from jaxrl_up.experiments.sweeps import rung_ends as rung_ends
from jaxrl_up.experiments.sweeps import start_sweep as start_sweep
from jaxrl_up.experiments.terminal import columns as columns
from jaxrl_up.experiments.terminal import curve as curve
from jaxrl_up.experiments.terminal import folded as folded
from jaxrl_up.experiments.terminal import lively as lively
from jaxrl_up.types import face

__dir__ = face(__name__)
