# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Numbers with their nouns, for texts."""


def count(number, noun):
    """Return a number and its noun, in the plural unless the number is 1."""
    return f"{number} {noun}{'s' * (number != 1)}"
