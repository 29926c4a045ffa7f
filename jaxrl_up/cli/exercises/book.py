"""The exercises, in the order of the lessons."""

from __future__ import annotations

from jaxrl_up.cli.exercises.exercise import Exercise

LESSONS = {  # the notebook of each lesson that has exercises
    1: "01_key_concepts",
    3: "03_policy_optimisation",
    4: "04_value_fitting",
    5: "05_q_learning_to_dqn",
    6: "06_from_vpg_to_sac",
    7: "07_many_seeds",
    8: "08_debugging",
}
BOOK = (
    Exercise(
        *("1.1", "The log-likelihood of a Gaussian", "chapter_1.gaussian_log_likelihood"),
        about="Write log pi(a | s) of a diagonal Gaussian, for one action and for batches of them.",
    ),
    Exercise(
        *("1.2", "The policy network", "chapter_1.policy_network"),
        about="Write a Gaussian policy as functions of parameters: begin, mean, sample, log-probability.",
    ),
    Exercise(
        *("1.3", "The discounted return", "chapter_1.discounted_return"),
        about="Add up rewards, each worth less the later it comes, for trajectories side by side too.",
    ),
    Exercise(
        *("1.4", "The Bellman backup of a policy", "chapter_1.bellman_backup"),
        about="Write T^pi for a world in tables, with states where everything ends.",
    ),
    Exercise(
        *("1.5", "A step of value iteration", "chapter_1.value_iteration_step"),
        about="Write T* for all states at once, and the greedy policy; sixty steps of it find V*.",
    ),
    Exercise(
        *("3.1", "The reward-to-go", "chapter_3.reward_to_go"),
        about="Add up the rewards that follow each step, in a window that holds several episodes.",
    ),
    Exercise(
        *("3.2", "A baseline that depends on the action", "chapter_3.action_baseline"),
        about="Mend an estimator of the policy gradient that has a small variance and the wrong mean.",
    ),
    Exercise(
        *("3.3", "GAE at a time limit", "chapter_3.gae_time_limit"),
        about="Write the advantages where episodes end in two ways: terminated, or only cut by a time limit.",
    ),
)


def find(number: str) -> Exercise | None:
    """The exercise of a number, as "1.1"; None where there is none."""
    return next((exercise for exercise in BOOK if exercise.number == number), None)
