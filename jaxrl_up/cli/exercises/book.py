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
)


def find(number: str) -> Exercise | None:
    """The exercise of a number, as "1.1"; None where there is none."""
    return next((exercise for exercise in BOOK if exercise.number == number), None)
