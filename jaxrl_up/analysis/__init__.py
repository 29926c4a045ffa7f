"""What runs say: curves, plots, comparisons, a page for each run, and pictures of episodes.

Reads records and draws; trains nothing. A new plot or a new figure of merit comes in here. Matplotlib and Pillow are
imported where something is drawn.
"""

from jaxrl_up.analysis import drawing as drawing
from jaxrl_up.analysis import sweep_plots as sweep_plots
from jaxrl_up.analysis.column_plots import draw_columns as draw_columns
from jaxrl_up.analysis.comparison import efficiency_bands as efficiency_bands
from jaxrl_up.analysis.comparison import improvements as improvements
from jaxrl_up.analysis.comparison import plot_bars as plot_bars
from jaxrl_up.analysis.comparison import plot_efficiency as plot_efficiency
from jaxrl_up.analysis.comparison import plot_improvement as plot_improvement
from jaxrl_up.analysis.comparison import plot_profiles as plot_profiles
from jaxrl_up.analysis.curves import final_scores as final_scores
from jaxrl_up.analysis.curves import find_runs as find_runs
from jaxrl_up.analysis.curves import gather as gather
from jaxrl_up.analysis.curves import notes as notes
from jaxrl_up.analysis.curves import pool as pool
from jaxrl_up.analysis.drawing import ACTIONS as ACTIONS
from jaxrl_up.analysis.drawing import BLUE as BLUE
from jaxrl_up.analysis.drawing import CHANNELS as CHANNELS
from jaxrl_up.analysis.drawing import COLOURS as COLOURS
from jaxrl_up.analysis.drawing import HEADER as HEADER
from jaxrl_up.analysis.drawing import HEIGHT as HEIGHT
from jaxrl_up.analysis.drawing import MAX_FRAMES as MAX_FRAMES
from jaxrl_up.analysis.drawing import SCENES as SCENES
from jaxrl_up.analysis.drawing import VERMILLION as VERMILLION
from jaxrl_up.analysis.drawing import WIDTH as WIDTH
from jaxrl_up.analysis.drawing import Episode as Episode
from jaxrl_up.analysis.drawing import action_text as action_text
from jaxrl_up.analysis.drawing import can_draw as can_draw
from jaxrl_up.analysis.drawing import draw_episode as draw_episode
from jaxrl_up.analysis.drawing import episode_table as episode_table
from jaxrl_up.analysis.drawing import gif_steps as gif_steps
from jaxrl_up.analysis.drawing import observation_text as observation_text
from jaxrl_up.analysis.drawing import record_episode as record_episode
from jaxrl_up.analysis.drawing import video_library as video_library
from jaxrl_up.analysis.drawing import write_gif as write_gif
from jaxrl_up.analysis.drawing import write_mp4 as write_mp4
from jaxrl_up.analysis.grid_plots import plot_grid as plot_grid
from jaxrl_up.analysis.labels import short_names as short_names
from jaxrl_up.analysis.labels import short_value as short_value
from jaxrl_up.analysis.looks import apart as apart
from jaxrl_up.analysis.looks import looks as looks
from jaxrl_up.analysis.plots import plot_curves as plot_curves
from jaxrl_up.analysis.plots import plot_ratings as plot_ratings
from jaxrl_up.analysis.report import write_report as write_report
from jaxrl_up.analysis.sweep_plots import is_logarithmic as is_logarithmic
from jaxrl_up.analysis.sweep_plots import plot_scores as plot_scores
from jaxrl_up.analysis.sweep_plots import plot_sweep as plot_sweep
from jaxrl_up.types import face

__dir__ = face(__name__)
