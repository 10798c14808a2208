"""``python -m benchmarks.serving.simulated NUM_ITEMS RETRIEVAL``: serve a simulated catalog.

Item vectors are drawn around a thousandth as many centres, with norms that differ by half; the
decoder has random weights, so a state lies near the last items of its history. Nothing is learned:
only the work of ranking is real. An HNSW index is built once and kept; ``build`` goes on where it
was stopped.
"""

import argparse
import time
from pathlib import Path

import faiss
import numpy as np
import polars as pl
import torch

import seqrec
from benchmarks.engine.prepared import FOLDER
from seqrec.data.catalog import catalog_fingerprint
from seqrec.models import SeqRecConfig, SeqRecDecoderConfig, SeqRecForNextItem
from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.index import ItemIndex, build_index
from seqrec.retrieval.index_folder import save_index
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.tokenizer import ItemTokens

WIDTH = 64
FIRST_TOKEN = 2
ITEMS_PER_CENTRE = 1000
NOISE, NORM_SPREAD = 0.6, 0.2
SEED = 0
TIMEOUT = 60.0
"""Seconds of a request: exact lists of twenty histories over the largest catalogs take some."""
PARTIAL = "partial.faiss"
CHUNK = 1 << 20
PART_ITEMS = 5_000
SECONDS_BETWEEN_SAVES = 60.0
"""Time of building an index between two saves; the whole of it is written each time."""


def simulate_vectors(num_items: int) -> torch.Tensor:
    """Return the item vectors of a simulated catalog."""
    generator = torch.Generator().manual_seed(SEED)
    centres = torch.randn(max(num_items // ITEMS_PER_CENTRE, 10), WIDTH, generator=generator)
    vectors = torch.empty(num_items, WIDTH)
    for start in range(0, num_items, CHUNK):
        part = vectors[start : start + CHUNK]
        chosen = torch.randint(len(centres), (len(part),), generator=generator)
        noise = torch.randn(part.shape, generator=generator)
        norms = torch.exp(NORM_SPREAD * torch.randn(len(part), 1, generator=generator))
        part.copy_((centres[chosen] + NOISE * noise) * norms / WIDTH**0.5)
    return vectors


def build_recommender(num_items: int) -> Recommender:
    """Return a recommender of a simulated catalog, in memory."""
    vocabulary = num_items + 64
    backbone = SeqRecDecoderConfig(
        block="llama",
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        dropout=0.0,
        item_dropout=0.0,
        relative_bias=False,
        gated_residual=False,
        initializer_range=0.02,
        norm_eps=1e-6,
        rope_theta=10_000.0,
        pad_token_id=0,
    )
    config = SeqRecConfig(
        backbone_config=backbone,
        head="tied",
        causal=True,
        cosine_scale=None,
        num_items=num_items,
        padded_num_items=vocabulary,
        first_item_token=FIRST_TOKEN,
        max_length=64,
        catalog_fingerprint="simulated",
        tokenizer_fingerprint="simulated",
        content=None,
        transition_prior=None,
    )
    torch.manual_seed(SEED)
    model = SeqRecForNextItem(config).eval()
    with torch.no_grad():
        weight = model.get_input_embeddings().weight
        weight[FIRST_TOKEN : FIRST_TOKEN + num_items] = simulate_vectors(num_items)
    numbers = pl.Series("item", np.arange(num_items, dtype=np.uint32))
    items = pl.DataFrame(numbers).with_columns(
        item_id=numbers.cast(pl.String),
        title="Title " + numbers.cast(pl.String),
        num_interactions=pl.lit(1, dtype=pl.Int64),
    )
    ids = items["item_id"]
    tokens = ItemTokens(OneTokenItems(FIRST_TOKEN, num_items), 0, 1)
    return Recommender("simulated", model, tokens, items, catalog_fingerprint(ids))


def index_folder(recommender: Recommender) -> Path:
    """Return the folder of the HNSW index of a simulated catalog, built once."""
    folder = FOLDER / "indexes" / f"hnsw-{recommender.num_items}"
    if not (folder / "index.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        save_index(
            ItemIndex("hnsw", build_in_parts(recommender.item_embeddings(), folder)),
            folder,
            catalog_fingerprint=recommender.catalog_fingerprint,
            model_fingerprint=recommender.fingerprint,
        )
        (folder / PARTIAL).unlink(missing_ok=True)
    return folder


def build_in_parts(vectors: np.ndarray, folder: Path) -> faiss.Index:
    """Return an HNSW index, saved now and then."""
    file = folder / PARTIAL
    if file.exists():
        index = faiss.read_index(str(file))
    else:
        index = build_index(vectors[:PART_ITEMS], "hnsw").faiss_index
    saved = time.monotonic()
    while index.ntotal < len(vectors):
        index.add(vectors[index.ntotal : index.ntotal + PART_ITEMS])
        if time.monotonic() - saved < SECONDS_BETWEEN_SAVES:
            continue
        saved, new = time.monotonic(), file.with_suffix(".new")
        faiss.write_index(index, str(new))
        new.replace(file)
        print(f"{index.ntotal:,} of {len(vectors):,}", flush=True)
    return index


def main() -> None:
    """Serve a catalog, or only build its index."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("num_items", type=int)
    parser.add_argument("retrieval", choices=("flat", "hnsw", "build"))
    options = parser.parse_args()
    recommender = build_recommender(options.num_items)
    if options.retrieval == "build":
        print(index_folder(recommender))
        return
    retrieval = "flat"
    if options.retrieval == "hnsw":
        retrieval = str(index_folder(recommender))
    seqrec.serve(
        recommender,
        port=0,
        retrieval=retrieval,
        access_log=False,
        timeout=TIMEOUT,
        say=lambda line: print(line, flush=True),
    )


if __name__ == "__main__":
    main()
