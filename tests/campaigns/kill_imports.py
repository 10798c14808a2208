"""Imports of the process that killed runs are forked from; it computes nothing."""

import faiss  # noqa: F401
import lightning  # noqa: F401
import matplotlib.figure  # noqa: F401
import optuna  # noqa: F401
import polars  # noqa: F401
import sqlalchemy  # noqa: F401
import torch

import seqrec.jobs.cache  # noqa: F401
import seqrec.jobs.evaluate  # noqa: F401
import seqrec.jobs.export  # noqa: F401
import seqrec.jobs.pairs  # noqa: F401
import seqrec.jobs.prepare  # noqa: F401
import seqrec.jobs.recommend  # noqa: F401
import seqrec.jobs.train  # noqa: F401
import seqrec.jobs.tune  # noqa: F401

torch.set_num_threads(1)
faiss.omp_set_num_threads(1)
