"""One step of TRL's DPOTrainer and one under our losses, from the same weights: the same weights.

TRL answers with words and we with titles, so both share a language model here and we take the
log-probabilities of its answers; what is compared is loss, its mean over pairs, and gradient.
"""

import copy
from functools import partial

import pytest
import torch
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

from seqrec.losses.preference import Answers, PairLogProbs, dpo, ipo

PAIRS = [("t1 t2 t3", " t4", " t5"), ("t6 t7", " t8 t9", " t1"), ("t2", " t3", " t7 t0")]
BETA, RATE = 0.3, 0.5
WORDS = ["<pad>", "<eos>", *(f"t{number}" for number in range(10))]
LOSSES = {
    "sigmoid": partial(dpo, beta=BETA, label_smoothing=0.0),
    "ipo": partial(ipo, beta=BETA),
}
"""By TRL's names."""


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


def pair_log_probs(model, tokenizer):
    found = [
        [log_prob(model, tokenizer, prompt, answer) for answer in answers]
        for prompt, *answers in PAIRS
    ]
    sums = torch.stack([torch.stack([one.sum() for one in pair]) for pair in found])
    lengths = torch.tensor([[len(one) for one in pair] for pair in found])
    return PairLogProbs(sums[:, 0], sums[:, 1:], sums[:, 0]), Answers(lengths[:, 0], lengths[:, 1:])


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_is_the_step_of_trl(name, tokenizer, tmp_path):
    disable_progress_bar()
    reference, theirs = language_model(1), language_model(0)
    ours = copy.deepcopy(theirs)
    config = DPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=len(PAIRS),
        max_steps=1,
        learning_rate=RATE,
        optim="sgd",
        lr_scheduler_type="constant",
        max_grad_norm=0,
        beta=BETA,
        loss_type=[name],
        disable_dropout=True,
        report_to=[],
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        disable_tqdm=True,
    )
    prompts, chosen, rejected = zip(*PAIRS, strict=True)
    table = {"prompt": prompts, "chosen": chosen, "rejected": rejected}
    trainer = DPOTrainer(
        theirs,
        copy.deepcopy(reference),
        args=config,
        train_dataset=Dataset.from_dict(table),
        processing_class=tokenizer,
    )
    trained = trainer.train()

    policy, answers = pair_log_probs(ours, tokenizer)
    with torch.no_grad():
        before, _ = pair_log_probs(reference, tokenizer)
    mean = LOSSES[name](policy, before, answers).mean()
    mean.backward()
    torch.optim.SGD(ours.parameters(), lr=RATE).step()
    assert trained.training_loss == pytest.approx(float(mean.detach()), rel=1e-4)
    moved = 0.0
    for mine, other, start in zip(
        ours.parameters(), theirs.parameters(), language_model(0).parameters(), strict=True
    ):
        torch.testing.assert_close(mine, other.to(mine.dtype), atol=2e-6, rtol=1e-4)
        moved += float((mine - start).abs().sum())
    assert moved > 0.1
