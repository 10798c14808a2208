"""What a slate is worth: rules, somebody's own function, a learned model, and mixtures of them."""

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
    """SlateRewards slates; a larger score is better."""

    name: str

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        """A number for every slate of every history."""
        ...


class Hit:
    """The share of a slate's titles that the user went on to watch."""

    name = "hit"

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        pairs = zip(slates, prompts.later, strict=True)
        return np.stack([np.isin(items, later).mean(axis=1) for items, later in pairs])


class Rating:
    """The mean over a slate's titles of how the user went on to rate them; 0 if never watched."""

    name = "rating"

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        if prompts.later_ratings is None:
            raise SeqRecError("reward rating: the log has no column rating")
        scores = np.zeros(slates.shape)
        triples = zip(slates, prompts.later, prompts.later_ratings, strict=True)
        for row, (items, later, ratings) in enumerate(triples):
            order = np.argsort(later, kind="stable")
            place = np.searchsorted(later[order], items).clip(max=max(len(later) - 1, 0))
            if len(later):
                is_hit = later[order][place] == items
                scores[row] = np.where(is_hit, ratings[order][place], 0)
        return scores.mean(axis=2)


class Diversity:
    """``evaluation.beyond.diversity`` of a slate."""

    name = "diversity"

    def __init__(self, genres: Bool[np.ndarray, "I C"]) -> None:
        self._genres = genres

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        found = diversity(slates.reshape(-1, slates.shape[2]), self._genres)
        return found.reshape(slates.shape[:2])


class Novelty:
    """``evaluation.beyond.novelty`` of a slate, as a share of the rarest title's."""

    name = "novelty"

    def __init__(self, item_counts: Int[np.ndarray, " I"]) -> None:
        information = self_information(item_counts)
        self._information = information / information.max()

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        return self._information[slates].mean(axis=2)


class Freshness:
    """The mean over a slate's titles of the share of the catalog that is older, by a number."""

    name = "freshness"

    def __init__(self, years: Float[np.ndarray, " I"]) -> None:
        """Titles whose number is NaN are as the middle one.

        Args:
            years: of release, or any number that grows with freshness.
        """
        filled = np.where(np.isnan(years), np.nanmedian(years), years)
        older = np.searchsorted(np.sort(filled), filled)
        self._share = older / max(len(years) - 1, 1)

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        return self._share[slates].mean(axis=2)


class Format:
    """The share of a slate's titles that keep to what was planned before it.

    A title keeps to a plan of one feature if it has the value that was said; of several, it is
    the share of them of which that is so.
    """

    name = "format"

    def __init__(self, item_codes: Int[np.ndarray, "I P"]) -> None:
        """Hold what the titles are.

        Args:
            item_codes: of every item, the code of each feature that is planned.
        """
        self._item_codes = item_codes

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        assert prompts.plans is not None
        keeps = self._item_codes[slates] == prompts.plans[:, :, None]
        return keeps.mean(axis=(2, 3))


class LearnedReward:
    """What a reward model says of slates: the mean chance of their titles being liked.

    Of a model that has learned from labelled slates, the logistic of the titles' mean logit. A
    history is encoded once for all that is asked after it.
    """

    name = "model"

    def __init__(self, model: SeqRecForReward) -> None:
        self._model = model.eval()
        config = model.config
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
        """What the model knows after every history."""
        if prompts.past_ratings is None:
            raise SeqRecError("reward model: the log has no column rating")
        levels = self._model.config.rating_levels
        packed, history_of = pack_prompts(
            prompts.histories,
            [rating_rows(ratings, levels) for ratings in prompts.past_ratings],
            self._tokens,
            self._model.config.max_length,
        )
        read = self._model.states(*map(torch.from_numpy, packed[:3]))
        states = torch.empty_like(read)
        states[torch.from_numpy(history_of)] = read
        return states


RewardFunction = Callable[[list[list[str]], list[list[list[str]]]], Sequence[Sequence[float]]]
"""From histories and slates of item ids to a number a slate."""


class FunctionReward:
    """Somebody's own function, which is given a time limit."""

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
        return self._within(lambda: self._function(histories, lists))

    def _within(self, call: Callable[[], object]) -> SlateRewards:
        """The call's answer; a call that takes too long is left behind in its thread."""
        answer: list[object] = []
        error: list[BaseException] = []

        def work() -> None:
            try:
                answer.append(call())
            except BaseException as raised:  # SystemExit, too, would end the thread unheard
                error.append(raised)

        thread = threading.Thread(target=work, daemon=True, name=f"reward {self.name}")
        thread.start()
        thread.join(self._max_seconds)
        if error:
            reason = f"{type(error[0]).__name__}: {error[0]}".partition("\n")[0]
            raise SeqRecError(f"reward {self.name}: raised {reason}") from error[0]
        if not answer:
            raise SeqRecError(f"reward {self.name}: no answer within {self._max_seconds:g} seconds")
        try:
            return np.asarray(answer[0], dtype=np.float64)
        except (TypeError, ValueError) as raised:
            raise SeqRecError(f"reward {self.name}: answers no numbers") from raised


class Mixture:
    """A weighted sum of rewards."""

    def __init__(self, rewards: Sequence[tuple[float, Reward]]) -> None:
        self.rewards = list(rewards)
        self.name = " + ".join(f"{weight:g} {reward.name}" for weight, reward in rewards)

    def score(self, prompts: Prompts, slates: SlateItems) -> SlateRewards:
        return sum(
            (weight * checked(reward, prompts, slates) for weight, reward in self.rewards),
            np.zeros(slates.shape[:2]),
        )


def checked(reward: Reward, prompts: Prompts, slates: SlateItems) -> SlateRewards:
    """A reward's scores.

    Raises:
        SeqRecError: as many as there are slates, or numbers, they are not.
    """
    scores = reward.score(prompts, slates)
    if scores.shape != slates.shape[:2]:
        raise SeqRecError(
            f"reward {reward.name}: answers {scores.shape} numbers for {slates.shape[:2]} slates"
        )
    if not np.isfinite(scores).all():
        raise SeqRecError(
            f"reward {reward.name}: {int((~np.isfinite(scores)).sum())} of {scores.size} scores "
            "are not finite numbers"
        )
    return scores
