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
    11: "11_planning_and_models",
    12: "12_tree_search",
}
BOOK = (
    Exercise(
        *("1.1", "The log-likelihood of a Gaussian", "chapter_1.gaussian_log_likelihood"),
        about="Write the log-likelihood of a diagonal Gaussian, for one action and for batches of them.",
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
    Exercise(
        *("4.1", "The k-step target at an episode's end", "chapter_4.k_step_target"),
        about="Write the targets of k steps, which stop where an episode does, one way or the other.",
    ),
    Exercise(
        *("4.2", "A bug hunt: lambda targets off by one", "chapter_4.lambda_target"),
        about="Find why the lambda targets are not V where V is exact.",
    ),
    Exercise(
        *("5.1", "Epsilon-greedy actions with ties", "chapter_5.epsilon_greedy"),
        about="Write the probabilities of epsilon-greedy actions, where equal values share, and a draw.",
    ),
    Exercise(
        *("5.2", "C51's projection", "chapter_5.categorical_projection"),
        about="Write the projection of a distribution onto the atoms.",
    ),
    Exercise(
        *("5.3", "A bug hunt: a replay across an episode's end", "chapter_5.replay_across_an_end"),
        about="Find why the values near a time limit are wrong.",
    ),
    Exercise(
        *("6.1", "TD3's losses", "chapter_6.td3_losses"),
        about="Write the losses of TD3's critics and of its actor.",
    ),
    Exercise(
        *("6.2", "The log-probability of a squashed action", "chapter_6.squashed_log_prob"),
        about="Write SAC's sample and its log-probability, right where tanh is 1 in float32.",
    ),
    Exercise(
        *("6.3", "TRPO and PPO with and without values", "chapter_6.with_and_without_values"),
        about="Write the advantages and surrogates of both, and find what a fitted V does to the variance.",
    ),
    Exercise(
        *("6.4", "A bug hunt: KL the wrong way round", "chapter_6.kl_the_wrong_way_round"),
        about="Find why the distance to the old policy is wrong where it matters, three times.",
    ),
    Exercise(
        *("7.1", "A bug hunt: the key that was rebound", "chapter_7.rebound_key"),
        about="Find why the seeds agree so well.",
    ),
    Exercise(
        *("8.1", "A bug hunt: [B] against [B, 1]", "chapter_8.silent_broadcast"),
        about="Find why the loss goes down and nothing is learned.",
    ),
    Exercise(
        *("8.2", "A bug hunt: the normaliser that moved too early", "chapter_8.normaliser_moved_too_early"),
        about="Find why the first probability ratios are not 1.",
    ),
    Exercise(
        *("11.1", "The elites of the cross-entropy method", "chapter_11.elites"),
        about="Write one refit: mean and spread of the plans that earned most.",
    ),
    Exercise(
        *("11.2", "A likelihood with a learned variance", "chapter_11.learned_variance"),
        about="Write the loss of a model that says how sure it is.",
    ),
    Exercise(
        *("11.3", "Trajectory sampling", "chapter_11.trajectory_sampling"),
        about="Write what a plan is worth in an ensemble, where each particle goes through members of its own.",
    ),
    Exercise(
        *("11.4", "The target of value expansion", "chapter_11.value_expansion"),
        about="Write a critic's target that looks H imagined steps ahead before it asks the critic.",
    ),
    Exercise(
        *("12.1", "One backup of a tree search", "chapter_12.tree_backup"),
        about="Write how one simulation changes values and visits on its path, for one player and for two.",
    ),
    Exercise(
        *("12.2", "PUCT", "chapter_12.puct"),
        about="Write the score by which a search goes down, where some actions are untried and some illegal.",
    ),
    Exercise(
        *("12.3", "The targets of expert iteration", "chapter_12.search_targets"),
        about="Write what a network learns from a search's visits, and from games that end midway.",
    ),
)


def find(number: str) -> Exercise | None:
    """The exercise of a number, as "1.1"; None where there is none."""
    return next((exercise for exercise in BOOK if exercise.number == number), None)
