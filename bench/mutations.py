"""Does a test see a mistake made on purpose? A mutation puts a few lines in others' place, as one that drops a mask.

    python bench/mutations.py [--only WORD WORD ...] [--missing] [--list] [--unchanged] [--out FILE]

Each is tried in a copy of this tree: the text that it replaces must be there once, the test named beside it must fail
then, with a failure and not an error of collection, and all named tests must pass before. Prints a table; exit code 1
if a mutation survives. `--out` keeps a row for each, after each: those that are tried take the place of their old ones,
those of mutations that are no more go, and `--missing` tries what has no row yet, or one of another mistake. To add
others, append to `MUTATIONS`; a mutation that only breaks what compiles shows nothing, so write ones that still run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Mutation(NamedTuple):
    """What is changed, and the test that has to see it."""

    name: str
    file: str  # below jaxrl_up
    changes: tuple[tuple[str, str], ...]  # (text that is there once, what takes its place)
    test: str  # as pytest names it, below tests


MASKS = "algorithms/test_action_masks.py"
TAKEN = f"{MASKS}::test_no_forbidden_action_is_taken"
READ = f"{MASKS}::test_outputs_of_forbidden_actions_are_never_read"
REDUCED = f"{MASKS}::test_a_masked_problem_is_learned_as_the_one_without_its_forbidden_actions"
NEXT = f"{MASKS}::test_targets_read_what_the_next_state_allows"
HEADS, POLICIES = "learning/networks/policy_value.py", "ops/discrete_policies.py"
SAC, CHECK, VIEWS = "algorithms/sac_discrete.py", "envs/check.py", "envs/spaces/views.py"
ALL = "jnp.ones_like(mask_of(env.observation_space, obs))"
FINITE, PROGRAMMING, WAYS = (f"tabular/{name}.py" for name in ("finite_mdp", "dynamic_programming", "trajectories"))
GRIDS, CONTROL, PREDICTION = (f"tabular/{name}.py" for name in ("grids", "control", "prediction"))
GRADIENTS, SOFT, DYNA = (f"tabular/{name}.py" for name in ("policy_gradients", "soft_values", "dyna"))
EXACT, STATES = "tabular/test_dynamic_programming.py", "tabular/test_finite_mdp.py"
SCORES = "tabular/test_exact_policy_gradients.py"
MUJOCO, GYMNASIUM = "envs/suites/mujoco.py", "envs/test_gymnasium.py"
PGX, AGAINST, FOUR = "envs/suites/pgx.py", "envs/boards/against.py", "envs/boards/connect_four.py"
SIDE, AHEAD, AS_PGX = "envs/test_against.py", "envs/test_minimax.py", "envs/test_boards.py"
PLAYED = f"{AS_PGX}::test_it_plays_as_pgx_does_and_says_so_to_the_mover[pgx/tic_tac_toe]"
TURNED, PERSON = "envs/test_symmetries.py::test_a_transformed_game_goes_on", "cli/test_play_command.py"
RANDOMIZE, DRAWN = "envs/wrappers/randomize.py", "envs/test_randomize.py"
ELSEWHERE = "training/test_evaluation_env.py"
IMAGINED, PROPOSED, SEARCHED = (f"learning/planning/{name}.py" for name in ("imagination", "proposals", "search"))
DYNAMICS, ERRORS, PETS = "learning/models/dynamics.py", "learning/models/errors.py", "algorithms/pets.py"
PLANS, MODELS = "learning/test_planning.py", "learning/test_models.py"
BRANCHES, MBVE, MBPO = "learning/models/branches.py", "algorithms/mbve.py", "algorithms/mbpo.py"
EXPANDED, IN_MODEL = "algorithms/test_value_expansion.py", "algorithms/test_policy_optimisation_in_a_model.py"
LOOP = f"{EXPANDED}::test_the_critics_step_against_a_loop[ddpg-True]"
RING = f"{IN_MODEL}::test_branches_begin_in_real_states_and_fill_a_ring"
TREE, ZERO, POSITIONS = (
    "learning/planning/tree.py",
    "algorithms/alphazero.py",
    "learning/planning/positions.py",
)
TREES, ZEROS, GAMES = "learning/test_tree_search.py", "algorithms/test_alphazero.py", "learning/test_positions.py"
PUCT = f"{TREES}::test_visits_and_values_are_those_of_a_search_in_plain_python"
OF_NUMPY = f"{EXACT}::test_values_of_a_policy_are_those_of_numpy"


def mutation(name: str, file: str, old: str, new: str, test: str) -> Mutation:
    """A mutation of one place."""
    return Mutation(name, file, ((old, new),), test)


MUTATIONS = (
    # boards and opponents
    mutation(
        "a reward of the wrong player",
        PGX,
        "after.rewards[before.current_player]",
        "after.rewards[after.current_player]",
        PLAYED,
    ),
    mutation(
        "the legal moves of who moved before",
        PGX,
        "return reached, observed(after), reward",
        'return reached, {**observed(after), "mask": before.legal_action_mask}, reward',
        PLAYED,
    ),
    mutation(
        "a board seen from the other side",
        PGX,
        "strong(state.observation, board.dtype)",
        "strong(state.observation, board.dtype)[..., ::-1]",
        f"{AS_PGX}::test_the_board_is_seen_by_who_moves",
    ),
    mutation(
        "a move on a finished board",
        PGX,
        'DERIVED = ("observation", "rewards", "truncated")',
        'DERIVED = ("observation", "rewards", "truncated", "terminated")',
        f"{AS_PGX}::test_a_finished_board_stays_as_it_is",
    ),
    mutation(
        "an answer after the end",
        AGAINST,
        "where(terminated | truncated, ended,",
        "where(truncated, ended,",
        f"{SIDE}::test_a_game_of_ones_own_has_opponents_too",
    ),
    mutation(
        "what the opponent wins counted as won",
        AGAINST,
        "reward - theirs",
        "reward + theirs",
        f"{SIDE}::test_rewards_and_turns_are_those_of_one_side[True]",
    ),
    mutation(
        "the same side in every game",
        AGAINST,
        "jax.random.bernoulli(side_key)",
        "jnp.bool_(True)",
        f"{SIDE}::test_who_begins_is_drawn_for_each_game",
    ),
    mutation(
        "an opponent that begins although it should not",
        AGAINST,
        "        if first:\n",
        "        if first is False:\n",
        f"{SIDE}::test_rewards_and_turns_are_those_of_one_side[True]",
    ),
    mutation(
        "a game with a limit under the name of one without",
        AGAINST,
        ' <= {"with_simulator"} and spec.max_steps is None',
        ' <= {"with_simulator"}',
        "records/test_board_runs.py::test_what_no_name_says_is_not_taken_for_another_game",
    ),
    mutation(
        "an opponent that moves for the wrong side",
        FOUR,
        "mine = gathered(board[..., 0])",
        "mine = gathered(board[..., 1])",
        f"{AHEAD}::test_depth_one_takes_a_win_and_depth_two_blocks",
    ),
    mutation(
        "the other's best taken for one's own",
        FOUR,
        "after = -jax.vmap(",
        "after = jax.vmap(",
        f"{AHEAD}::test_it_chooses_as_a_plain_negamax_does[2]",
    ),
    mutation(
        "a win that does not hurry",
        FOUR,
        "jnp.where(wins, jnp.int32(depth), after)",
        "jnp.where(wins, jnp.int32(1), after)",
        f"{AHEAD}::test_it_chooses_as_a_plain_negamax_does[4]",
    ),
    mutation(
        "a diagonal that is not seen",
        FOUR,
        "DIRECTIONS = (7, 6, 8)",
        "DIRECTIONS = (7, 6)",
        f"{AHEAD}::test_it_chooses_as_a_plain_negamax_does[3]",
    ),
    mutation(
        "a sign in the table of tic-tac-toe",
        "envs/boards/tic_tac_toe.py",
        "np.where(won, left, -best)",
        "np.where(won, left, best)",
        f"{AHEAD}::test_tic_tac_toe_is_played_without_fault_in_every_position",
    ),
    mutation(
        "always the first of the best moves",
        "envs/boards/choosing.py",
        "drawn = jax.random.uniform(key, mask.shape, jnp.float32)",
        "drawn = jnp.zeros(mask.shape, jnp.float32)",
        f"{AHEAD}::test_tic_tac_toe_is_played_without_fault_in_every_position",
    ),
    mutation(
        "the opponent in what is simulated",
        "envs/simulator.py",
        "spec=build(_with_simulator(board), *opponent)",
        "spec=_with_simulator(env.spec)",
        f"{SIDE}::test_the_simulator_is_of_the_game_in_whatever_order",
    ),
    mutation(
        "an evaluation that plays both sides",
        RANDOMIZE,
        'return facing(env, "random") if env.spec.players == 2 else env',
        "return env",
        f"{SIDE}::test_what_evaluations_play_is_a_random_opponent",
    ),
    mutation(
        "boards turned and their moves not",
        "envs/boards/symmetry.py",
        "np.concatenate([cells.ravel(), rest]) for cells",
        "np.concatenate([grid.ravel(), rest]) for cells",
        f"{TURNED}_as_the_transformed_game[tic_tac_toe]",
    ),
    mutation(
        "a mirrored board with its old columns",
        "envs/boards/symmetry.py",
        "np.arange(columns)[::-1]",
        "np.arange(columns)",
        f"{TURNED}_as_the_transformed_game[connect_four]",
    ),
    mutation(
        "one player for a game of two",
        "algorithms/registry.py",
        "if env.spec.players not in algo.players:",
        "if False:",
        "records/test_board_runs.py::test_algorithms_of_one_player_want_one_side",
    ),
    mutation(
        "a win told to who lost",
        "cli/board_games.py",
        "(1 if mover == self.person else -1)",
        "1",
        f"{PERSON}::test_a_game_is_lost_by_who_moves_second",
    ),
    mutation(
        "a move that is not taken back",
        "cli/board_games.py",
        "game.place = game.before.pop()",
        "game.before.pop()",
        f"{PERSON}::test_moves_are_taken_back_with_their_answers",
    ),
    mutation(
        "stones of the other colour",
        "envs/boards/games.py",
        "* (-1 if _second(state) else 1)",
        "* (1 if _second(state) else -1)",
        f"{PERSON}::test_othello_as_text",
    ),
    # acting
    mutation(
        "on-policy policies",
        HEADS,
        "return masked(actor.apply(actor_params, obs)[0], obs)",
        "return actor.apply(actor_params, obs)[0]",
        f"{TAKEN}[ppo-one]",
    ),
    mutation(
        "sampling ahead of a rollout",
        POLICIES,
        '''Gumbel noise `[..., A]`: argmax_a log pi(a) + noise_a."""
        return masked_argmax(self.log_probs() + noise, self.mask)''',
        '''Gumbel noise `[..., A]`: argmax_a log pi(a) + noise_a."""
        return masked_argmax(self.logits + noise)''',
        f"{TAKEN}[a2c-one]",
    ),
    mutation(
        "sampling with a key",
        POLICIES,
        '''"""An action int32 `[...]`."""
        return _sample(key, self.log_probs())''',
        '''"""An action int32 `[...]`."""
        return _sample(key, self.logits)''',
        f"{TAKEN}[vpg-one]",
    ),
    mutation(
        "the most probable action",
        POLICIES,
        "return jnp.argmax(self.log_probs(), axis=-1).astype(jnp.int32)",
        "return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)",
        f"{TAKEN}[trpo-one]",
    ),
    mutation(
        "groups of a MultiDiscrete",
        POLICIES,
        "return Categorical(logits, allowed_actions(mask) & jnp.broadcast_to(there, logits.shape))",
        "return Categorical(logits, jnp.broadcast_to(there, logits.shape))",
        f"{TAKEN}[a2c-two]",
    ),
    mutation(
        "groups of a MultiDiscrete, one after the other",
        POLICIES,
        "mask = self._stack(jnp.broadcast_to(self.mask, self.logits.shape))",
        "mask = self._stack(jnp.broadcast_to(self.mask[..., ::-1], self.logits.shape))",
        f"{TAKEN}[ppo-two]",
    ),
    mutation(
        "greedy steps of training, DQN",
        "learning/exploration.py",
        "    best = q_values == ops.masked_max(q_values, mask, keepdims=True)\n"
        "    if mask is not None:\n        best &= ops.allowed_actions(mask)\n",
        "    best = q_values == ops.masked_max(q_values, keepdims=True)\n",
        f"{TAKEN}[dqn-one]",
    ),
    mutation(
        "random steps of training, DQN",
        "learning/exploration.py",
        "return jnp.where(coin < epsilon, allowed(drawn, mask), greedy)",
        "every = None if mask is None else jnp.ones_like(mask)\n"
        "    return jnp.where(coin < epsilon, allowed(drawn, every), greedy)",
        f"{TAKEN}[dqn-one]",
    ),
    mutation(
        "exploring, C51",
        "algorithms/dqn.py",
        "return exploration.epsilon_greedy(values, epsilon, noise, mask_of(env.observation_space, obs)), memory",
        f"return exploration.epsilon_greedy(values, epsilon, noise, {ALL}), memory",
        f"{TAKEN}[c51-one]",
    ),
    mutation(
        "act, QR-DQN",
        "algorithms/dqn.py",
        "q_values(config, env, policy, obs), config.epsilon_end, mask_of(env.observation_space, obs)",
        "q_values(config, env, policy, obs), config.epsilon_end",
        f"{TAKEN}[qr_dqn-one]",
    ),
    mutation(
        "greedy evaluation, DQN",
        POLICIES,
        "return masked_argmax(self.q_values, self.mask)",
        "return masked_argmax(self.q_values)",
        f"{TAKEN}[dqn-from 5]",
    ),
    mutation(
        "greedy part of sampled evaluation, DQN",
        POLICIES,
        "        greedy = self.q_values == masked_max(self.q_values, self.mask, keepdims=True)\n"
        "        if self.mask is not None:\n            greedy &= allowed_actions(self.mask, self.q_values)\n",
        "        greedy = self.q_values == masked_max(self.q_values, None, keepdims=True)\n",
        f"{TAKEN}[dqn-one]",
    ),
    mutation(
        "random part of sampled evaluation, DQN",
        POLICIES,
        "allowed = allowed_actions(self.mask, self.q_values).astype(self.q_values.dtype)",
        "allowed = jnp.ones_like(self.q_values)",
        f"{TAKEN}[qr_dqn-one]",
    ),
    mutation(
        "random first steps, discrete SAC",
        SAC,
        "uniform = exploration.allowed(drawn, mask_of(env.observation_space, obs))",
        f"uniform = exploration.allowed(drawn, {ALL})",
        f"{TAKEN}[sac_discrete-one]",
    ),
    mutation(
        "the policy of discrete SAC",
        SAC,
        ".apply(actor, obs), mask_of(env.observation_space, obs))",
        ".apply(actor, obs))",
        f"{TAKEN}[sac_discrete-from 5]",
    ),
    mutation(
        "random draws count the allowed",
        "ops/masks.py",
        "count = jnp.cumsum(allowed.astype(jnp.int32), axis=-1)",
        "count = jnp.cumsum(jnp.ones_like(allowed, jnp.int32), axis=-1)",
        f"{TAKEN}[dqn-one]",
    ),
    # losses
    mutation(
        "policies of on-policy losses",
        HEADS,
        "return masked(distribution, obs), cast(",
        "return distribution, cast(",
        f"{READ}[ppo-1]",
    ),
    mutation(
        "log-probabilities",
        POLICIES,
        'are no integers.\n        """\n        return action_value(self.log_probs(), action)',
        'are no integers.\n        """\n        return action_value(_log_softmax(self.logits), action)',
        f"{READ}[a2c-1]",
    ),
    mutation(
        "entropies",
        POLICIES,
        '''the log of their number."""
        return _entropy(self.log_probs())''',
        '''the log of their number."""
        return _entropy(_log_softmax(self.logits))''',
        f"{READ}[vpg-1]",
    ),
    mutation(
        "divergences",
        POLICIES,
        "chex.assert_equal_shape([self.logits, other.logits])\n        return _kl(self, other)",
        "chex.assert_equal_shape([self.logits, other.logits])\n"
        "        return _kl(self._replace(mask=None), other._replace(mask=None))",
        f"{READ}[trpo-1]",
    ),
    mutation(
        "normalisation of a masked policy",
        "ops/masks.py",
        "logits = jnp.where(allowed, jnp.maximum(logits, IMPOSSIBLE), 10 * IMPOSSIBLE)",
        "logits = jnp.maximum(logits, IMPOSSIBLE)",
        f"{REDUCED}[ppo-2]",
    ),
    mutation(
        "epsilon is shared by the allowed actions",
        POLICIES,
        "return epsilon * allowed / jnp.sum(allowed, axis=-1, keepdims=True) + (1.0 - epsilon) * share",
        "return epsilon * allowed / self.q_values.shape[-1] + (1.0 - epsilon) * share",
        "ops/test_masked_policies.py::test_masked_epsilon_greedy_by_hand",
    ),
    # targets
    mutation(
        "DQN's maximum",
        "algorithms/dqn.py",
        "ops.q_learning_target(batch.reward, batch.discount, next_values, mask=mask)",
        "ops.q_learning_target(batch.reward, batch.discount, next_values)",
        f"{NEXT}[dqn-False]",
    ),
    mutation(
        "double DQN's choice",
        "algorithms/dqn.py",
        "ops.double_q_target(batch.reward, batch.discount, next_values, selector, mask=mask)",
        "ops.double_q_target(batch.reward, batch.discount, next_values, selector)",
        f"{NEXT}[dqn-True]",
    ),
    mutation(
        "a maximum",
        "ops/masks.py",
        "values, -jnp.inf)\n    return jnp.max(",
        "values, values)\n    return jnp.max(",
        f"{NEXT}[dqn-False]",
    ),
    mutation(
        "the place of a maximum",
        "ops/masks.py",
        "jnp.maximum(values, least), -jnp.inf)",
        "jnp.maximum(values, least), values)",
        f"{NEXT}[qr_dqn-True]",
    ),
    mutation(
        "C51's a*",
        "algorithms/c51.py",
        "ops.masked_argmax(_mean(z, chooser), mask)",
        "ops.masked_argmax(_mean(z, chooser))",
        f"{NEXT}[c51-False]",
    ),
    mutation(
        "QR-DQN's a*",
        "algorithms/qr_dqn.py",
        "ops.masked_argmax(jnp.mean(chooser, axis=-1), mask_of(env.observation_space, batch.next_obs))",
        "ops.masked_argmax(jnp.mean(chooser, axis=-1))",
        f"{NEXT}[qr_dqn-False]",
    ),
    mutation(
        "discrete SAC's expectation in the target",
        SAC,
        'next_log_probs = policy(config, env, params["actor"], batch.next_obs).log_probs()',
        'next_log_probs = policy(config, env, params["actor"], batch.next_obs)._replace(mask=None).log_probs()',
        f"{NEXT}[sac_discrete-1]",
    ),
    mutation(
        "entropies between the states of an n-step target",
        SAC,
        'policy(config, env, params["actor"], batch.inner_obs).entropy()',
        'policy(config, env, params["actor"], batch.inner_obs)._replace(mask=None).entropy()',
        f"{NEXT}[sac_discrete-2]",
    ),
    mutation(
        "discrete SAC's expectation in the actor's loss",
        SAC,
        'distribution = policy(config, env, params["actor"], batch.obs)',
        'distribution = policy(config, env, params["actor"], batch.obs)._replace(mask=None)',
        f"{READ}[sac_discrete-1]",
    ),
    mutation(
        "values of forbidden actions multiplied by 0 in the actor's loss",
        SAC,
        "value = jnp.where(ops.allowed_actions(distribution.mask), value, 0.0)",
        "pass",
        f"{READ}[sac_discrete-1]",
    ),
    mutation(
        "the entropy that discrete SAC aims at",
        SAC,
        "return 0.5 * jnp.mean(jnp.log(jnp.sum(ops.allowed_actions(mask), axis=-1, dtype=jnp.float32)))",
        "return 0.5 * math.log(networks.action_dims(env.action_space))",
        f"{MASKS}::test_discrete_sac_aims_at_half_the_entropy_of_what_is_allowed",
    ),
    *(
        mutation(
            f"the next state's mask is this one's, {name}",
            f"algorithms/{name}.py",
            "mask_of(env.observation_space, batch.next_obs)",
            "mask_of(env.observation_space, batch.obs)",
            f"{NEXT}[{name}-{double}]",
        )
        for name, double in (("dqn", False), ("c51", True), ("qr_dqn", False))
    ),
    mutation(
        "the next state's mask is this one's, sac_discrete",
        SAC,
        'next_log_probs = policy(config, env, params["actor"], batch.next_obs).log_probs()',
        'next_policy = policy(config, env, params["actor"], batch.next_obs)\n'
        "    next_log_probs = next_policy.restricted(mask_of(env.observation_space, batch.obs)).log_probs()",
        f"{NEXT}[sac_discrete-1]",
    ),
    Mutation(
        "the value after an end is multiplied by 0 and not left out",
        "ops/bellman.py",
        (("    return reward + weighted(discount, next_value)\n", "    return reward + discount * next_value\n"),),
        f"{NEXT}[dqn-True]",
    ),
    mutation(
        "a mask that allows nothing",
        "ops/masks.py",
        "allowed = mask | ~jnp.any(mask, axis=-1, keepdims=True)",
        "allowed = mask",
        "ops/test_masks.py::test_a_row_that_allows_nothing_allows_all",
    ),
    # what is kept and seen
    mutation(
        "bits of a replay are lost",
        "learning/replay.py",
        "return bits.reshape(-1, *leaf.shape).astype(leaf.dtype)",
        "return jnp.ones_like(bits.reshape(-1, *leaf.shape).astype(leaf.dtype))",
        f"{MASKS}::test_a_replay_gives_back_the_masks_of_its_states[None]",
    ),
    mutation(
        "bits of a replay in another order",
        "learning/replay.py",
        "jnp.unpackbits(x, axis=-1, count=math.prod(leaf.shape))",
        'jnp.unpackbits(x, axis=-1, count=math.prod(leaf.shape), bitorder="little")',
        f"{MASKS}::test_a_replay_gives_back_the_masks_of_its_states[None]",
    ),
    mutation(
        "at a time limit the mask of the reset",
        "learning/replay.py",
        "jnp.where(ending >= 0, rows + ending % finals, (start + n_step) % rows)",
        "((start + n_step) % rows)",
        f"{MASKS}::test_a_replay_gives_back_the_masks_of_its_states[3]",
    ),
    Mutation(
        "the mask reaches the torso",
        "learning/networks/encoders.py",
        (
            (
                "if isinstance(space, Discrete):\n        return jax.nn",
                'if type(space).__name__ == "Mask":\n        return obs.astype(jnp.float32)\n'
                "    if isinstance(space, Discrete):\n        return jax.nn",
            ),
            ("lambda path, leaf: seen(path, leaf) and 0 not in leaf.shape)", "lambda path, leaf: 0 not in leaf.shape)"),
        ),
        f"{MASKS}::test_no_torso_sees_a_mask[dqn-1]",
    ),
    mutation(
        "sticky actions repeat anything",
        "envs/wrappers/actions.py",
        "repeat &= allows(space, state.mask, state.previous)",
        "pass",
        f"{MASKS}::test_sticky_actions_repeat_what_is_allowed",
    ),
    mutation(
        "sticky actions know the last state's mask",
        "envs/wrappers/actions.py",
        "return Sticky(inner, action, jnp.bool_(True), mask_of(observation_space, obs)), obs, *rest",
        "return Sticky(inner, action, jnp.bool_(True), state.mask), obs, *rest",
        f"{MASKS}::test_sticky_actions_repeat_what_is_allowed",
    ),
    mutation(
        "only the first group of an action is looked at",
        VIEWS,
        "return jnp.all(jnp.take_along_axis(mask, place, axis=-1), axis=-1)",
        "return jnp.take_along_axis(mask, place, axis=-1)[..., 0]",
        f"{MASKS}::test_forbidden_actions_of_either_group_are_counted",
    ),
    # at the door
    mutation(
        "check: no allowed action is no error",
        CHECK,
        'if not (good["possible"].all() and starts_possible.all()):',
        "if False:",
        f"{MASKS}::test_a_state_that_allows_nothing_is_an_error_unless_the_episode_ended",
    ),
    mutation(
        "check: nor after a reset",
        CHECK,
        'if not (good["possible"].all() and starts_possible.all()):',
        'if not good["possible"].all():',
        f"{MASKS}::test_a_state_that_allows_nothing_is_an_error_unless_the_episode_ended",
    ),
    mutation(
        "check: the end must allow something too",
        CHECK,
        "(possible(step.next_obs) | step.terminated)",
        "possible(step.next_obs)",
        f"{MASKS}::test_a_state_that_allows_nothing_is_an_error_unless_the_episode_ended",
    ),
    mutation(
        "check: one group with an action is enough",
        "envs/spaces/discrete.py",
        "return jnp.all(jnp.stack([jnp.any(group, axis=-1) for group in groups]), axis=0)",
        "return jnp.any(jnp.stack([jnp.any(group, axis=-1) for group in groups]), axis=0)",
        f"{MASKS}::test_a_state_that_allows_nothing_is_an_error_unless_the_episode_ended",
    ),
    mutation(
        "check: plays what is forbidden",
        CHECK,
        "action = sample_allowed(env.action_space, mask_of(space, obs), action_key)",
        "action = sample_allowed(env.action_space, None, action_key)",
        f"{MASKS}::test_a_check_plays_what_is_allowed",
    ),
    mutation(
        "uniform actions: groups know no mask",
        VIEWS,
        "drawn = jnp.stack([action_from_noise(noise, mask) for noise, mask in groups])",
        "drawn = jnp.stack([action_from_noise(noise) for noise, mask in groups])",
        f"{MASKS}::test_a_check_plays_what_is_allowed",
    ),
    mutation(
        "masks of other actions are taken",
        VIEWS,
        "if mask.sizes != action_space.sizes:",
        "if sum(mask.sizes) != sum(action_space.sizes):",
        f"{MASKS}::test_masks_of_other_actions_are_refused",
    ),
    mutation(
        "two masks are taken",
        VIEWS,
        "if len(masks) > 1:",
        "if len(masks) > 2:",
        f"{MASKS}::test_two_masks_and_one_that_only_the_critic_sees_are_refused",
    ),
    mutation(
        "a mask that only the critic sees is taken",
        VIEWS,
        "if any(isinstance(leaf, Mask) and not acting(path, leaf) for",
        "if any(False for",
        f"{MASKS}::test_two_masks_and_one_that_only_the_critic_sees_are_refused",
    ),
    # finite MDPs, exactly
    mutation(
        "P is transposed",
        PROGRAMMING,
        "return jnp.sum(policy[:, :, None] * mdp.going, axis=1)",
        "return jnp.sum(policy[:, :, None] * mdp.going, axis=1).T",
        OF_NUMPY,
    ),
    mutation("the discount is left out", PROGRAMMING, "- mdp.discount * less", "- 0.99 * less", OF_NUMPY),
    mutation(
        "terminal states leak",
        FINITE,
        "alive[:, None, None] & alive[None, None, :]",
        "alive[:, None, None]",
        f"{STATES}::test_terminal_states_are_not_read",
    ),
    mutation(
        "steps from terminal states are paid",
        FINITE,
        "return jnp.where(self.terminal[:, None], 0, expected)",
        "return expected",
        f"{STATES}::test_terminal_states_are_not_read",
    ),
    mutation(
        "the start distribution is ignored",
        PROGRAMMING,
        "values if mdp.horizon is None else values[0], mdp.start)",
        "values if mdp.horizon is None else values[0], jnp.ones_like(mdp.start) / mdp.states)",
        f"{STATES}::test_episodes_begin_where_start_says",
    ),
    mutation(
        "an environment begins anywhere",
        "tabular/environment.py",
        'draw(key, params["start"])',
        'draw(key, jnp.ones_like(params["start"]) / len(params["start"]))',
        "tabular/test_mdp_environment.py::test_episodes_begin_where_start_says",
    ),
    mutation(
        "A is measured from the best action",
        PROGRAMMING,
        "return ops.advantage(q_pi(mdp, policy), policy)",
        "return q_pi(mdp, policy) - jnp.max(q_pi(mdp, policy), axis=-1, keepdims=True)",
        f"{EXACT}::test_identities",
    ),
    mutation(
        "visits are not discounted",
        PROGRAMMING,
        "return mdp.discount * jnp.sum(here[:, None]",
        "return jnp.sum(here[:, None]",
        f"{EXACT}::test_occupancy_counts_discounted_steps",
    ),
    mutation(
        "value iteration stops early",
        PROGRAMMING,
        "(change > (_slack(values, 2) if",
        "(change > (_slack(values, 2**40) if",
        f"{EXACT}::test_every_solver_finds_the_best_of_all_policies",
    ),
    mutation(
        "equal actions do not share",
        PROGRAMMING,
        "best = q_values >= jnp.max(q_values, axis=-1, keepdims=True) - slack",
        "best = jax.nn.one_hot(jnp.argmax(q_values, axis=-1), q_values.shape[-1], dtype=bool)",
        f"{EXACT}::test_greedy_shares_among_equal_actions",
    ),
    mutation(
        "a row that does not sum to 1 is taken",
        FINITE,
        "tolerance = 1e-4 if narrow else 1e-8",
        "tolerance = np.inf",
        f"{STATES}::test_a_bad_one_is_refused_in_one_line",
    ),
    mutation(
        "entropy is paid without its temperature",
        SOFT,
        "paid = -alpha * ops",
        "paid = -1.0 * ops",
        f"{EXACT}::test_soft_values_are_those_of_a_loop_and_go_to_the_hard_ones",
    ),
    mutation(
        "the first state has no probability of its own",
        WAYS,
        "return _log(mdp.start[states[0]]) + jnp.sum(",
        "return jnp.sum(",
        "tabular/test_trajectories.py::test_all_are_those_of_a_recursion",
    ),
    mutation(
        "grids slip to one side",
        GRIDS,
        "((0, 1 - slip), (1, slip / 2), (3, slip / 2))",
        "((0, 1 - slip), (1, slip / 2), (1, slip / 2))",
        "tabular/test_grids.py::test_slipping_goes_to_either_side",
    ),
    mutation(
        "a time limit is not seen as an end",
        "tabular/builders.py",
        "over = terminated if ignore else terminated | truncated",
        "over = terminated",
        "tabular/test_builders.py::test_a_time_limit_ends_what_shows_its_clock",
    ),
    # learning in tables
    mutation(
        "SARSA takes the best action",
        CONTROL,
        "q_values[table, step.next_state, step.next_action]",
        "jnp.max(q_values[table, step.next_state])",
        "tabular/test_control.py::test_as_the_box",
    ),
    mutation(
        "double Q-learning trusts one table",
        CONTROL,
        "q_values[1 - table, step.next_state], q_values[table, step.next_state]",
        "q_values[table, step.next_state], q_values[table, step.next_state]",
        "tabular/test_control.py::test_as_the_box",
    ),
    mutation(
        "n-step returns look one step less far",
        PREDICTION,
        "jnp.minimum(jnp.arange(steps) + n, steps)",
        "jnp.minimum(jnp.arange(steps) + n - 1, steps)",
        "tabular/test_prediction.py::test_td_as_the_box",
    ),
    mutation(
        "traces do not decay by gamma",
        PREDICTION,
        "later, discount * decay * trace,",
        "later, (discount > 0) * decay * trace,",
        "tabular/test_prediction.py::test_td_lambda_as_a_loop",
    ),
    mutation(
        "every visit counts as the first",
        PREDICTION,
        "(taken > 0) & ~(first_visit & seen[state])",
        "(taken > 0)",
        "tabular/test_prediction.py::test_first_and_every_visit_of_a_loop",
    ),
    mutation(
        "Dyna forgets what came of a step",
        DYNA,
        "_Model(jnp.asarray(True), step.reward,",
        "_Model(jnp.asarray(True), 0 * step.reward,",
        "tabular/test_dyna.py::test_as_the_box",
    ),
    # policy gradients
    mutation(
        "past rewards count",
        GRADIENTS,
        """weight = ops.discounted_returns(*rows, going, there)""",
        """weight = ops.trajectory_returns(*rows, going, there)""",
        f"{SCORES}::test_weights_are_what_they_say",
    ),
    mutation(
        "the baseline has the action in it",
        GRADIENTS,
        "        weight = weight - here\n",
        "        weight = weight - 0.5 * _of_actions(trajectories, q_pi(mdp, policy))\n",
        f"{SCORES}::test_all_weights_have_one_mean_and_their_variances_fall",
    ),
    mutation(
        "gamma^t is left out",
        GRADIENTS,
        "return (mdp.discount ** jnp.arange(len(trajectories.actions)))[:, None] * trajectories.taken",
        "return trajectories.taken",
        f"{SCORES}::test_weights_are_what_they_say",
    ),
    mutation(
        "the Fisher matrix weighs all actions alike",
        GRADIENTS,
        "share = (visits / jnp.sum(visits))[..., None] * policy",
        "share = (visits / jnp.sum(visits))[..., None] * jnp.ones_like(policy)",
        f"{SCORES}::test_the_fisher_matrix_is_that_of_a_plain_loop",
    ),
    # drawn parameters, and where policies are evaluated
    mutation(
        "parameters are drawn once and not at each reset",
        RANDOMIZE,
        "drawn = {name: _draw(key, name,",
        "drawn = {name: _draw(jax.random.key(0), name,",
        f"{DRAWN}::test_they_are_kept_within_an_episode_and_drawn_anew_in_the_next",
    ),
    mutation(
        "a step has the nominal parameters",
        RANDOMIZE,
        "spec.step({**params, **state.drawn}, key",
        "spec.step(params, key",
        f"{DRAWN}::test_what_is_drawn_enters_the_dynamics",
    ),
    mutation(
        "all parameters are drawn by one key",
        RANDOMIZE,
        "zlib.crc32(name.encode()))",
        "0)",
        f"{DRAWN}::test_they_are_uniform_and_independent",
    ),
    mutation(
        "the key of what is drawn is that of the reset",
        RANDOMIZE,
        "jax.random.uniform(key, jnp.shape",
        "jax.random.uniform(jax.random.key(7), jnp.shape",
        f"{DRAWN}::test_environments_side_by_side_draw_for_themselves",
    ),
    mutation(
        "evaluations play what is drawn",
        "training/evaluation.py",
        "nominal(env) if evaluation_env is None",
        "env if evaluation_env is None",
        f"{ELSEWHERE}::test_returns_are_of_the_environment_that_is_said",
    ),
    mutation(
        "evaluations do not have the swept parameters",
        "training/lanes.py",
        "else with_swept(evaluation_env, swept)",
        "else evaluation_env",
        f"{ELSEWHERE}::test_swept_parameters_are_of_both_where_both_have_them",
    ),
    mutation(
        "a run that goes on is evaluated where it is trained",
        "experiments/runs.py",
        "settings.evaluation, evaluation_env=spec.evaluation_env)",
        "settings.evaluation)",
        "experiments/test_evaluation_env_runs.py::test_one_of_ones_own_is_given_again",
    ),
    mutation(
        "evaluate plays what was trained on",
        "cli/commands/evaluate.py",
        "return run.played_env",
        "return nominal(run.env)",
        "cli/test_evaluation_env_options.py::test_evaluate_plays_what_evaluations_played",
    ),
    # simulators
    mutation(
        "MuJoCo forgets what its solver starts from",
        MUJOCO,
        "self.signature = int(mujoco.mjtState.mjSTATE_INTEGRATION)",
        "self.signature = int(mujoco.mjtState.mjSTATE_PHYSICS)",
        f"{GYMNASIUM}::test_a_mujoco_lane_alone_is_the_lane_among_three",
    ),
    mutation(
        "positions that rewards compare with are not kept",
        MUJOCO,
        "        data.xpos.ravel()[:] = row[self.size : bodies]\n        data.xipos.ravel()[:] = row[bodies:]\n",
        "",
        f"{GYMNASIUM}::test_a_mujoco_lane_alone_is_the_lane_among_three",
    ),
    mutation(
        "an episode that the time limit ends is not begun anew",
        MUJOCO,
        "over = terminated[row] or (self.limit is not None and time[row] + 1 >= self.limit)",
        "over = terminated[row]",
        f"{GYMNASIUM}::test_mujoco_steps_as_gymnasium_does",
    ),
    mutation(
        "the successor is what the next episode begins with",
        MUJOCO,
        "return reached, first, next_obs, reward, terminated, limit, named(info)",
        "return reached, first, first, reward, terminated, limit, named(info)",
        f"{GYMNASIUM}::test_mujoco_steps_as_gymnasium_does",
    ),
    mutation(
        "a batch of calls is in another order",
        "envs/host.py",
        "return [x.reshape(size, -1, *x.shape[1:]) for x in out], [0] * len(out)",
        "return [x.reshape(-1, size, *x.shape[1:]).swapaxes(0, 1) for x in out], [0] * len(out)",
        "envs/test_host.py::test_a_batch_is_one_call_with_all_its_axes_in_one",
    ),
    mutation(
        "a wrapper around a restart is not reset",
        "envs/core.py",
        "            state, obs = where(terminated | truncated, fresh, (reached, next_obs))\n",
        "            state, obs = reached, where(terminated | truncated, fresh[1], next_obs)\n",
        "envs/test_restart.py::test_what_a_wrapper_keeps_begins_anew",
    ),
    mutation(
        "the actions of the other steps fed to the model",
        ERRORS,
        "jax.tree.map(lambda x: x[now], action)",
        "jax.tree.map(lambda x: x[jnp.roll(now, 1)], action)",
        f"{MODELS}::test_errors_over_a_horizon_are_those_of_a_loop",
    ),
    mutation(
        "plans fed to the model backwards",
        IMAGINED,
        "(state, jnp.float32(1.0), key), plan)",
        "(state, jnp.float32(1.0), key), plan[::-1])",
        f"{PLANS}::test_imagined_returns_are_those_of_a_loop",
    ),
    mutation(
        "termination ignored in imagination",
        IMAGINED,
        "jnp.where(terminated, 0.0, weight * discount)",
        "weight * discount",
        f"{PLANS}::test_imagined_returns_are_those_of_a_loop",
    ),
    mutation(
        "a plan bootstraps at a terminal state",
        IMAGINED,
        "jnp.where(weight > 0.0, weight * last, 0.0)",
        "discount ** len(earned) * last",
        f"{PLANS}::test_imagined_returns_are_those_of_a_loop",
    ),
    mutation(
        "elites from the wrong end",
        SEARCHED,
        "(values >= jax.lax.top_k(values, config.elites)[0][-1])",
        "(values <= -jax.lax.top_k(-values, config.elites)[0][-1])",
        f"{PLANS}::test_elites_share_alike_and_ties_are_elites_too",
    ),
    mutation(
        "mppi's temperature upside down",
        SEARCHED,
        "gap / config.temperature",
        "gap * config.temperature",
        f"{PLANS}::test_mppi_weighs_by_the_exponential_of_what_is_earned",
    ),
    mutation(
        "a plan that is not moved on",
        PROPOSED,
        "jnp.concatenate([plan[1:], fresh.mean[-1:]])",
        "plan",
        f"{PLANS}::test_a_plan_moves_on_by_a_step",
    ),
    mutation(
        "changes as targets without their normaliser",
        DYNAMICS,
        'jax.lax.stop_gradient(ops.normalize(params["outputs"], _changes(rows)))',
        "_changes(rows)",
        f"{MODELS}::test_the_loss_is_that_of_a_loop",
    ),
    mutation(
        "a step in whitened units",
        DYNAMICS,
        'change = ops.denormalize(member["outputs"], drawn)',
        "change = drawn",
        f"{MODELS}::test_a_change_of_units_is_undone_by_the_statistics",
    ),
    mutation(
        "what follows an ending is learned",
        DYNAMICS,
        "known = (rows.weight > 0.0)[:, None] & ~(is_change & rows.terminated[:, None])",
        "known = jnp.broadcast_to((rows.weight > 0.0)[:, None], target.shape)",
        f"{MODELS}::test_the_loss_is_that_of_a_loop",
    ),
    mutation(
        "the next observation of another episode in the statistics",
        DYNAMICS,
        "counts = (rows.weight > 0.0) & ~rows.terminated",
        "counts = rows.weight > 0.0",
        f"{MODELS}::test_statistics_are_of_inputs_and_changes",
    ),
    mutation(
        "log-variances taken for standard deviations",
        DYNAMICS,
        "jnp.exp(0.5 * said.log_variance)",
        "jnp.exp(said.log_variance)",
        f"{MODELS}::test_steps_are_drawn_from_what_is_predicted",
    ),
    mutation(
        "one bootstrap for all members",
        DYNAMICS,
        "* self.members + jnp.arange(self.members, dtype=jnp.uint32)[:, None]",
        "* self.members + jnp.zeros(self.members, jnp.uint32)[:, None]",
        f"{MODELS}::test_each_member_has_a_bootstrap_of_its_own",
    ),
    # models beside a policy
    mutation(
        "the action of where a branch began",
        BRANCHES,
        "action = policy(obs, act_key)",
        "action = policy(begun, act_key)",
        LOOP,
    ),
    mutation(
        "a branch that goes on behind its end",
        BRANCHES,
        "jnp.where(terminated[:, None], begun, next_obs)",
        "next_obs",
        f"{EXPANDED}::test_a_branch_that_ends_begins_anew_where_it_began",
    ),
    mutation(
        "one member for all of a branch",
        BRANCHES,
        "jnp.roll(x, 1, axis=0)",
        "x",
        f"{EXPANDED}::test_branches_are_dealt_out_to_all_members_and_change_hands",
    ),
    mutation(
        "targets that do not see an imagined end",
        MBVE,
        "jnp.where(steps.terminated[1:], 0.0, config.gamma)",
        "jnp.full_like(steps.reward[1:], config.gamma)",
        LOOP,
    ),
    mutation(
        "values of what never happened, behind an end",
        MBVE,
        "jnp.cumprod(1.0 - steps.terminated[:-1].astype(jnp.float32), axis=0)",
        "jnp.ones_like(target[1:])",
        LOOP,
    ),
    mutation(
        "imagined steps by the policy that learns and not by the target's",
        MBVE,
        """            return policy(config, env, targets["actor"], obs)""",
        """            return policy(config, env, params["actor"], obs)""",
        LOOP,
    ),
    mutation(
        "an expansion that begins at the episode behind an end",
        MBVE,
        "jnp.where(read, batch.next_obs, batch.obs)",
        "batch.next_obs",
        LOOP,
    ),
    mutation(
        "a bootstrap one step too early",
        MBVE,
        "steps.next_obs[-1], smoothing",
        "steps.obs[-1], smoothing",
        LOOP,
    ),
    mutation(
        "bootstrapping where an imagined step ends",
        MBPO,
        "jnp.where(steps.terminated, 0.0, config.gamma)",
        "jnp.full_like(steps.reward, config.gamma)",
        f"{IN_MODEL}::test_a_batch_is_real_first_and_imagined_steps_bootstrap_unless_they_end",
    ),
    mutation(
        "drawing what was never imagined",
        MBPO,
        "jnp.minimum(time + 1, times) * number",
        "times * number",
        f"{IN_MODEL}::test_only_what_was_imagined_is_drawn",
    ),
    mutation(
        "imagined steps written over the newest",
        MBPO,
        "time % times * number",
        "0 * time",
        RING,
    ),
    mutation(
        "branches from where real steps led",
        MBPO,
        "learner.params, batch.obs, jax",
        "learner.params, batch.next_obs, jax",
        RING,
    ),
    mutation(
        "a mode in place of draws in branches",
        MBPO,
        ".sample_with(normal)",
        ".mode()",
        f"{IN_MODEL}::test_the_policy_of_the_moment_acts_in_branches",
    ),
    mutation(
        "a bootstrap without its discount",
        "ops/returns.py",
        "return _backward_sum(rewards, discount, last_value)",
        "return _backward_sum(rewards, discount) + last_value",
        "ops/test_returns.py::test_value_expansion_golden",
    ),
    # search and self-play
    mutation(
        "a value of the wrong player in the tree",
        TREE,
        "    return -gamma if players == 2 else gamma\n",
        "    return gamma\n",
        f"{PUCT}[2-1.0]",
    ),
    mutation(
        "an outcome that is not flipped",
        ZERO,
        "planning.discount_of(config.gamma, env.spec.players)",
        "config.gamma",
        f"{ZEROS}::test_self_play_is_games_whose_winners_and_losers_are_told_so",
    ),
    mutation(
        "the sign of the game in the view of one player",
        ZERO,
        "planning.discount_of(config.gamma, env.spec.players)",
        "planning.discount_of(config.gamma, planning.players_of(env))",
        f"{ZEROS}::test_in_the_view_of_one_player_what_follows_is_its_own",
    ),
    mutation(
        "the mask of another position in the tree",
        TREE,
        "    log_probs, value = predict(obs)\n\n    # a terminal",
        '    log_probs, value = predict({**obs, "mask": jnp.roll(obs["mask"], 1, axis=-1)})\n\n    # a terminal',
        f"{PUCT}[2-1.0]",
    ),
    mutation(
        "forbidden actions that are tried below the root",
        TREE,
        "return jnp.where(tree.children_prior_logits[node] < FORBIDDEN, -1e9, scaled)",
        "return scaled",
        f"{TREES}::test_what_is_forbidden_has_no_weight_and_is_not_tried[muzero]",
    ),
    mutation(
        "forbidden actions at the root",
        TREE,
        "forbidden = None if mask is None else ~ops.allowed_actions(mask)",
        "forbidden = None if mask is None else ops.allowed_actions(mask)",
        f"{ZEROS}::test_moves_are_legal_whatever_explores[gumbel]",
    ),
    Mutation(
        "a terminal node that is gone on from",
        TREE,
        (
            ("value = jnp.where(terminated, 0.0, jnp.where(before, node.value, value))", "value = 1.0 * value"),
            ("log_probs = jnp.where((terminated | before)[:, None], 0.0, log_probs)", "log_probs = 1.0 * log_probs"),
            ("discount = jnp.where(terminated, 0.0, jnp.where(before, 1.0, gamma))", "discount = gamma + 0.0 * reward"),
        ),
        f"{PUCT}[1-None]",
    ),
    mutation(
        "what a terminal node shows",
        TREE,
        "value = jnp.where(terminated, 0.0, jnp.where(before, node.value, value))",
        "value = jnp.where(before, node.value, value)",
        f"{PUCT}[2-None]",
    ),
    mutation(
        "a time limit gone beyond",
        TREE,
        "discount = jnp.where(terminated, 0.0, jnp.where(before, 1.0, gamma))",
        "discount = jnp.where(terminated, 0.0, gamma)",
        f"{TREES}::test_a_time_limit_ends_in_the_value_there[muzero]",
    ),
    mutation(
        "one chance for all outcomes",
        TREE,
        "jax.random.fold_in(jax.random.key(seed), i))",
        "jax.random.fold_in(jax.random.key(seed), 0 * i))",
        f"{TREES}::test_nodes_of_chance_are_worth_their_mean_and_one_successor_is_not",
    ),
    mutation(
        "temperature in evaluation",
        ZERO,
        "            found = searched(config, env, policy, obs, jax.random.key(0), train=False)\n",
        "            found = searched(config, env, policy, obs, jax.random.key(0), train=False)\n"
        "            drawn = jax.random.categorical(jax.random.key(1), jnp.log(found.weights) / config.temperature)\n"
        "            found = found._replace(action=drawn.astype(jnp.int32))\n",
        f"{ZEROS}::test_evaluation_has_no_temperature_and_no_noise[gumbel]",
    ),
    mutation(
        "noise at the root in evaluation",
        ZERO,
        "noise if train else planning.Noise())",
        "noise)",
        f"{ZEROS}::test_evaluation_has_no_temperature_and_no_noise[muzero]",
    ),
    mutation(
        "random openings that are learned from",
        ZERO,
        "planning.Positions(rows.obs, weights, outcome, learned.astype(jnp.float32)), episodes",
        "planning.Positions(rows.obs, weights, outcome, jnp.ones_like(outcome)), episodes",
        f"{ZEROS}::test_random_moves_count_nothing_and_the_searchs_all",
    ),
    mutation(
        "rows without weight in the loss",
        ZERO,
        "share = batch.counts / jnp.maximum(jnp.sum(batch.counts), 1.0)",
        "share = jnp.ones_like(batch.counts) / batch.counts.size",
        f"{ZEROS}::test_one_gradient_step_is_the_papers_row_by_row",
    ),
    mutation(
        "outcomes read across the end of a game",
        POSITIONS,
        "discounts = discount * (1.0 - rows.terminated.astype(jnp.float32))",
        "discounts = discount * jnp.ones_like(rows.reward)",
        f"{GAMES}::test_nothing_is_read_across_the_end_of_a_game",
    ),
    mutation(
        "positions turned without their weights",
        POSITIONS,
        "return batch._replace(obs=obs, weights=jnp.take_along_axis(batch.weights, actions, axis=1))",
        "return batch._replace(obs=obs)",
        f"{GAMES}::test_a_turned_position_is_a_position_of_the_game_turned",
    ),
    mutation(
        "rows of the ring that were never written",
        POSITIONS,
        "written = jnp.minimum(rollouts * length, rows) * num_envs",
        "written = jnp.minimum(rollouts * length + 1, rows) * num_envs",
        f"{GAMES}::test_the_last_rollouts_are_drawn_from_each_row_as_likely[1-kept0]",
    ),
)


