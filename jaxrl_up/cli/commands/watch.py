"""`jaxrl-up watch`: see one episode of a saved run, as a GIF, an MP4 or a table of steps."""

from __future__ import annotations

import argparse
from pathlib import Path

from jaxrl_up.analysis import (
    MAX_FRAMES,
    can_draw,
    draw_episode,
    episode_table,
    gif_steps,
    record_episode,
    video_library,
    write_gif,
    write_mp4,
)
from jaxrl_up.cli.commands.evaluate import choose_policy, episode_key
from jaxrl_up.cli.options import Parser, UsageError, path, whole
from jaxrl_up.cli.own import add_own, given_own
from jaxrl_up.config import canonical
from jaxrl_up.records import RunSpec, count, load_run, near, value
from jaxrl_up.training import with_fields, with_swept


def main(arguments: list[str]) -> int:
    """`jaxrl-up watch`: write RUN/episode.gif, or print the steps; the last line is the return."""
    options = _parser(arguments).parse(arguments)
    if options is None:
        return 0
    try:
        run = load_run(options.run, **given_own(options))
        out = _out(run, options)
        seed, policy, trained, swept = choose_policy(run, options.seed, options.point, options.best)
        env, config = with_swept(run.played_env, swept), with_fields(canonical(run.config), swept)
        cap = run.settings.max_eval_steps if options.max_steps is None else options.max_steps
        key = episode_key(options.episode_seed, seed)
        episode = record_episode(run.algo, env, config, policy, key, not options.stochastic, cap)
        if out is None:
            print(episode_table(env, episode))
        else:
            is_video = out.suffix.lower() == ".mp4"
            steps, fps = gif_steps(env, episode.length, None if is_video else MAX_FRAMES)
            title = f"{run.algo.name}, seed {seed}, {trained:,} steps"
            frames = draw_episode(env, episode, title, steps, options.simulator_view)
            (write_mp4 if is_video else write_gif)(frames, out, fps)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    where = "" if out is None else f"{near(out)}: "
    length = count(episode.length, "step")
    print(f"{where}return {value(episode.total_return)} in {length}, {episode.ending}, seed {seed}")
    return 0


def _out(run: RunSpec, options: argparse.Namespace) -> Path | None:
    """Where to write frames; None for text. Raises `ValueError` where that cannot be, before anything is played."""
    if options.text or (options.out is None and not can_draw(run.played_env)):
        if options.out is not None:
            raise ValueError("--text writes no file: leave --out away")
        return None
    if not can_draw(run.played_env):
        raise ValueError(f"there is no drawing of {run.played_env.name}: leave --out away to read the steps")
    out = run.directory / "episode.gif" if options.out is None else options.out
    if out.suffix.lower() not in (".gif", ".mp4"):
        raise ValueError(f"--out={out} must end in .gif or .mp4")
    if out.suffix.lower() == ".mp4":
        video_library()
    if not out.parent.is_dir():
        raise ValueError(f"--out={out}: there is no directory {out.parent}")
    return out


def _parser(arguments: list[str]) -> Parser:
    parser = Parser(
        compiles=True,
        prog="jaxrl-up watch",
        usage="jaxrl-up watch RUN [--seed N] [--best] [--stochastic] [--out FILE.gif|FILE.mp4] [--text]",
        description="Play one episode of a seed's policy, the first of those that `jaxrl-up evaluate` plays, and draw "
        "it as a GIF, or an MP4: classic control, MinAtar and other grids, bodies of simulators, boards, pixels. Other "
        "environments are printed as a table of steps.",
    )
    parser.add_argument("run", metavar="RUN", help="the directory of a run")
    parser.add(parser, "--seed", type=whole, metavar="N", help="which of the run's seeds (default: its first)")
    parser.add(parser, "--best", action="store_true",
               help="the seed's best policy, by its evaluations, instead of the last")  # fmt: skip
    parser.add(parser, "--stochastic", action="store_true", help="sampled actions instead of the policy's mode")
    parser.add(parser, "--out", type=path, metavar="FILE",
               help="where to write it, as its ending says: .gif, or .mp4 with the extra video (default: "
               "RUN/episode.gif)")  # fmt: skip
    parser.add(parser, "--text", action="store_true", help="print a table of steps instead")
    parser.add(parser, "--simulator-view", action="store_true",
               help="bodies as the simulator's own renderer shows them (MuJoCo), in place of a figure")  # fmt: skip
    parser.add(parser, "--episode-seed", type=whole, default=0, metavar="N",
               help="another number draws another episode (default 0)")  # fmt: skip
    parser.add(parser, "--max-steps", type=whole, metavar="N",
               help="stop after so many steps (default: as its evaluations)")  # fmt: skip
    parser.add(parser, "--point", type=whole, default=0, metavar="N", help="which grid point of a sweep (default 0)")
    add_own(parser, arguments)
    return parser
