# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Restore bad channels and segments, and add missing electrodes.

``restore`` is read from top to bottom in this order: ``_restore`` (check, mark, fit, estimate,
report), ``_methods`` (the table of methods), their modules ``_select`` (auto), ``_gaussian``
(spatial), ``_gram`` and ``_spline``, what these share in ``_fit`` and ``_gaps``, then ``_blocks``,
``_mark``, ``_tally`` and ``_report``. ``_restorer`` restores new data by a fit to earlier ones: it
reads arrays by ``_trial_input`` and cuts trials in ``_trials``, which ``_trial_fit`` restores.
``_live`` restores chunks of a stream by the same fit.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
