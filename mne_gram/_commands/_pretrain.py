# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The commands of pre-training.

Each runs in one process or under ``torchrun``, where only the first process prints.
"""

# Imports are nested, so that --help and wrong arguments need no torch.
import contextlib
import dataclasses
import os
import sys
import traceback
import warnings
from pathlib import Path

from .._counts import count
from ._shared import FIGURES, add_command, file_name
from ._training_fields import FIELDS, add_set, get_changes, get_training

_SIZES = {"tiny": "tiny", "small": "small", "published": "base"}  # of the presets


def add_pretrain(commands):
    """Add the commands that train networks."""
    parser = commands.add_parser("pretrain", help="train networks on your own recordings")
    actions = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_prepare(actions)
    _add_stage(actions, "tokenizer", "train stage 1, the tokenizer")
    stage2 = _add_stage(actions, "gram", "train stage 2, the masked autoencoder")
    stage2.add_argument(
        "--tokenizer",
        required=True,
        metavar="FOLDER",
        help="output of 'pretrain tokenizer', or a model with a tokenizer",
    )
    _add_recipe(actions)
    curves = add_command(
        actions,
        "curves",
        _run_curves,
        "draw the learning curves of a run",
        example="mne_gram pretrain curves runs/tokenizer --out curves.png",
    )
    curves.add_argument("folder", metavar="FOLDER", help="folder of a run, given as --out")
    _add_out(curves, "the figure, .png, .pdf or .svg", type=file_name(*FIGURES))
    curves.add_argument("--overwrite", action="store_true", help="replace an existing file")


def _add_prepare(actions):
    """Add the arguments of ``prepare``."""
    parser = add_command(
        actions,
        "prepare",
        _run_prepare,
        "preprocess recordings into a corpus to train on",
        example="mne_gram pretrain prepare --bids-root /data/study --out corpus --hold-out-every 4",
    )
    _add_bids_root(parser)
    add = parser.add_argument
    add("--file", nargs="+", action="extend", default=[], metavar="F", help="further recordings")
    _add_out(parser, "folder of the corpus")
    add("--hold-out-every", type=int, default=0, metavar="N", help="hold out every N-th subject")
    add(
        "--hold-out",
        default="leave",
        choices=["leave", "only"],
        help="leave out the held-out subjects, or use only them",
    )
    add("--dtype", default="int16", choices=["int16", "float32"], help="how samples are stored")
    add("--line-freq", type=float, metavar="HZ", help="frequency of the power line")
    _add_jobs(parser)
    add("--overwrite", action="store_true", help="replace a corpus with other settings")


def _add_stage(actions, name, summary):
    """Return the parser of one stage."""
    example = f"mne_gram pretrain {name} --corpus corpus --out runs/{name}"
    if name == "gram":
        example += " --tokenizer runs/tokenizer"
    parser = add_command(actions, name, _run_stage, summary, example=example)
    parser.set_defaults(stage=name)
    add = parser.add_argument
    add("--corpus", required=True, metavar="FOLDER", help="output of 'pretrain prepare'")
    _add_out(parser, "folder of the run, which is resumed if it contains a checkpoint")
    add("--preset", default="tiny", choices=[*_SIZES], help="settings to start from (tiny)")
    sizes = ["nano", "tiny", "small", "base"]
    add("--size", choices=sizes, help="shape of the network (default: that of the preset)")
    for field, (flag, kind, metavar, text) in FIELDS.items():
        add(flag, dest=field, type=kind, metavar=metavar, help=text)
    add_set(parser)
    _add_device(parser)
    add("--overwrite", action="store_true", help="start again where there is a checkpoint")
    return parser


def _add_recipe(actions):
    """Add the arguments of ``recipe``."""
    parser = add_command(
        actions,
        "recipe",
        _run_recipe,
        "train a model from BIDS data sets: corpus and both stages",
        example="mne_gram pretrain recipe gram-tiny --bids-root A --bids-root B --out models",
    )
    add = parser.add_argument
    add("name", metavar="NAME", help="gram-tiny (for any machine), gram-small or gram-base-open")
    _add_bids_root(parser)
    _add_out(parser, "folder of all output; complete steps are not repeated")
    add("--corpus", metavar="FOLDER", help="a prepared corpus, in place of --bids-root")
    add(
        "--hold-out-every",
        type=int,
        default=4,
        metavar="N",
        help="every N-th subject is not used (default 4); 0 uses all",
    )
    flag, kind, metavar, text = FIELDS["n_steps"]
    add(flag, dest="n_steps", type=kind, metavar=metavar, help=f"{text}, in each stage")
    text = "minutes of training, both stages together, in place of a number of steps"
    add("--minutes", dest="minutes", type=float, metavar="M", help=text)
    add_set(parser)
    _add_device(parser)
    _add_jobs(parser)


def _add_bids_root(parser):
    parser.add_argument(
        "--bids-root",
        nargs="+",
        action="extend",
        default=[],
        metavar="FOLDER",
        help="BIDS data sets with EEG; repeatable",
    )


def _add_out(parser, text, **kwargs):
    parser.add_argument("--out", required=True, metavar="OUT", help=text, **kwargs)


def _add_jobs(parser):
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes that prepare recordings"
    )


def _add_device(parser):
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto (the default)")


# ---------------------------------------------------------------------------------------------
# Running


def _is_first():
    """Return whether this process prints; known before the processes join."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def _logging():
    """Log to standard error, so that standard output has only results."""
    import mne

    level = mne.use_log_level("INFO" if _is_first() else "ERROR")
    with level, contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        if not _is_first():
            warnings.simplefilter("ignore")
        try:
            yield
        except BaseException as exc:
            # Frames keep a progress bar alive, which ends its line when it is deleted.
            traceback.clear_frames(exc.__traceback__)
            raise


