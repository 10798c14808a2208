"""The controller: who works when, and what is done with bad weights.

for update in range(num_updates):
    rollouts = executor.collect(executor.start(prompts))
    rewards = executor.score(rollouts)
    learner.update(rollouts, rewards, kl_coef)
    every few updates: guard, on held-out histories; roll back, or keep the weights
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from seqrec.errors import SeqRecError
from seqrec.rl.guard import Guard, KLCoefficient
from seqrec.rl.learner import Learner
from seqrec.rl.prompts import Prompts
from seqrec.rl.rollouts import Rollouts, Weights
from seqrec.rl.stage_log import EventLog

STATE_FILE = "controller.pt"
CAREFUL_PENALTY = 2.0
CAREFUL_LEARNING_RATE = 0.5
WHAT_WAS_LEARNED = (
    "; entropy {entropy_nats:.2f} nats, spread of rewards {reward_std:.4f}, "
    "{informative_group_share:.0%} of groups teach"
)


class Executor(Protocol):
    """Where rollout workers and reward run."""

    def load(self, weights: Weights, version: int) -> None:
        """Give every worker new weights."""
        ...

    def start(self, prompts: Prompts, update: int) -> Any:
        """Ask for slates for every task, under the weights that were loaded last."""
        ...

    def collect(self, started: Any) -> Rollouts:
        """The slates that were asked for."""
        ...

    def best(self, prompts: Prompts) -> Rollouts:
        """The most probable slate of every task."""
        ...

    def score(self, rollouts: Rollouts) -> Float[np.ndarray, "B G"]:
        """What the slates are worth."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


@dataclass
class HeldOutPrompts:
    """Histories that nothing is learned from, and how a policy is judged on them."""

    prompts: Prompts
    metric: Callable[[], float]
    """A ranking metric that is not the reward, of the policy as it is."""
    genres: Bool[np.ndarray, "I G"] | None = None
    """Of every item, where genres are known: how their mix changes is watched."""


@dataclass
class Outcome:
    """How a run ended."""

    num_updates: int
    reason: str
    """Why it ended."""
    rollbacks: list[str] = field(default_factory=list)
    """Why it went back, each time."""
    reward: float = float("nan")
    """Mean of the most probable slates on held-out histories, at the last good weights."""
    kl_nats: float = float("nan")
    metric: float = float("nan")


