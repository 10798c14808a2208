"""Imports of the process that killed runs are forked from; it computes nothing."""

import lightning  # noqa: F401
import polars  # noqa: F401
import torch

import seqrec.jobs.export  # noqa: F401
import seqrec.jobs.pairs  # noqa: F401
import seqrec.jobs.prepare  # noqa: F401
import seqrec.jobs.train  # noqa: F401

torch.set_num_threads(1)
