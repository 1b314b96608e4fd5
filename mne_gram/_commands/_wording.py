# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Texts of the library, which name arguments and functions of Python, in terms of a command."""

import contextlib
import logging
import re

# What a command has in place of functions and attributes, by regular expressions that ignore case;
# long phrases come first. "{mark}" is how it marks channels, "{place}" how it sets positions.
_PHRASES = {
    r"mark channels in info\['bads'\], annotate segments with ch_names, or give a mask": (
        "{mark}, or detect them with --find-bads"
    ),
    r"mark them: the channel in info\['bads'\], the segment by an annotation that begins with BAD"
    "(, or by mask)?": "{mark}, and bad segments by annotations that begin with BAD",
    r"mark (them|channels) in info\['bads'\]": "{mark}",
    r"add those without a signal to info\['bads'\]": "{mark}",
    r"remove (channels that are usable|usable channels) from info\['bads'\]": (
        "do not mark usable channels as bad"
    ),
    r"so info\['bads'\] keeps these channels": "so they are still marked as bad",
    r"(pass line_freq or set info\['line_freq'\]|set line_freq)": "use --line-freq",
    r"remove it with inst\.set_montage\(None\)": "set others {place}",
    r"(with inst\.set_montage|\(inst\.set_montage\))": "{place}",
    ", exclude these channels with picks,": ", leave these channels out with --exclude,",
    r", or exclude the channels \(inst\.drop_channels, picks\)": ", or drop the channels",
    ", or select channels with picks": "",
    r" \(inst\.rename_channels\)": "",
    "with inst[.]": "in Python with raw.",
    r"nothing is marked yet: use report\.mark\(inst\) or\s+report\.mask\(inst\)\.": "",
    r"pass report\.mask\(epochs\) to mne_gram\.restore": "use mne_gram restore --find-bads",
    r"mne_gram\.fetch_model\('([^']*)'\)": r"mne_gram weights fetch \1",
    r"mne_gram\.fetch_model": "mne_gram weights fetch",
    r"mne_gram\.convert_checkpoint\([^)]*\)": "mne_gram weights convert CHECKPOINT FOLDER",
    r"apply mne_gram\.preprocess first, or set preprocess=True": "leave out --no-preprocess",
    "[;.] pass reference=None to keep the (old )?reference": "",
    ", or pass a higher l_freq": "",
    "window and overlap apply to Raw": "--window and --overlap are for continuous data",
    "pass the Raw, or other Epochs": "give the recording, or other epochs",
    r"set the reference again: inst\.set_eeg_reference\('average'\)": (
        "set the average reference again"
    ),
    r" To save the good samples without rounding, write FIF with fmt='double'; BrainVision keeps "
    r"single precision, EDF 16 bits\.": "",
    r"preprocess=False": "--no-preprocess",
    r"mne_gram\.restore\b": "mne_gram restore",
    "(use|fit it with) base='bundled'": "leave out --no-base",
    ", or leave prior out": ", or leave out --prior",
    r"job='prior', refit_prior=True \((mne_gram [^)]*)\)": r"\1",
    r"job='prior' \((mne_gram bids ROOT --job prior), which": r"\1 (which",
    r"refit_prior=True \(--refit-prior\)": "--refit-prior",
    "(pass overwrite=True|allow overwriting)": "use --overwrite",
    "give it as tokenizer_fname, and None as fname to convert it alone": "give it with --tokenizer",
    r"\(selected by (\w+)s\)": r"(selected by --\1)",
    r"\(derivatives=, or --derivatives on the command line\)": "(--derivatives)",
    "exclude names": "--exclude names",
    r"\b(exclude|picks) contains": r"--\1 contains",
    "mask='auto' needs": "--find-bads needs",
}
# Private characters, which stand for names of files while a text is changed.
_MARKS = [chr(code) for code in range(0xE000, 0xE100)]


def to_options(text, parser):
    """Return a text with the options of a command in place of arguments of functions.

    Names of files that the command line contains, ``parser.given``, stay as they are.
    """
    names = [word for word in parser.given if re.search(r"[\s./\\=].*\w{2}|\w{2}.*[\s./\\=]", word)]
    names = dict(zip(_MARKS, sorted(names, key=len, reverse=True), strict=False))
    for mark, name in names.items():
        text = text.replace(name, mark)
    text = _replace(text, parser)
    for mark, name in names.items():
        text = text.replace(mark, name)
    return text


def _replace(text, parser):
    """Return a text with options in place of arguments; marks of names are unchanged."""
    options = _find_options(parser)
    ways = dict(mark="mark bad channels in channels.tsv", place="in electrodes.tsv")
    if "bads" in options:  # of a single recording
        ways = dict(mark="name bad channels with --bads", place="with --montage")
    for pattern, new in _PHRASES.items():
        for name, way in ways.items():
            new = new.replace(f"{{{name}}}", way)
        pattern = pattern.replace(" ", r"\s+")  # texts may be wrapped
        text = re.sub(pattern, lambda m, new=new: _expand(m, new), text, flags=re.I)
    for name, option in options.items():
        text = re.sub(rf"(?<![\w.(/\\-]){name}=True\b", option, text)
        if name != "picks":  # of a function of MNE
            value = rf"'?([\w.:{_MARKS[0]}-{_MARKS[-1]}]+)'?"
            text = re.sub(rf"(?<![\w.(/\\-]){name}={value}", rf"{option} \1", text)
        # Without an underscore it may be a word.
        after = r"(?![\w=/-]|\.\w)" if "_" in name else r"(?= (must|needs) )"
        text = re.sub(rf"(?<![\w./\\-]){name}{after}", option, text)
    return text


def _find_options(parser):
    """Return the options of a command by the names of arguments."""
    found = {}
    for action in parser._actions:
        for option in action.option_strings:
            if option.startswith("--"):
                found[option.strip("-").replace("-", "_")] = option
    return found


def _expand(match, new):
    """Return the replacement of a phrase, with a capital where the phrase has one."""
    new = match.expand(new)
    return new[:1].upper() + new[1:] if match.group()[0].isupper() else new


@contextlib.contextmanager
def log_options(parser):
    """Let what MNE and the library log name the options of a command."""

    def rewrite(record):
        record.msg, record.args = to_options(record.getMessage(), parser), ()
        return True

    logger = logging.getLogger("mne")
    logger.addFilter(rewrite)
    try:
        yield
    finally:
        logger.removeFilter(rewrite)