@contextlib.contextmanager
def _reporting_interruption(out, overwrite=False):
    """Say after Ctrl-C how to resume training."""
    from ..training import NAME

    try:
        yield
    except KeyboardInterrupt as exc:
        if not _is_first():
            raise SystemExit(130) from None
        saved = [path for pattern in (NAME, f"*/{NAME}") for path in Path(out).glob(pattern)]
        text = "stopped before the first checkpoint. Repeat the command to start again."
        if saved:
            again = "Repeat the command" + (" without --overwrite" if overwrite else "")
            text = f"stopped. The last checkpoint is kept. {again} to resume from it."
        raise type(exc)(text) from None


def _run_prepare(args, parser):
    """Prepare a corpus."""
    if not args.bids_root and not args.file:
        parser.error("give --bids-root or --file")
    if not _is_first():
        return
    from ..training import prepare_corpus

    try:
        with _logging():
            # They are listed below.
            warnings.filterwarnings("ignore", r"\d+ of \d+ recordings could not be prepared")
            corpus = prepare_corpus(
                args.out,
                bids_roots=args.bids_root,
                files=args.file,
                hold_out_every=args.hold_out_every or None,
                hold_out=args.hold_out,
                dtype=args.dtype,
                line_freq=args.line_freq,
                n_jobs=args.jobs,
                overwrite=args.overwrite,
            )
    except KeyboardInterrupt as exc:
        text = "stopped. Finished recordings are kept. Repeat the command to do the others."
        raise type(exc)(text) from None
    for source, reason in corpus.failures:
        reason = " ".join(reason.split())
        print(f"mne_gram: warning: left out {source}: {reason}", file=sys.stderr)
    print(_describe_corpus(corpus))


