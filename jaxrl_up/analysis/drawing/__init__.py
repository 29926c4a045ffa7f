"""Episodes to look at: recorded, drawn frame by frame, written as a GIF or as a table.

The drawing of an environment comes in as a function in `scenes`, the words for its actions in `episode`.
"""

from jaxrl_up.analysis.drawing.canvas import BLUE as BLUE
from jaxrl_up.analysis.drawing.canvas import COLOURS as COLOURS
from jaxrl_up.analysis.drawing.canvas import HEADER as HEADER
from jaxrl_up.analysis.drawing.canvas import HEIGHT as HEIGHT
from jaxrl_up.analysis.drawing.canvas import VERMILLION as VERMILLION
from jaxrl_up.analysis.drawing.canvas import WIDTH as WIDTH
from jaxrl_up.analysis.drawing.episode import ACTIONS as ACTIONS
from jaxrl_up.analysis.drawing.episode import CHANNELS as CHANNELS
from jaxrl_up.analysis.drawing.episode import Episode as Episode
from jaxrl_up.analysis.drawing.gif import MAX_FRAMES as MAX_FRAMES
from jaxrl_up.analysis.drawing.gif import can_draw as can_draw
from jaxrl_up.analysis.drawing.gif import draw_episode as draw_episode
from jaxrl_up.analysis.drawing.gif import gif_steps as gif_steps
from jaxrl_up.analysis.drawing.gif import write_gif as write_gif
from jaxrl_up.analysis.drawing.record import record_episode as record_episode
from jaxrl_up.analysis.drawing.scenes import SCENES as SCENES
from jaxrl_up.analysis.drawing.scenes import channels as channels
from jaxrl_up.analysis.drawing.table import action_text as action_text
from jaxrl_up.analysis.drawing.table import episode_table as episode_table
from jaxrl_up.analysis.drawing.table import observation_text as observation_text
from jaxrl_up.analysis.drawing.video import video_library as video_library
from jaxrl_up.analysis.drawing.video import write_mp4 as write_mp4
