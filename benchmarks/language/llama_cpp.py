"""A language model that was tuned here, converted to GGUF and served by llama.cpp.

``LLAMA_CPP`` names a folder of llama.cpp's source, whose ``convert_hf_to_gguf.py`` converts (it
needs sentencepiece); the package xllamacpp serves. Both belong to no extra of seqrec.
"""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.engine.measure import Failed
from benchmarks.engine.prepared import FOLDER, Missing
from benchmarks.engine.rows import Row, at_most, row
from benchmarks.language.texts import BACKBONE, simulate_chats
from benchmarks.quality.table import seqrec
from seqrec.verification.texts import draw_texts

NAME = Path(__file__).stem
MODULE = "benchmarks.language"
NUM_CHATS, NUM_TEXTS, NUM_TOKENS, SEED = 16, 1000, 16, 0
QUESTIONS = ("What is gravity?", "Name a film of 1995.", "How do I cook rice for 12 people?")
CONVERTER = "convert_hf_to_gguf.py"


def measure(quick: bool) -> Iterator[Row]:
    """Texts that llama.cpp reads as other tokens, and answers that it gives otherwise."""
    source = Path(os.environ.get("LLAMA_CPP", ""))
    if not (source / CONVERTER).is_file() or find_spec("xllamacpp") is None:
        raise Missing(f"LLAMA_CPP: no folder with {CONVERTER}, or xllamacpp is not installed")
    folder = FOLDER / ("quick" if quick else "runs") / "llama-cpp"
    if not folder.exists():
        train(folder)
    model = folder / "model"
    file = convert(source, model)
    tokenizer: Any = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    server = serve(file)
    texts = [*draw_texts(NUM_TEXTS, [], np.random.default_rng(SEED)), "a  7", "12  345 x"]
    num_different = sum(
        ask(server, "/tokenize", content=text, add_special=False, parse_special=True)["tokens"]
        != tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in texts
    )
    work = f"SmolLM2-135M, LoRA on {NUM_CHATS} chats, through GGUF: "
    text = f"{work}texts of {len(texts):,} that have other tokens"
    yield row(NAME, text, [num_different], "", target=at_most(0), module=MODULE)
    plain = AutoModelForCausalLM.from_pretrained(model, trust_remote_code=False).eval()
    num_other = sum(
        answer_by_llama_cpp(server, question) != answer(plain, tokenizer, question)
        for question in QUESTIONS
    )
    text = f"{work}answers of {len(QUESTIONS)} that differ in their first {NUM_TOKENS} tokens"
    yield row(NAME, text, [num_other], "", target=at_most(0), module=MODULE)


def train(folder: Path) -> None:
    """Tune SmolLM2 on a few chats; what was begun goes on."""
    chats = folder.with_suffix(".jsonl")
    chats.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(chat) + "\n" for chat in simulate_chats(NUM_CHATS, SEED)]
    chats.write_text("".join(lines), encoding="utf-8")
    settings = {
        "model.backbone": BACKBONE,
        "model.tuning.name": "lora",
        "trainer.max_epochs": 1,
        "trainer.accumulate_batches": 1,
        "trainer.warmup_steps": 0,
    }
    given = [f"{key}={value}" for key, value in settings.items()]
    given += ["--resume"] if folder.with_name(f"{folder.name}.partial").exists() else []
    seqrec("train", "text-sft", "--data", str(chats), "--out", str(folder), *given)


def convert(source: Path, model: Path) -> Path:
    """Return the model as a GGUF file of float32 weights."""
    file = model.with_suffix(".gguf")
    paths = os.pathsep.join([str(source / "gguf-py"), *sys.path])
    done = subprocess.run(
        [sys.executable, source / CONVERTER, model, "--outtype", "f32", "--outfile", file],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Failed(done.stderr.strip().splitlines()[-1])
    return file


def serve(file: Path) -> Any:
    """Return llama.cpp's server of a GGUF file, in this process."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.n_ctx, settings.n_parallel, settings.warmup = 512, 1, False
    return xllamacpp.Server(settings)


def ask(server: Any, path: str, **body: Any) -> Any:
    """Return what the server answers."""
    data, head = json.dumps(body).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(server.listening_address + path, data, head)
    with urllib.request.urlopen(request) as answered:
        return json.load(answered)


def answer_by_llama_cpp(server: Any, question: str) -> str:
    """Return the likeliest answer by llama.cpp."""
    messages = [{"role": "user", "content": question}]
    settings = {"messages": messages, "max_tokens": NUM_TOKENS, "temperature": 0}
    found = ask(server, "/v1/chat/completions", **settings)
    return str(found["choices"][0]["message"]["content"]).strip()


@torch.inference_mode()
def answer(model: Any, tokenizer: Any, question: str) -> str:
    """Return the likeliest answer by transformers."""
    given = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    made = model.generate(**given, max_new_tokens=NUM_TOKENS, do_sample=False)
    new = made[0, given["input_ids"].shape[1] :]
    return str(tokenizer.decode(new, skip_special_tokens=True)).strip()