def _describe_corpus(corpus):
    """Return a table of the contents of a corpus."""
    datasets = {}
    for k, recording in enumerate(corpus.recordings):
        datasets.setdefault(recording.dataset, []).append(k)
    if len(datasets) > 1:
        datasets["all"] = range(len(corpus))
    width = max(map(len, ["data set", *datasets]))
    lines = [f"{'data set':{width}}  recordings  subjects    hours      tokens  marked"]
    for name, numbers in datasets.items():
        recordings = [corpus.recordings[k] for k in numbers]
        goods = [corpus.good(k) for k in numbers]
        subjects = {(recording.dataset, recording.subject) for recording in recordings}
        hours = sum(recording.n_times for recording in recordings) / 200 / 3600
        tokens = sum(recording.n_tokens for recording in recordings)
        marked = 1 - sum(good.sum() for good in goods) / sum(good.size for good in goods)
        lines.append(
            f"{name:{width}}  {len(recordings):10}  {len(subjects):8}  {hours:7.2f}  {tokens:10}  "
            f"{marked:6.1%}"
        )
    lines.append(f"Recordings that could not be prepared: {len(corpus.failures)}.")
    return "\n".join([*lines, f"The corpus is in {corpus.folder}."])


def _run_stage(args, parser):
    """Train one stage."""
    get_changes(args, parser)  # reports wrong ones before torch is loaded
    with _reporting_interruption(args.out, args.overwrite), _logging():
        from .. import models
        from ..training import pretrain, pretrain_tokenizer

        training = get_training(args, parser)
        config = getattr(models, f"{args.stage}_{args.size or _SIZES[args.preset]}")()
        options = dict(training=training, device=args.device, overwrite=args.overwrite)
        if args.stage == "tokenizer":
            model = pretrain_tokenizer(args.corpus, args.out, config=config, **options)
        else:
            first = _load_tokenizer(args.tokenizer)
            config = dataclasses.replace(config, n_classes=first.config["tokenizer"]["n_classes"])
            model = pretrain(args.corpus, first, args.out, config=config, **options)
    _print_model(model, Path(args.out) / "model", [args.stage])


def _load_tokenizer(name):
    """Return a model by name or folder, or that of a run by its folder."""
    from ..models import is_model, load_model

    inner = Path(name).expanduser() / "model"
    model = load_model(inner if is_model(inner) else name)
    if model.tokenizer is None:
        raise ValueError(f"The model {name} has no tokenizer. Give one of 'pretrain tokenizer'.")
    return model


def _run_recipe(args, parser):
    """Train a model by a recipe."""
    if bool(args.bids_root) == (args.corpus is not None):
        parser.error("give either --bids-root or --corpus")
    changes = get_changes(args, parser)
    minutes = changes.pop("minutes", None)
    with _reporting_interruption(args.out), _logging():
        from ..training import run_recipe

        model = run_recipe(
            args.name,
            args.out,
            bids_roots=args.bids_root,
            hold_out_every=args.hold_out_every or None,
            device=args.device,
            n_jobs=args.jobs,
            corpus=args.corpus,
            minutes=minutes,
            changes=changes,
        )
    _print_model(model, Path(args.out) / args.name, ["tokenizer", "gram"])


def _print_model(model, folder, stages):
    """Print the folder of a model and its measures in held-out subjects."""
    if not _is_first():
        return
    for stage in stages:
        card = model.card["stages"][stage]
        values = [f"{name} {value:.3g}" for name, value in card["watched"].items()]
        values = ", ".join(values) or "none"
        print(f"{stage}: {count(card['steps'], 'step')}; held-out subjects: {values}")
    print(f"The model is in {folder}.")


def _run_curves(args, parser):
    """Draw learning curves."""
    if not _is_first():
        return
    from .._files import check_output, write_figure
    from ..viz import plot_learning_curve

    with _logging():
        check_output(args.out, overwrite=args.overwrite)
        figure = plot_learning_curve(args.folder, show=False)
        write_figure(figure, args.out, overwrite=args.overwrite)
    print(f"Wrote {args.out}.")