def pytest(folder: Path, tests: list[str], cache: Path) -> subprocess.CompletedProcess[str]:
    """Run tests of a tree."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "JAX_PLATFORMS": "cpu"}
    environment |= {"JAX_COMPILATION_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "300"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *(f"tests/{x}" for x in tests)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def tried(folder: Path, change: Mutation, cache: Path) -> str:
    """`caught`, with the kind of failure, or what is wrong."""
    path = folder / "jaxrl_up" / change.file
    text = mutated = path.read_text(encoding="utf-8")
    for old, new in change.changes:
        if mutated.count(old) != 1:
            return f"NOT THERE ONCE: {old!r}"
        mutated = mutated.replace(old, new)
    path.write_text(mutated, encoding="utf-8")
    try:
        done = pytest(folder, [change.test], cache)
    finally:
        path.write_text(text, encoding="utf-8")
    if done.returncode == 0:
        return "NOT CAUGHT"
    if done.returncode != 1:
        return f"NO TEST: {(done.stdout + done.stderr).strip()[-300:]}"
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    kind = failed[0].partition(" - ")[2].partition(":")[0]
    return f"caught: {'AssertionError' if kind.startswith('assert') else kind}"


def kept(out: Path | None) -> dict[str, dict[str, Any]]:
    """Rows of a file, by name: those that say what `MUTATIONS` does."""
    written = json.loads(out.read_text(encoding="utf-8")) if out and out.exists() else []
    said = [json.loads(json.dumps(x._asdict())) for x in MUTATIONS]
    return {row["name"]: row for row in written if {field: row[field] for field in Mutation._fields} in said}


def write(out: Path, rows: dict[str, dict[str, Any]]) -> None:
    """Rows in the order of `MUTATIONS`."""
    ordered = [rows[x.name] for x in MUTATIONS if x.name in rows]
    out.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Try, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="mutations whose name, file or test holds one of these")
    parser.add_argument("--missing", action="store_true", help="of these, those without a row in --out")
    parser.add_argument("--list", action="store_true", help="print them and stop")
    parser.add_argument("--unchanged", action="store_true", help="first run the tests on the tree as it is")
    parser.add_argument("--out", type=Path, help="where rows are kept, as bench/results/mutations.json")
    options = parser.parse_args()
    words = options.only or [""]
    chosen = [x for x in MUTATIONS if any(word in part for word in words for part in (x.name, x.file, x.test))]
    rows = kept(options.out)
    if options.missing:
        chosen = [x for x in chosen if x.name not in rows]
    if options.list:
        print("\n".join(f"{x.name:65} {x.file:35} {x.test}" for x in chosen))
        return
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder, cache = Path(scratch) / "tree", Path(scratch) / "cache"
        ignored = shutil.ignore_patterns("__pycache__", ".git", ".venv", "results", "*.egg-info")
        for name in ("jaxrl_up", "tests", "configs", "bench"):
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", folder)
        if options.unchanged and chosen:
            done = pytest(folder, sorted({x.test for x in chosen}), cache)
            if done.returncode:
                sys.exit(f"tests fail on the tree as it is:\n{done.stdout[-3000:]}")
        for change in chosen:
            began = time.perf_counter()
            found[change.name] = tried(folder, change, cache)
            seconds = time.perf_counter() - began
            print(f"{found[change.name]:24} {change.name:62} {change.file:35} {seconds:4.0f} s", flush=True)
            if options.out:
                rows[change.name] = {**change._asdict(), "found": found[change.name]}
                write(options.out, rows)
    survived = {name: what for name, what in found.items() if not what.startswith("caught")}
    print(f"{len(found) - len(survived)} of {len(found)} caught")
    sys.exit(1 if survived else 0)


if __name__ == "__main__":
    main()
