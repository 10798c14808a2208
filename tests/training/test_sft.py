"""SFT reaches the best that a simulated world allows."""

import numpy as np
import pytest

import seqrec
from seqrec.data.worlds import first_order_world, second_order_world, unordered_world
