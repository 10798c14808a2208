"""Imports of the process that killed runs are forked from; it computes nothing."""

import lightning  # noqa: F401
import polars  # noqa: F401
import torch

import seqrec.jobs.export
import seqrec.jobs.pairs
import seqrec.jobs.prepare
import seqrec.jobs.train  # noqa: F401

torch.set_num_threads(1)
