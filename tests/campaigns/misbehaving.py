"""Subjects that do what a watchdog must survive, one of each kind."""

import os
import time

import numpy as np

from seqrec.errors import SeqRecError


def hang(generator, folder):
    time.sleep(100)


def die(generator, folder):
    os._exit(3)


def fail(generator, folder):
    raise KeyError("key")


def take_memory(generator, folder):
    np.ones(1 << 33)


def refuse(generator, folder):
    raise SeqRecError("one line")


def build():
    return {one.__name__: one for one in (hang, die, fail, take_memory, refuse)}
