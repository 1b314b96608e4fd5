# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The command line: one module per command; here they become one parser.

The options that several commands have in common are in ``_shared.py``.
"""

import argparse
import contextlib
import functools
import os
import signal
import sys
import threading
import traceback
import warnings

from .. import __version__
from ._bench import add_bench
from ._bids import add_bids
from ._completion import add_completion
from ._embed import add_embed
from ._find_bads import add_find_bads
from ._pretrain import add_pretrain
from ._prior import add_prior
from ._restore import add_restore
from ._sys_info import add_sys_info
from ._weights import add_weights
from ._wording import log_options, to_options

# As of programs that the signals end.
_INTERRUPTED, _BROKEN_PIPE, _TERMINATED = 130, 141, 143


def main(argv=None):
    """Run the command line with ``argv`` (None: those of the process).

    Returns 0 on success, 1 after an error, 130 after Ctrl-C, 141 if the output is not read to its
    end, 143 after SIGTERM; wrong arguments exit with code 2.
    """
    parser = _build_parser()
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["sys_info"]:  # as the function is called
        argv[0] = "sys-info"
    args, unknown = parser.parse_known_args(argv)
    if unknown:  # with the usage of the command
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    args.parser.given = _list_given(argv)
    try:
        with warnings.catch_warnings(), _terminable(), log_options(args.parser):
            warnings.showwarning = functools.partial(_show_warning, args.parser)
            args.run(args, args.parser)
            if sys.stdout is not None:  # as with >&-
                sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as head, has seen enough; what is left must not fail at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except Exception as exc:
        if args.verbose:
            traceback.print_exc()
        print(f"mne_gram: error: {to_options(_get_line(exc), args.parser)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as exc:
        print(f"mne_gram: {str(exc) or 'stopped.'}", file=sys.stderr)
        return _TERMINATED if isinstance(exc, _Terminated) else _INTERRUPTED
    return 0


def _list_given(argv):
    """Return the words of a command line without names of options, and the current folder."""
    words = [word.split("=", 1)[-1] if word.startswith("-") else word for word in argv]
    with contextlib.suppress(OSError):  # it may be gone
        words.append(os.getcwd())
    return words


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which has to clean up like Ctrl-C."""


@contextlib.contextmanager
def _terminable():
    """Let SIGTERM raise an exception during the context, unless it is handled otherwise."""
    is_main = threading.current_thread() is threading.main_thread()  # which alone gets signals
    is_free = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # not taken by a caller of main
    # torchrun ends its processes at once.
    if not (is_main and is_free) or "LOCAL_RANK" in os.environ:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number, frame):
    raise _Terminated


def _get_line(exc):
    """Return the message of an exception on one line."""
    text = str(exc)
    if isinstance(exc, OSError) and text.startswith("[Errno"):
        text = f"{exc.strerror}: {exc.filename}" if exc.filename else f"{exc.strerror}."
    line = " ".join(text.split())
    expected = isinstance(exc, (OSError, RuntimeError, TypeError, ValueError))
    return line if expected and line else f"{type(exc).__name__}: {line}"


def _show_warning(parser, message, category, filename, lineno, file=None, line=None):
    """Print a warning on one line, without its place in the code."""
    text = to_options(" ".join(str(message).split()), parser)
    print(f"mne_gram: warning: {text}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """A parser, as those of all commands, that says where missing files may have gone."""

    given = ()  # the words of the command line, without names of options

    def error(self, message):
        lists = [action.option_strings[0] for action in self._actions if action.nargs == "+"]
        if lists and message.startswith(("the following arguments are required", "give either")):
            message += (
                f". An option such as {lists[0]} takes everything up to the next option: put files "
                "before it"
            )
        super().error(message)


def _build_parser():
    """Return the parser of all commands."""
    parser = _Parser(
        prog="mne_gram",
        description="Restore bad channels and bad segments of EEG, embed and classify it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""\
examples:
  mne_gram restore raw.fif repaired_raw.fif --bads T7 --report repaired.txt
  mne_gram bids /data/study --dry-run
  mne_gram COMMAND --help

The exit code is 0 on success, 1 after an error, 2 if the arguments are wrong.
""",
    )
    parser.add_argument("--version", action="version", version=f"mne_gram {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_restore(commands)
    add_find_bads(commands)
    add_embed(commands)
    add_bids(commands)
    add_prior(commands)
    add_weights(commands)
    add_pretrain(commands)
    add_bench(commands)
    add_sys_info(commands)
    add_completion(commands, parser)
    return parser
