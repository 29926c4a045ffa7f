"""Finite MDPs: exact values, learning in tables, exact policy gradients; and each of them is an `Env`.

What a textbook says of states in a table comes in here, as pure functions of an `MDP`. Anything that needs a network
is in `jaxrl_up.algorithms`.
"""

from jaxrl_up.tabular import policy_gradients as policy_gradients
from jaxrl_up.tabular.builders import Enumeration as Enumeration
from jaxrl_up.tabular.builders import from_env as from_env
from jaxrl_up.tabular.builders import garnet as garnet
from jaxrl_up.tabular.control import Learned as Learned
from jaxrl_up.tabular.control import double_q_learning as double_q_learning
from jaxrl_up.tabular.control import expected_sarsa as expected_sarsa
from jaxrl_up.tabular.control import q_learning as q_learning
from jaxrl_up.tabular.control import sarsa as sarsa
from jaxrl_up.tabular.dyna import dyna_q as dyna_q
from jaxrl_up.tabular.dyna import prioritized_sweeping as prioritized_sweeping
from jaxrl_up.tabular.dynamic_programming import Solution as Solution
from jaxrl_up.tabular.dynamic_programming import a_pi as a_pi
from jaxrl_up.tabular.dynamic_programming import expectation_backup_q as expectation_backup_q
from jaxrl_up.tabular.dynamic_programming import expectation_backup_v as expectation_backup_v
from jaxrl_up.tabular.dynamic_programming import expected_return as expected_return
from jaxrl_up.tabular.dynamic_programming import greedy as greedy
from jaxrl_up.tabular.dynamic_programming import iterative_evaluation as iterative_evaluation
from jaxrl_up.tabular.dynamic_programming import lookahead as lookahead
from jaxrl_up.tabular.dynamic_programming import modified_policy_iteration as modified_policy_iteration
from jaxrl_up.tabular.dynamic_programming import occupancy as occupancy
from jaxrl_up.tabular.dynamic_programming import optimality_backup_q as optimality_backup_q
from jaxrl_up.tabular.dynamic_programming import optimality_backup_v as optimality_backup_v
from jaxrl_up.tabular.dynamic_programming import policy_iteration as policy_iteration
from jaxrl_up.tabular.dynamic_programming import q_pi as q_pi
from jaxrl_up.tabular.dynamic_programming import q_star as q_star
from jaxrl_up.tabular.dynamic_programming import residual as residual
from jaxrl_up.tabular.dynamic_programming import v_pi as v_pi
from jaxrl_up.tabular.dynamic_programming import v_star as v_star
from jaxrl_up.tabular.dynamic_programming import value_iteration as value_iteration
from jaxrl_up.tabular.environment import as_env as as_env
from jaxrl_up.tabular.environment import observations as observations
from jaxrl_up.tabular.environment import policy_table as policy_table
from jaxrl_up.tabular.episodes import as_trajectories as as_trajectories
from jaxrl_up.tabular.episodes import episode_lengths as episode_lengths
from jaxrl_up.tabular.episodes import episode_returns as episode_returns
from jaxrl_up.tabular.finite_mdp import MDP as MDP
from jaxrl_up.tabular.finite_mdp import as_policy as as_policy
from jaxrl_up.tabular.finite_mdp import check as check
from jaxrl_up.tabular.finite_mdp import mdp as mdp
from jaxrl_up.tabular.finite_mdp import uniform_policy as uniform_policy
from jaxrl_up.tabular.grids import from_grid as from_grid
from jaxrl_up.tabular.grids import frozen_lake as frozen_lake
from jaxrl_up.tabular.grids import grid_text as grid_text
from jaxrl_up.tabular.layout import Layout as Layout
from jaxrl_up.tabular.prediction import Batch as Batch
from jaxrl_up.tabular.prediction import Predicted as Predicted
from jaxrl_up.tabular.prediction import batch_monte_carlo as batch_monte_carlo
from jaxrl_up.tabular.prediction import batch_td as batch_td
from jaxrl_up.tabular.prediction import monte_carlo as monte_carlo
from jaxrl_up.tabular.prediction import td as td
from jaxrl_up.tabular.prediction import td_lambda as td_lambda
from jaxrl_up.tabular.soft_values import soft_backup_v as soft_backup_v
from jaxrl_up.tabular.soft_values import soft_v_pi as soft_v_pi
from jaxrl_up.tabular.soft_values import soft_value_iteration as soft_value_iteration
from jaxrl_up.tabular.step_sizes import Schedule as Schedule
from jaxrl_up.tabular.step_sizes import StepSize as StepSize
from jaxrl_up.tabular.step_sizes import robbins_monro as robbins_monro
from jaxrl_up.tabular.textbook import DYNA_MAZE as DYNA_MAZE
from jaxrl_up.tabular.textbook import cliff_walking as cliff_walking
from jaxrl_up.tabular.textbook import dyna_maze as dyna_maze
from jaxrl_up.tabular.textbook import maximization_bias as maximization_bias
from jaxrl_up.tabular.textbook import predictor as predictor
from jaxrl_up.tabular.textbook import predictor_episodes as predictor_episodes
from jaxrl_up.tabular.textbook import random_walk as random_walk
from jaxrl_up.tabular.textbook import route as route
from jaxrl_up.tabular.textbook import route_days as route_days
from jaxrl_up.tabular.trajectories import Trajectories as Trajectories
from jaxrl_up.tabular.trajectories import all_trajectories as all_trajectories
from jaxrl_up.tabular.trajectories import draw as draw
from jaxrl_up.tabular.trajectories import sample_trajectories as sample_trajectories
from jaxrl_up.tabular.trajectories import trajectory_log_prob as trajectory_log_prob
from jaxrl_up.types import face

__dir__ = face(__name__)
