# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The command ``completion``: a script by which a shell completes all commands and options."""

from ._shared import add_command

# What the values with these names are, for the shell.
_FILES = ("IN", "OUT", "FILE", "CHECKPOINT")
_FOLDERS = ("ROOT", "FOLDER")


def add_completion(commands, root):
    """Add the command ``completion``, for the parser ``root`` of all commands."""
    parser = add_command(
        commands,
        "completion",
        lambda args, parser: print(_complete(args.shell, root)),
        "print a script for the completion of commands and options in a shell",
        example="mne_gram completion bash > ~/.local/share/bash-completion/completions/mne_gram\n"
        "mne_gram completion zsh > ~/.zfunc/_mne_gram",
        note="For zsh, the folder has to be in fpath before compinit: fpath+=~/.zfunc. Start a new "
        "shell afterwards.",
    )
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"], help="the shell")


def _complete(shell, root):
    """Return the script for a shell."""
    try:
        import shtab
    except ImportError:
        raise RuntimeError(
            "Completion needs the package shtab: pip install 'mne-gram[completion]'"
        ) from None
    _set_kinds(root, shtab.FILE, shtab.DIRECTORY)
    return shtab.complete(root, shell)


def _set_kinds(parser, file, folder):
    """Mark the arguments of a parser and its commands that are files or folders."""
    for action in parser._actions:
        if action.metavar in _FILES + _FOLDERS:
            action.complete = folder if action.metavar in _FOLDERS else file
        if hasattr(action.choices, "values"):
            for child in action.choices.values():
                _set_kinds(child, file, folder)
