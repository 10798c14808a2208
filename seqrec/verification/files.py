"""Properties of a model folder: fingerprints, saving and loading, the index of its items."""

import tempfile
from pathlib import Path

import torch
from transformers.utils.logging import disable_progress_bar

from seqrec.data.catalog import catalog_fingerprint, read_model_items
from seqrec.models.folder import ITEMS_FILE
from seqrec.retrieval.exact import TILE_ITEMS, top_k_by_product
from seqrec.retrieval.index import build_index, recall_against_exact, search
from seqrec.retrieval.index_folder import load_index
from seqrec.tokens.tokenizer import load_tokenizer, tokenizer_fingerprint
from seqrec.verification.findings import DoesNotApply, Measured
from seqrec.verification.rows import lay_out
from seqrec.verification.subject import Subject

NUM_QUERIES, K = 64, 10
FLAT_BOUND = 1e-5


def check_fingerprints(folder: Path, config: dict[str, object]) -> Measured:
    """Count fingerprints of a configuration that its folder's files do not have."""
    item_ids = read_model_items(folder / ITEMS_FILE)["item_id"].to_list()
    found = {
        "catalog_fingerprint": catalog_fingerprint(item_ids),
        "tokenizer_fingerprint": tokenizer_fingerprint(load_tokenizer(folder)),
    }
    wrong = [name for name, value in found.items() if config.get(name) != value]
    return Measured(len(wrong), 0, ", ".join(wrong) or "catalog and tokenizer")


@torch.inference_mode()
def check_index(subject: Subject, folder: Path | None) -> Measured:
    """Compare lists of an index of the item vectors with exact ones, score by score.

    Args:
        subject: the model.
        folder: an exported index; None: a flat one of the model's vectors, made here.
    """
    recommender = subject.recommender
    if recommender is None:
        raise DoesNotApply("the model ranks no catalog by item vectors")
    vectors = recommender.item_embeddings()
    if folder is None:
        index, note = build_index(vectors, "flat"), "a flat index, made here"
    else:
        fingerprints = recommender.catalog_fingerprint, recommender.fingerprint
        index = load_index(
            folder, catalog_fingerprint=fingerprints[0], model_fingerprint=fingerprints[1]
        )
        note = str(folder)
    paths = subject.draw_paths([min(subject.longest, K)] * NUM_QUERIES, ())
    rows = lay_out(
        paths.serving,
        [[number] for number in range(NUM_QUERIES)],
        subject.fills,
        width=max(len(one["input_ids"]) for one in paths.serving),
    )
    states = recommender.widen(subject.end_states(rows).float().cpu())
    exact = top_k_by_product(
        states, torch.from_numpy(vectors), min(K, len(vectors)), tile_items=TILE_ITEMS
    )
    found = search(index, states.numpy(), exact.items.shape[1])
    if index.kind != "flat":
        recall = recall_against_exact(found.items, exact.items)
        return Measured(0, 0, f"{note}: recall@{K} {recall:.4f} against exact")
    scale = float(exact.scores.abs().max())
    difference = float((found.scores - exact.scores).abs().max()) / scale
    return Measured(difference, FLAT_BOUND, f"scores of {NUM_QUERIES} lists by {note}")


@torch.inference_mode()
def check_saving(subject: Subject) -> Measured:
    """Count weights that change by saving and loading, and states that the loaded models change.

    The saved folder is loaded by seqrec and by transformers.
    """
    paths = subject.draw_paths([min(subject.longest, 20)] * 4, ())
    width = max(len(one["input_ids"]) for one in paths.serving)
    rows = lay_out(paths.serving, [[n] for n in range(4)], subject.fills, width=width)
    before, states = subject.model.state_dict(), subject.states(subject.model, rows)
    wrong = []
    disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix="seqrec-") as name:
        folder = Path(name)
        subject.save(folder)
        subject.tokenizer.save_pretrained(folder)
        loaded = subject.load(folder)
        saved = load_tokenizer(folder)
    if tokenizer_fingerprint(saved) != tokenizer_fingerprint(subject.tokenizer):
        wrong.append("the tokenizer")
    for way, model in loaded.items():
        after = model.state_dict()
        names = sorted(before.keys() ^ after.keys()) + [
            key for key in before.keys() & after.keys() if not torch.equal(before[key], after[key])
        ]
        wrong += [f"{key} by {way}" for key in names]
        if not torch.equal(subject.states(model, rows), states):
            wrong.append(f"states by {way}")
    example = f"; {wrong[0]} differs" if wrong else ""
    return Measured(len(wrong), 0, f"{len(before)} weights by 2 loaders, bit for bit{example}")
