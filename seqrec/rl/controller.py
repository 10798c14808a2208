"""The controller: the order of the roles' work, and rollbacks of bad weights.

for update in range(num_updates):
    rollouts = executor.collect(executor.start(prompts))
    rewards = executor.score(rollouts)
    learner.update(rollouts, rewards, kl_coef)
    every few updates: check the guard on held-out histories; keep the weights or roll back
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from seqrec.errors import SeqRecError
from seqrec.rl.executors import Executor
from seqrec.rl.guard import Guard, KLCoefficient
from seqrec.rl.learner import Learner
from seqrec.rl.prompts import HeldOutPrompts, Prompts
from seqrec.rl.rollouts import Rollouts, pack_rollouts, unpack_rollouts
from seqrec.rl.stage_log import EventLog
from seqrec.training.state_files import read_newest_state, write_state

STATE_FILE = "controller.pt"
STATE_KEYS = (
    *("update", "learner", "good", "guard", "kl_coef", "rollbacks", "first_mix", "log"),
    *("update_stats", "ahead"),
)
CAREFUL_PENALTY = 2.0
CAREFUL_LEARNING_RATE = 0.5
UPDATE_LINE = (
    "; entropy {entropy_nats:.2f} nats, reward std {reward_std:.4f}, "
    "{informative_group_share:.0%} of groups informative"
)


@dataclass
class Outcome:
    """The outcome of a run."""

    num_updates: int
    reason: str
    """Reason of the end."""
    rollbacks: list[str] = field(default_factory=list)
    """Reason of each rollback."""
    reward: float = float("nan")
    """Mean reward of the most probable slates on held-out histories, at the last good weights."""
    kl_nats: float = float("nan")
    metric: float = float("nan")


class Controller:
    """Runs the loop, holds the last good weights, and can be saved and resumed exactly."""

    def __init__(
        self,
        *,
        source: Callable[[int], Prompts],
        held_out: HeldOutPrompts,
        executor: Executor,
        learner: Learner,
        guard: Guard,
        kl_coef: KLCoefficient,
        log: EventLog,
        folder: Path,
        num_updates: int,
        check_every: int,
        max_staleness: int = 0,
        is_ending: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = print,
    ) -> None:
        """Set the roles and the settings of the loop.

        Args:
            source: returns the prompts of an update, the same at every call.
            held_out: prompts that the guard checks.
            executor: runs workers and scorer.
            learner: holds the policy.
            guard: limits of the policy.
            kl_coef: penalty for a nat of KL divergence.
            log: log of stages.
            folder: folder of the state for resuming.
            num_updates: number of updates.
            check_every: updates between two checks of the guard.
            max_staleness: updates that rollouts may lag behind the learner; as many batches are
                sampled ahead. The clipped ratio of new to old probabilities corrects for the lag.
                0: sampling and updates alternate.
            is_ending: returns True when the run shall be saved and end, as after SIGTERM.
            say: prints a line.
        """
        self.source = source
        self.held_out = held_out
        self.executor = executor
        self.learner = learner
        self.guard = guard
        self.kl_coef = kl_coef
        self.log = log
        self.folder = folder
        self.num_updates = num_updates
        self.check_every = check_every
        self.max_staleness = max_staleness
        self.is_ending = is_ending
        self.say = say
        self.update = 0
        self.rollbacks: list[str] = []
        self.good: dict[str, Any] = {}
        self.first_mix: list[float] | None = None
        """Share of every genre among the items recommended at the start."""
        self._ahead: deque[Callable[[], Rollouts]] = deque()
        """Each waits for a batch that is sampled ahead and returns it, the next update's first."""
        self._update_stats: list[dict[str, float]] = []
        """Statistics of each update since the last check of the guard."""

    def run(self) -> Outcome:
        """Run, or resume, until all updates are done or the guard stops the run.

        Raises:
            SeqRecError: the policy is beyond the guard's limits from the start.
            KeyboardInterrupt: the run was told to end; its state is saved.
        """
        if not self.good:
            self.resume()
        if not self.good:
            self._publish()
            self.guard.start(self.held_out.metric())
            if not self._check():
                raise SeqRecError(
                    f"the policy fails the guard before training: {self.rollbacks[-1]}"
                )
            self.save()
        reason = "all updates done"
        while self.update < self.num_updates:
            self._publish()
            self._one_update()
            self.update += 1
            is_checked = self.update % self.check_every == 0 or self.update == self.num_updates
            if is_checked and not self._check() and not self._roll_back():
                reason = f"stopped: {self.rollbacks[-1]}"
                break
            is_ending = self.is_ending()
            if is_checked or is_ending:
                self.save()
            if is_ending:
                raise KeyboardInterrupt
        self.learner.load_state_dict(self.good["learner"])
        return Outcome(
            self.update,
            reason,
            self.rollbacks,
            *(self.good[key] for key in ("reward", "kl_nats", "metric")),
        )

    def _publish(self) -> None:
        with self.log.stage("publish", self.update, "learner"):
            self.executor.load(self.learner.weights(), self.learner.version)

    def _one_update(self) -> None:
        last = min(self.update + self.max_staleness, self.num_updates - 1)
        for update in range(self.update + len(self._ahead), last + 1):
            started = self.executor.start(self.source(update), update)
            self._ahead.append(partial(self.executor.collect, started))
        rollouts = self._ahead.popleft()()
        counts: dict[str, Any] = {
            "slates": int(np.prod(rollouts.items.shape[:2])),
            "titles": len(np.unique(rollouts.items)),
            "staleness": self.learner.version - rollouts.version,
        }
        for span in rollouts.spans:
            self.log.note("generate", self.update, *span, **counts)
        with self.log.stage("score", self.update, "reward") as stats:
            rewards = self.executor.score(rollouts)
            reward_std = float(rewards.std(axis=1).mean())
            stats |= {"reward": float(rewards.mean()), "reward_std": reward_std}
        with self.log.stage("update", self.update, "learner") as stats:
            stats |= self.learner.update(rollouts, rewards, self.kl_coef.value)
            stats["kl_coef"] = self.kl_coef.value
        self.kl_coef.adapt(stats["kl_nats"])
        self._update_stats.append({**stats, "reward_std": reward_std})
        if not stats["informative_group_share"]:
            self.say(
                f"update {self.update}: the rewards of every group are equal; nothing is learned"
            )

    def _check(self) -> bool:
        """Check the weights on held-out histories, and keep them if they are good."""
        self._publish()
        with self.log.stage("guard", self.update, "reference") as counts:
            started = self.executor.start(self.held_out.prompts, self.update)
            rollouts = self.executor.collect(started)
            counts["kl_nats"] = self.learner.measure_kl(rollouts)
            best = self.executor.best(self.held_out.prompts)
            counts["reward"] = float(self.executor.score(best).mean())
            counts["share_of_catalog"] = len(np.unique(best.items)) / self.learner.num_items
            counts["genre_shift"] = self._measure_genre_shift(best.items)
            counts["metric"] = self.held_out.metric()
            counts |= self._average_updates()
            verdict = self.guard.judge(counts["kl_nats"], counts["metric"])
            counts["is_good"], counts["reason"] = verdict.is_good, verdict.reason
        self.say(
            f"update {self.update:4d}  reward {counts['reward']:.4f}  "
            f"KL {counts['kl_nats']:.4f} nats  {self.guard.metric} {counts['metric']:.4f}  "
            f"{counts['share_of_catalog']:.1%} of the catalog"
            + (f", genre shift {counts['genre_shift']:.1%}" if self.first_mix else "")
            + (UPDATE_LINE.format(**counts) if "entropy_nats" in counts else "")
        )
        if verdict.is_good:
            keys = ("reward", "kl_nats", "metric")
            self.good = {"learner": self.learner.state_dict(), **{key: counts[key] for key in keys}}
            return True
        self.rollbacks.append(verdict.reason)
        return False

    def _average_updates(self) -> dict[str, float]:
        """Return means of the statistics of updates since the last check."""
        updates, self._update_stats = self._update_stats, []
        keys = ("entropy_nats", "reward_std", "informative_group_share") if updates else ()
        return {key: float(np.mean([one[key] for one in updates])) for key in keys}

    def _measure_genre_shift(self, items: Int[np.ndarray, "B G K"]) -> float:
        """Return the total variation of the genre mix from the start's; 0 without genres."""
        if self.held_out.genres is None:
            return 0.0
        counts = self.held_out.genres[items].sum(axis=(0, 1, 2))
        mix = counts / max(counts.sum(), 1)
        if self.first_mix is None:
            self.first_mix = mix.tolist()
        return float(np.abs(mix - self.first_mix).sum() / 2)

    def _roll_back(self) -> bool:
        """Restore the last good weights; return True if training continues, more carefully."""
        self._ahead.clear()
        with self.log.stage("roll back", self.update, "learner") as counts:
            counts["reason"] = self.rollbacks[-1]
            self.learner.roll_back(self.good["learner"], CAREFUL_LEARNING_RATE)
            self.kl_coef.value *= CAREFUL_PENALTY
        continues = self.guard.roll_back()
        caution = "half the learning rate" + " and twice the penalty" * bool(self.kl_coef.value)
        end = f"training continues with {caution}" if continues else "training ends"
        self.say(f"update {self.update}: {self.rollbacks[-1]}; rolled back to good weights, {end}")
        return continues

    def save(self) -> None:
        """Write the state for resuming, and keep the one before."""
        state = {
            "update": self.update,
            "learner": self.learner.state_dict(),
            "good": self.good,
            "guard": self.guard.state_dict(),
            "kl_coef": self.kl_coef.value,
            "rollbacks": self.rollbacks,
            "first_mix": self.first_mix,
            "log": self.log.state_dict(),
            "update_stats": self._update_stats,
            "ahead": [pack_rollouts(collect(), self.log.started) for collect in self._ahead],
        }
        write_state(state, self.folder / STATE_FILE, keep_previous=True)

    def resume(self) -> None:
        """Restore the newest whole state that ``save`` wrote, if there is one.

        Raises:
            SeqRecError: the states are damaged or of another run.
        """
        found = read_newest_state(self.folder / STATE_FILE, STATE_KEYS)
        if found is None:
            return
        file, state = found
        try:
            self._restore(state)
        except Exception as error:
            raise SeqRecError(
                f"{file}: a state of another run; start again with --overwrite"
            ) from error
        self.say(f"continues from {file.name}, after update {self.update}")

    def _restore(self, state: dict[str, Any]) -> None:
        self.update = state["update"]
        self.learner.load_state_dict(state["learner"])
        self.good = state["good"]
        self.guard.load_state_dict(state["guard"])
        self.kl_coef.value = state["kl_coef"]
        self.rollbacks = state["rollbacks"]
        self.first_mix = state["first_mix"]
        self.log.load_state_dict(state["log"])
        self._update_stats = state["update_stats"]
        for update, packed in enumerate(state["ahead"], self.update):
            rollouts = unpack_rollouts(packed, self.source(update), self.log.started)
            self._ahead.append(partial(replace, rollouts))