class Controller:
    """Runs the loop; holds the last good weights; can be saved, and go on exactly."""

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
        say: Callable[[str], None] = print,
    ) -> None:
        """Put the roles together.

        Args:
            source: the prompts of an update, the same at every call.
            held_out: what the guard looks at.
            executor: where workers and reward run.
            learner: the policy.
            guard: its limits.
            kl_coef: what drifting costs.
            log: of events.
            folder: for the state that a run goes on from.
            num_updates: after which it ends.
            check_every: updates between the guard's looks.
            max_staleness: updates that rollouts may be behind the learner: so many batches are
                drawn while others are learned from. What they were drawn by is corrected for by the
                ratio of new to old probabilities, which is clipped. 0: one after the other.
            say: where lines go.
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
        self.say = say
        self.update = 0
        self.rollbacks: list[str] = []
        self.good: dict[str, Any] = {}
        self.first_mix: list[float] | None = None
        """Share of every genre in what was recommended at the start."""
        self._started: deque[Any] = deque()
        """Batches that were asked for, the next update's first."""
        self._learned: list[dict[str, float]] = []
        """What happened in each update since the guard last looked."""

    def run(self) -> Outcome:
        """Until the updates are done, or the guard says stop; from where it was cut, if it was.

        Raises:
            SeqRecError: a policy that is beyond the guard's limits from the start.
        """
        if not self.good and (self.folder / STATE_FILE).exists():
            self.resume()
        if not self.good:
            self._publish()
            self.guard.start(self.held_out.metric())
            if not self._check():
                raise SeqRecError(f"the policy is no good before it learns: {self.rollbacks[-1]}")
            self.save()
        reason = "all updates done"
        while self.update < self.num_updates:
            self._publish()
            self._one_update()
            self.update += 1
            if self.update % self.check_every and self.update < self.num_updates:
                continue
            if not self._check() and not self._roll_back():
                reason = f"stopped: {self.rollbacks[-1]}"
                break
            self.save()
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
        for update in range(self.update + len(self._started), last + 1):
            self._started.append(self.executor.start(self.source(update), update))
        rollouts = self.executor.collect(self._started.popleft())
        counts: dict[str, Any] = {
            "slates": int(np.prod(rollouts.items.shape[:2])),
            "titles": len(np.unique(rollouts.items)),
            "staleness": self.learner.version - rollouts.version,
        }
        for span in rollouts.spans:
            self.log.note("generate", self.update, *span, **counts)
        with self.log.stage("score", self.update, "reward") as found:
            rewards = self.executor.score(rollouts)
            reward_std = float(rewards.std(axis=1).mean())
            found |= {"reward": float(rewards.mean()), "reward_std": reward_std}
        with self.log.stage("update", self.update, "learner") as found:
            found |= self.learner.update(rollouts, rewards, self.kl_coef.value)
            found["kl_coef"] = self.kl_coef.value
        self.kl_coef.learn(found["kl_nats"])
        self._learned.append({**found, "reward_std": reward_std})
        if not found["informative_group_share"]:
            self.say(f"update {self.update}: all rewards of every group agree; nothing is learned")

    def _check(self) -> bool:
        """Judge the weights on held-out histories, and keep them if they are good."""
        self._publish()
        with self.log.stage("guard", self.update, "reference") as counts:
            started = self.executor.start(self.held_out.prompts, self.update)
            rollouts = self.executor.collect(started)
            counts["kl_nats"] = self.learner.measure_kl(rollouts)
            best = self.executor.best(self.held_out.prompts)
            counts["reward"] = float(self.executor.score(best).mean())
            counts["share_of_catalog"] = len(np.unique(best.items)) / self.learner.num_items
            counts["genre_shift"] = self._genre_shift(best.items)
            counts["metric"] = self.held_out.metric()
            counts |= self._since_the_last_look()
            verdict = self.guard.judge(counts["kl_nats"], counts["metric"])
            counts["is_good"], counts["reason"] = verdict.is_good, verdict.reason
        self.say(
            f"update {self.update:4d}  reward {counts['reward']:.4f}  "
            f"drift {counts['kl_nats']:.4f} nats  {self.guard.metric} {counts['metric']:.4f}  "
            f"{counts['share_of_catalog']:.1%} of the catalog"
            + (f", genres {counts['genre_shift']:.1%} off" if self.first_mix else "")
            + (WHAT_WAS_LEARNED.format(**counts) if "entropy_nats" in counts else "")
        )
        if verdict.is_good:
            keys = ("reward", "kl_nats", "metric")
            self.good = {"learner": self.learner.state_dict(), **{key: counts[key] for key in keys}}
            return True
        self.rollbacks.append(verdict.reason)
        return False

    def _since_the_last_look(self) -> dict[str, float]:
        """Means over the updates since then: of entropy, spread of rewards, and what they teach."""
        learned, self._learned = self._learned, []
        keys = ("entropy_nats", "reward_std", "informative_group_share") if learned else ()
        return {key: float(np.mean([one[key] for one in learned])) for key in keys}

    def _genre_shift(self, items: Int[np.ndarray, "B G K"]) -> float:
        """The total variation of the genres' mix from that of the start; 0 without genres."""
        if self.held_out.genres is None:
            return 0.0
        counts = self.held_out.genres[items].sum(axis=(0, 1, 2))
        mix = counts / max(counts.sum(), 1)
        if self.first_mix is None:
            self.first_mix = mix.tolist()
        return float(np.abs(mix - self.first_mix).sum() / 2)

    def _roll_back(self) -> bool:
        """Return to the last good weights; whether to go on, more carefully."""
        self._started.clear()
        with self.log.stage("roll back", self.update, "learner") as counts:
            counts["reason"] = self.rollbacks[-1]
            self.learner.go_back(self.good["learner"], CAREFUL_LEARNING_RATE)
            self.kl_coef.value *= CAREFUL_PENALTY
        goes_on = self.guard.roll_back()
        careful = "half the learning rate" + " and twice the penalty" * bool(self.kl_coef.value)
        what = f"on, with {careful}" if goes_on else "no further"
        self.say(f"update {self.update}: {self.rollbacks[-1]}; back to good weights, and {what}")
        return goes_on

    def save(self) -> None:
        """Write what a run goes on from, in one rename."""
        state = {
            "update": self.update,
            "learner": self.learner.state_dict(),
            "good": self.good,
            "guard": self.guard.state_dict(),
            "kl_coef": self.kl_coef.value,
            "rollbacks": self.rollbacks,
            "first_mix": self.first_mix,
            "log": self.log.state_dict(),
        }
        file = self.folder / STATE_FILE
        torch.save(state, file.with_suffix(".new"))
        file.with_suffix(".new").replace(file)

    def resume(self) -> None:
        """Go on from what ``save`` wrote."""
        state = torch.load(self.folder / STATE_FILE, weights_only=True)
        self.update = state["update"]
        self.learner.load_state_dict(state["learner"])
        self.good = state["good"]
        self.guard.load_state_dict(state["guard"])
        self.kl_coef.value = state["kl_coef"]
        self.rollbacks = state["rollbacks"]
        self.first_mix = state["first_mix"]
        self.log.load_state_dict(state["log"])
