"""Interrupts and signals that end a run."""

import signal
import threading
from typing import Any

from lightning import Callback, LightningModule, Trainer

ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals of schedulers and of closed terminals: the state is written, and the run ends."""


class EndingSignals:
    """Notes ``ENDING_SIGNALS`` instead of ending at once, inside the context.

    Signals that are ignored, and those outside the main thread, stay as they are.
    """

    def __init__(self) -> None:
        self._is_ending = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "EndingSignals":
        self.remember()
        self.handle()
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    def is_ending(self) -> bool:
        """Return True after a signal that ends the run."""
        return self._is_ending

    def remember(self) -> None:
        """Note the handlers to restore."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}

    def handle(self) -> None:
        """Install the handlers, in place of those that others have installed by now."""
        for number, handler in self._before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def restore(self) -> None:
        """Install the handlers of before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        self._is_ending = True


class Interrupts(Callback):
    """Ends a run before its next step if an interrupt was lost, and notes ``ENDING_SIGNALS``.

    Python drops exceptions raised in a finalizer, including ``KeyboardInterrupt``.
    """

    def __init__(self) -> None:
        self._is_interrupted = self._is_installed = False
        self._signals = EndingSignals()

    def __enter__(self) -> None:
        """Start to handle signals; only in the main thread, interrupts under Python's handler."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._is_installed = True
        self._signals.remember()

    def __exit__(self, *_: object) -> None:
        if self._is_installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._signals.restore()

    def is_ending(self) -> bool:
        """Return True after a signal that ends the run."""
        return self._signals.is_ending()

    def _handle(self, *_: object) -> None:
        self._is_interrupted = True
        raise KeyboardInterrupt

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Replace the handlers that Lightning has installed by then."""
        self._signals.handle()

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, index: int
    ) -> None:
        if self._is_interrupted:
            raise KeyboardInterrupt
