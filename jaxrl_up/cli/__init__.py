"""The command line `jaxrl-up`: one file a command, and the options that they share.

Parses, checks, calls the public functions and prints; holds nothing that Python could not call too. A new command is a
file in `commands/` with a `main(arguments) -> exit code`, and a line in `main.COMMANDS`.
"""

from jaxrl_up.cli import exercises as exercises
from jaxrl_up.cli import layout as layout
from jaxrl_up.cli import options as options
from jaxrl_up.cli.board_games import coloured as coloured
from jaxrl_up.cli.commands import evaluate as evaluate
from jaxrl_up.cli.commands import watch as watch
from jaxrl_up.cli.main import COMMANDS as COMMANDS
from jaxrl_up.cli.main import at_once_if_pressed_twice as at_once_if_pressed_twice
from jaxrl_up.cli.main import main as main
from jaxrl_up.cli.options import UsageError as UsageError
from jaxrl_up.cli.results import next_lines as next_lines
from jaxrl_up.cli.results import report as report
from jaxrl_up.cli.sources import take_source as take_source
from jaxrl_up.cli.spelling import spell_seeds as spell_seeds
from jaxrl_up.types import face

__dir__ = face(__name__)
