"""A run on disk: its directory, config.toml, tables, checkpoints, and what was reached as data.

Everything that is written and read back lives here, with the one way from values to text and back: a new column of
progress.csv in `columns`, its sentence in `meanings`, a new option of a run in `settings` (and in `run` of
`jaxrl_up.experiments`). What drives a run is in `jaxrl_up.experiments`, what draws it in `jaxrl_up.analysis`; both read
and write by this package only.
"""

from jaxrl_up.records import checkpoint as checkpoint
from jaxrl_up.records import columns as columns
from jaxrl_up.records import processes as processes
from jaxrl_up.records.checkpoint import saved as saved
from jaxrl_up.records.columns import COLUMNS as COLUMNS
from jaxrl_up.records.columns import GAMES as GAMES
from jaxrl_up.records.columns import WHOLE as WHOLE
from jaxrl_up.records.columns import Recorder as Recorder
from jaxrl_up.records.columns import Timing as Timing
from jaxrl_up.records.columns import log_columns as log_columns
from jaxrl_up.records.columns import read_progress as read_progress
from jaxrl_up.records.columns import read_timing as read_timing
from jaxrl_up.records.description import are_games as are_games
from jaxrl_up.records.description import describe as describe
from jaxrl_up.records.description import describe_environment as describe_environment
from jaxrl_up.records.directory import RUNS as RUNS
from jaxrl_up.records.directory import alone as alone
from jaxrl_up.records.directory import check_directory as check_directory
from jaxrl_up.records.directory import create as create
from jaxrl_up.records.directory import file_name as file_name
from jaxrl_up.records.directory import is_part as is_part
from jaxrl_up.records.directory import newest_run as newest_run
from jaxrl_up.records.directory import reserve as reserve
from jaxrl_up.records.files import clear_parts as clear_parts
from jaxrl_up.records.files import expand as expand
from jaxrl_up.records.files import make_directory as make_directory
from jaxrl_up.records.files import read_table as read_table
from jaxrl_up.records.files import read_text as read_text
from jaxrl_up.records.files import table_text as table_text
from jaxrl_up.records.files import write_atomically as write_atomically
from jaxrl_up.records.meanings import SHARED as SHARED
from jaxrl_up.records.meanings import Meaning as Meaning
from jaxrl_up.records.meanings import column_meaning as column_meaning
from jaxrl_up.records.numbers import clock as clock
from jaxrl_up.records.numbers import count as count
from jaxrl_up.records.numbers import duration as duration
from jaxrl_up.records.numbers import score_line as score_line
from jaxrl_up.records.numbers import spread as spread
from jaxrl_up.records.numbers import steps_made as steps_made
from jaxrl_up.records.numbers import value as value
from jaxrl_up.records.own import EVALUATED as EVALUATED
from jaxrl_up.records.own import OWN as OWN
from jaxrl_up.records.own import NotNamed as NotNamed
from jaxrl_up.records.own import called as called
from jaxrl_up.records.own import command as command
from jaxrl_up.records.own import named as named
from jaxrl_up.records.own import names_in as names_in
from jaxrl_up.records.own import near as near
from jaxrl_up.records.own import option as option
from jaxrl_up.records.own import options_for as options_for
from jaxrl_up.records.own import own_names as own_names
from jaxrl_up.records.own import own_options as own_options
from jaxrl_up.records.own import swept_values as swept_values
from jaxrl_up.records.own import variables as variables
from jaxrl_up.records.result import RunResult as RunResult
from jaxrl_up.records.run_spec import LIMITS as LIMITS
from jaxrl_up.records.run_spec import EnvironmentSource as EnvironmentSource
from jaxrl_up.records.run_spec import RunSpec as RunSpec
from jaxrl_up.records.run_spec import Source as Source
from jaxrl_up.records.run_spec import build_environment as build_environment
from jaxrl_up.records.run_spec import environment_options as environment_options
from jaxrl_up.records.run_spec import is_built_by_name as is_built_by_name
from jaxrl_up.records.run_spec import load_part as load_part
from jaxrl_up.records.run_spec import load_run as load_run
from jaxrl_up.records.run_spec import read_config as read_config
from jaxrl_up.records.run_spec import run_source as run_source
from jaxrl_up.records.settings import CHECKPOINT_SECONDS as CHECKPOINT_SECONDS
from jaxrl_up.records.settings import RECORDED as RECORDED
from jaxrl_up.records.settings import RunSettings as RunSettings
from jaxrl_up.records.settings import check_settings as check_settings
from jaxrl_up.records.snapshot import Best as Best
from jaxrl_up.records.snapshot import Snapshot as Snapshot
from jaxrl_up.records.snapshot import load_policies as load_policies
from jaxrl_up.records.snapshot import load_snapshot as load_snapshot
from jaxrl_up.records.snapshot import save_snapshot as save_snapshot
from jaxrl_up.records.values import DIGITS as DIGITS
from jaxrl_up.records.values import Named as Named
from jaxrl_up.records.values import Point as Point
from jaxrl_up.records.values import from_toml as from_toml
from jaxrl_up.records.values import number as number
from jaxrl_up.records.values import point_table as point_table
from jaxrl_up.records.values import short as short
from jaxrl_up.records.values import text as text
from jaxrl_up.records.values import to_toml as to_toml
from jaxrl_up.records.values import toml_value as toml_value
from jaxrl_up.records.values import unnamed as unnamed
from jaxrl_up.records.values import values_of as values_of
from jaxrl_up.records.wording import concerns as concerns
from jaxrl_up.records.wording import games as games
from jaxrl_up.records.wording import least_longer as least_longer
from jaxrl_up.records.wording import longer as longer
from jaxrl_up.records.wording import of_games as of_games
from jaxrl_up.records.wording import repeats as repeats
from jaxrl_up.records.wording import way_on as way_on
from jaxrl_up.types import face

__dir__ = face(__name__)
