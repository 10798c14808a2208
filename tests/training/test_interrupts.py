"""Interrupts that Python drops."""

import signal

import pytest
from lightning import LightningModule, Trainer

from seqrec.training.interrupts import Interrupts


class InterruptedWhileFinalised:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_was_lost_ends_the_run_before_its_next_step():
    step = Trainer.__new__(Trainer), LightningModule(), None, 0
    interrupts = Interrupts()
    with interrupts:
        interrupts.on_train_batch_start(*step)
        InterruptedWhileFinalised()
        with pytest.raises(KeyboardInterrupt):
            interrupts.on_train_batch_start(*step)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_ignores_interrupts_goes_on_ignoring_them():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
