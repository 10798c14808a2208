"""Rewards of slates: rules, a user's function, a reward model, and weighted sums of them."""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from seqrec.errors import SeqRecError
from seqrec.evaluation.beyond_accuracy import diversity, self_information
from seqrec.models.reward import SeqRecForReward
from seqrec.rl.prompts import Prompts
from seqrec.tokens.streams.rated_packing import pack_prompts
from seqrec.tokens.streams.ratings import rating_rows
from seqrec.tokens.tokenizer import ItemTokens

SlateItems = Int[np.ndarray, "B G K"]
SlateRewards = Float[np.ndarray, "B G"]


class Reward(Protocol):
    """Scores slates; a larger score is better."""

    name: str
    is_itemwise: bool
    """The score of a slate is the mean of its items' scores."""

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        """Return a score for every slate of every history."""
        ...


class Hit:
    """The share of a slate's items among the user's next interactions."""

    name = "hit"
    is_itemwise = True

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        pairs = zip(slates, prompts.later, strict=True)
        return np.stack([np.isin(items, later).mean(axis=1) for items, later in pairs])


class Rating:
    """The mean of the user's next ratings of a slate's items; 0 for items that do not follow."""

    name = "rating"
    is_itemwise = True

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        if prompts.later_ratings is None:
            raise SeqRecError("reward rating: the log has no column rating")
        scores = np.zeros(slates.shape)
        triples = zip(slates, prompts.later, prompts.later_ratings, strict=True)
        for row, (items, later, ratings) in enumerate(triples):
            order = np.argsort(later, kind="stable")
            index = np.searchsorted(later[order], items).clip(max=max(len(later) - 1, 0))
            if len(later):
                is_hit = later[order][index] == items
                scores[row] = np.where(is_hit, ratings[order][index], 0)
        return scores.mean(axis=2)


class Diversity:
    """The ``diversity`` of a slate (``evaluation.beyond_accuracy``)."""

    name = "diversity"
    is_itemwise = False

    def __init__(self, genres: Bool[np.ndarray, "I C"]) -> None:
        self._genres = genres

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        values = diversity(slates.reshape(-1, slates.shape[2]), self._genres)
        return values.reshape(slates.shape[:2])


class Novelty:
    """The mean self-information of a slate's items, as a share of the rarest item's."""

    name = "novelty"
    is_itemwise = True

    def __init__(self, item_counts: Int[np.ndarray, " I"]) -> None:
        information = self_information(item_counts)
        self._information = information / information.max()

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        return self._information[slates].mean(axis=2)


class Freshness:
    """The mean over a slate's items of the share of the catalog that is older."""

    name = "freshness"
    is_itemwise = True

    def __init__(self, years: Float[np.ndarray, " I"]) -> None:
        """Compute the shares; an item without a number has the median.

        Args:
            years: years of release, or another number that grows with freshness; NaN if unknown.
        """
        filled = np.where(np.isnan(years), np.nanmedian(years), years)
        older = np.searchsorted(np.sort(filled), filled)
        self._share = older / max(len(years) - 1, 1)

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        return self._share[slates].mean(axis=2)


class Format:
    """The share of the planned feature values that a slate's items have."""

    name = "format"
    is_itemwise = False

    def __init__(self, item_codes: Int[np.ndarray, "I P"]) -> None:
        """Set the features of the items.

        Args:
            item_codes: code of each planned feature, for every item.
        """
        self._item_codes = item_codes

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        assert prompts.plans is not None
        is_planned = self._item_codes[slates] == prompts.plans[:, :, None]
        return is_planned.mean(axis=(2, 3))


