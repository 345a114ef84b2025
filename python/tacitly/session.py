"""A session: jobs with one or more peers, under names that the scripts of all sides share."""

from __future__ import annotations

from ._runner import Normalise
from .kinds import psi

__all__ = ["Normalise", "Session"]


class Session(psi.SessionCalls):
    """Jobs with one or more peers. All sides run the same script: their first calls meet, then their second, and so on.

    Data is a frame (anything with ``__arrow_c_stream__``, a mapping of columns, a list, a numpy array) or the name of a
    registered dataset. A frame becomes a dataset for this one job: its key columns go to this party's own daemon, into
    memory only, and the call is its owner's approval. The peers decide by their own calls or rules.

    Made by :meth:`tacitly.Party.session`.
    """
