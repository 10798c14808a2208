"""A seqrec model under accelerate, with the collator of its tokenizer."""

import torch
from accelerate import Accelerator
from transformers import AutoTokenizer, DataCollatorForLanguageModeling, Trainer, TrainingArguments

from seqrec.models.folder import load_model
from seqrec.tokens.tokenizer import history_text
from tests.conftest import save_small_model


def histories(tokenizer, number):
    """Histories of consecutive items, of several lengths."""
    texts = [history_text(f"t{n + step}" for step in range(4 + n % 5)) for n in range(number)]
    return [{"input_ids": ids} for ids in tokenizer(texts)["input_ids"]]


def test_a_loop_of_accelerate_lowers_the_loss_as_a_plain_loop_does(tmp_path):
    folder = save_small_model(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    collate = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    rows = histories(tokenizer, 64)

    def train(accelerator):
        model = load_model(folder).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        loader = torch.utils.data.DataLoader(rows, batch_size=16, collate_fn=collate)
        if accelerator is not None:
            model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        losses = []
        for _ in range(4):
            for batch in loader:
                loss = model(**batch).loss
                loss.backward() if accelerator is None else accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.item())
        return losses

    plain, accelerated = train(None), train(Accelerator(cpu=True))
    assert plain[-1] < plain[0] - 1
    torch.testing.assert_close(torch.tensor(accelerated), torch.tensor(plain))


def test_the_collator_pads_and_the_padding_counts_nothing(tmp_path):
    folder = save_small_model(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = load_model(folder)
    rows = histories(tokenizer, 3)
    batch = DataCollatorForLanguageModeling(tokenizer, mlm=False)(rows)
    assert (batch["labels"] == -100).sum() == (batch["attention_mask"] == 0).sum() > 0
    parts = [torch.tensor([row["input_ids"]]) for row in rows]
    sums = [model(input_ids=part, labels=part).loss * (part.shape[1] - 1) for part in parts]
    counted = sum(part.shape[1] - 1 for part in parts)
    torch.testing.assert_close(model(**batch).loss, sum(sums) / counted)


def test_the_trainer_saves_a_model_that_seqrec_loads(tmp_path):
    folder = save_small_model(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    trainer = Trainer(
        model=load_model(folder).train(),
        args=TrainingArguments(
            output_dir=str(tmp_path / "out"),
            max_steps=3,
            per_device_train_batch_size=16,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=histories(tokenizer, 48),
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        processing_class=tokenizer,
    )
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    loaded, trained = load_model(tmp_path / "saved"), trainer.model.eval()
    for name, weight in loaded.state_dict().items():
        assert torch.equal(weight, trained.state_dict()[name]), name