class LearnedReward:
    """A reward model's mean probability that the user likes the items of a slate.

    For a model trained on labelled slates it is the sigmoid of the items' mean logit. A history is
    encoded once for all of its slates.
    """

    name = "model"

    def __init__(self, model: SeqRecForReward) -> None:
        self._model = model.eval()
        config = model.config
        self.is_itemwise = config.liked is not None
        self._tokens = ItemTokens(
            config.item_blocks,
            pad_token_id=model.pad_token_id,
            unknown_token_id=model.pad_token_id,
        )

    @torch.inference_mode()
    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        items = torch.from_numpy(np.asarray(slates, dtype=np.int64))
        states = self.states(prompts)[:, None, None].expand(*items.shape, -1)
        logits = self._model.mean_logits(states, items).double()
        if self._model.config.liked is None:
            return torch.sigmoid(logits.mean(dim=2)).numpy()
        return torch.sigmoid(logits).mean(dim=2).numpy()

    @torch.inference_mode()
    def states(self, prompts: Prompts) -> Float[torch.Tensor, "B D"]:
        """Return the reward model's state after every history."""
        if prompts.past_ratings is None:
            raise SeqRecError("reward model: the log has no column rating")
        levels = self._model.config.rating_levels
        packed, history_of = pack_prompts(
            prompts.histories,
            [rating_rows(ratings, levels) for ratings in prompts.past_ratings],
            self._tokens,
            self._model.config.max_length,
        )
        packed_states = self._model.states(*map(torch.from_numpy, packed[:3]))
        states = torch.empty_like(packed_states)
        states[torch.from_numpy(history_of)] = packed_states
        return states


MAX_REWARD = 1e12
"""Largest size of a score, beyond which its products in float32 overflow."""
RewardFunction = Callable[[list[list[str]], list[list[list[str]]]], Sequence[Sequence[float]]]
"""Returns a number for each slate, from histories and slates of item ids."""


class FunctionReward:
    """A user's function, with a time limit."""

    is_itemwise = False
    """Unknown, as for any function."""

    def __init__(
        self, function: RewardFunction, item_ids: Sequence[str], name: str, max_seconds: float
    ) -> None:
        self.name = name
        self._function = function
        self._item_ids = np.array(item_ids, dtype=object)
        self._max_seconds = max_seconds

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        histories = [self._item_ids[history].tolist() for history in prompts.histories]
        lists = self._item_ids[slates].tolist()
        return self._run(lambda: self._function(histories, lists))

    def _run(self, call: Callable[[], object]) -> SlateRewards:
        """Return the result of the call; a call that takes too long stays in its thread.

        Raises:
            SeqRecError: the call raises, takes too long, or returns no numbers.
        """
        result: list[object] = []
        error: list[BaseException] = []

        def work() -> None:
            try:
                result.append(call())
            except BaseException as raised:  # SystemExit would end the thread silently
                error.append(raised)

        thread = threading.Thread(target=work, daemon=True, name=f"reward {self.name}")
        thread.start()
        thread.join(self._max_seconds)
        if error:
            reason = f"{type(error[0]).__name__}: {error[0]}".partition("\n")[0]
            raise SeqRecError(f"reward {self.name}: raised {reason}") from error[0]
        if not result:
            raise SeqRecError(f"reward {self.name}: no result within {self._max_seconds:g} seconds")
        try:
            return np.asarray(_detach(result[0]), dtype=np.float64)
        except Exception as raised:  # a user's object may raise any error when it is read
            raise SeqRecError(f"reward {self.name}: returns no numbers") from raised


def _detach(value: object) -> object:
    """Return a tensor without its gradient, within lists too; any other value as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().double()
    return [_detach(part) for part in value] if isinstance(value, list | tuple) else value


class Mixture:
    """A weighted sum of rewards."""

    def __init__(self, rewards: Sequence[tuple[float, Reward]]) -> None:
        self.rewards = list(rewards)
        self.is_itemwise = all(reward.is_itemwise for _, reward in rewards)
        self.name = " + ".join(f"{weight:g} {reward.name}" for weight, reward in rewards)

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        return sum(
            (weight * compute_rewards(reward, prompts, slates) for weight, reward in self.rewards),
            np.zeros(slates.shape[:2]),
        )


def compute_rewards(reward: Reward, prompts: Prompts, slates: SlateItems) -> SlateRewards:
    """Return a reward's scores of slates.

    Raises:
        SeqRecError: a wrong number of scores, or scores that are not finite.
    """
    scores = reward.score(prompts, slates)
    if scores.shape != slates.shape[:2]:
        raise SeqRecError(
            f"reward {reward.name}: returns {scores.shape} numbers for {slates.shape[:2]} slates"
        )
    if not np.isfinite(scores).all():
        raise SeqRecError(
            f"reward {reward.name}: {int((~np.isfinite(scores)).sum())} of {scores.size} scores "
            "are not finite numbers"
        )
    if (np.abs(scores) > MAX_REWARD).any():
        raise SeqRecError(
            f"reward {reward.name}: a score is {np.abs(scores).max():.3g}; scale the reward to at "
            f"most {MAX_REWARD:g}"
        )
    return scores
