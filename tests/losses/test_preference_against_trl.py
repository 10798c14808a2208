"""One step of TRL's trainers and one under our losses, from the same weights: the same weights.

TRL answers with words and we with titles, so both share a language model here and we take the
log-probabilities of its answers; what is compared is loss, its mean over pairs, and gradient.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest
import torch
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

from seqrec.losses.preference import Answers, PairLogProbs, dpo, ipo, kto, simpo

PAIRS = [("t1 t2 t3", " t4", " t5"), ("t6 t7", " t8 t9", " t1"), ("t2", " t3", " t7 t0")]
BETA, RATE = 0.3, 0.5
WORDS = ["<pad>", "<eos>", *(f"t{number}" for number in range(10))]
OPINIONS = [(prompt, chosen, True) for prompt, chosen, _ in PAIRS]
OPINIONS += [(prompt, rejected, False) for prompt, _, rejected in PAIRS]


@pytest.fixture
def tokenizer():
    words = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("<eos>", "isolated"), pre_tokenizers.WhitespaceSplit()]
    )
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")


def language_model(seed):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=0,
        eos_token_id=1,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config)


def log_prob(model, tokenizer, prompt, answer):
    """Of every token of an answer, the end among them."""
    read = tokenizer(prompt)["input_ids"]
    said = tokenizer(answer + "<eos>")["input_ids"]
    logits = model(torch.tensor([read + said])).logits[0, len(read) - 1 : -1]
    return logits.log_softmax(-1)[torch.arange(len(said)), torch.tensor(said)]


def pair_log_probs(model, tokenizer, pairs):
    found = [
        [log_prob(model, tokenizer, prompt, answer) for answer in answers]
        for prompt, *answers in pairs
    ]
    sums = torch.stack([torch.stack([one.sum() for one in pair]) for pair in found])
    lengths = torch.tensor([[len(one) for one in pair] for pair in found])
    return PairLogProbs(sums[:, 0], sums[:, 1:], sums[:, 0]), Answers(lengths[:, 0], lengths[:, 1:])


def shifted(answers):
    """The answer of the example before, as TRL takes it for KTO."""
    return answers[-1:] + answers[:-1]


def kto_log_probs(model, tokenizer):
    """Of likes and dislikes one by one; what one of them lacks is not there."""
    prompts, said, is_liked = zip(*OPINIONS, strict=True)
    found = [log_prob(model, tokenizer, *one) for one in zip(prompts, said, strict=True)]
    unrelated = [log_prob(model, tokenizer, *o) for o in zip(prompts, shifted(said), strict=True)]
    sums, lengths = torch.stack([one.sum() for one in found]), torch.tensor([*map(len, found)])
    liked = torch.tensor(is_liked)
    log_probs = PairLogProbs(sums, sums[:, None], torch.stack([one.sum() for one in unrelated]))
    return log_probs, Answers(lengths * liked, (lengths * ~liked)[:, None])


def columns(names, rows):
    return Dataset.from_dict(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


class Theirs(NamedTuple):
    """How TRL is asked for a loss, and the loss that is asked of ours."""

    trainer: type
    config: type
    settings: dict
    loss: Callable
    pairs: list = PAIRS


CASES = {
    "dpo": Theirs(
        DPOTrainer,
        DPOConfig,
        {"loss_type": ["sigmoid"]},
        partial(dpo, beta=BETA, label_smoothing=0.0),
    ),
    # TRL smooths labels where it sorts a batch's gaps; of one pair there is nothing to sort
    "dpo, smoothed": Theirs(
        DPOTrainer,
        DPOConfig,
        {"loss_type": ["aot"], "label_smoothing": 0.2},
        partial(dpo, beta=BETA, label_smoothing=0.2),
        PAIRS[:1],
    ),
    "ipo": Theirs(DPOTrainer, DPOConfig, {"loss_type": ["ipo"]}, partial(ipo, beta=BETA)),
    "simpo": Theirs(
        CPOTrainer,
        CPOConfig,
        {"loss_type": "simpo", "simpo_gamma": 0.4, "cpo_alpha": 0.0},
        partial(simpo, beta=BETA, gamma=0.4),
    ),
    "kto": Theirs(
        KTOTrainer,
        KTOConfig,
        {"desirable_weight": 1.0, "undesirable_weight": 1.5},
        partial(kto, beta=BETA, chosen_weight=1.0, rejected_weight=1.5),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_the_step_of_trl(name, tokenizer, tmp_path):
    disable_progress_bar()
    case = CASES[name]
    is_kto = case.trainer is KTOTrainer
    reference, theirs = language_model(0), language_model(1)
    ours = copy.deepcopy(theirs)
    config = case.config(
        output_dir=str(tmp_path),
        per_device_train_batch_size=len(OPINIONS if is_kto else case.pairs),
        max_steps=1,
        learning_rate=RATE,
        optim="sgd",
        lr_scheduler_type="constant",
        max_grad_norm=0,
        beta=BETA,
        disable_dropout=True,
        report_to=[],
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        disable_tqdm=True,
        **case.settings,
    )
    if is_kto:
        table = columns(("prompt", "completion", "label"), OPINIONS)
    else:
        table = columns(("prompt", "chosen", "rejected"), case.pairs)
    against = {} if case.trainer is CPOTrainer else {"ref_model": copy.deepcopy(reference)}
    trainer = case.trainer(
        theirs, args=config, train_dataset=table, processing_class=tokenizer, **against
    )
    trained = trainer.train()

    log_probs = kto_log_probs if is_kto else partial(pair_log_probs, pairs=case.pairs)
    policy, answers = log_probs(ours, tokenizer)
    with torch.no_grad():
        before, _ = log_probs(reference, tokenizer)
    assert (policy.unrelated - before.unrelated).mean() > 0  # or KTO would take it for 0
    mean = case.loss(policy, before, answers).mean()
    mean.backward()
    torch.optim.SGD(ours.parameters(), lr=RATE).step()
    assert trained.training_loss == pytest.approx(float(mean.detach()), rel=1e-4)
    moved = 0.0
    for mine, other, start in zip(
        ours.parameters(), theirs.parameters(), language_model(1).parameters(), strict=True
    ):
        torch.testing.assert_close(mine, other.to(mine.dtype), atol=2e-6, rtol=1e-4)
        moved += float((mine - start).abs().sum())
    assert moved > 0.1
