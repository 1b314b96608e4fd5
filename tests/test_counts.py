# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Numbers with their nouns."""

import pytest

from mne_gram._counts import count


@pytest.mark.parametrize("number, text", [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
def test_count(number, text):
    assert count(number, "row") == text
