"""Properties of decoders: step by step as at once, and as another implementation."""

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import LlamaModel, PreTrainedModel

from seqrec.errors import SeqRecError
from seqrec.models.native.decoder import SeqRecDecoder
from seqrec.models.native.llama_weights import from_llama, to_llama
from seqrec.verification.findings import DoesNotApply, Measured
from seqrec.verification.subject import Subject

NUM_ROWS, NUM_STEPS, MOST_TOKENS = 4, 8, 64


@torch.inference_mode()
def check_cache(subject: Subject) -> Measured:
    """Compare states of the last tokens, decoded one by one with a cache, with a full pass's."""
    tokens = _draw_tokens(subject, MOST_TOKENS)
    num_steps = min(NUM_STEPS, tokens.shape[1] - 1)
    found = subject.decode(tokens, num_steps)
    expected = subject.full_states(tokens)[:, -num_steps:]
    difference = float((found - expected).abs().max() / expected.abs().max())
    return Measured(difference, subject.float_bound, f"{NUM_ROWS} rows, {num_steps} steps")


@torch.inference_mode()
def check_against_llama(subject: Subject) -> Measured:
    """Compare states of every decoder with the other implementation of the same weights.

    A native decoder of plain Llama blocks is converted to transformers' Llama and back, and a Llama
    of transformers to the native one and back: both conversions must keep the states, and the round
    trip every bit of the weights.
    """
    difference, num_changed = 0.0, 0
    decoders = subject.decoders()
    for decoder in decoders:
        other, again = _convert_twice(decoder)
        weights = decoder.state_dict()
        kept = again.state_dict()
        num_changed += sum(
            not torch.equal(kept[name], weights[name]) for name in kept if name in weights
        )
        vectors = decoder.get_input_embeddings()(_draw_tokens(subject, MOST_TOKENS))
        states, expected = (
            model.eval()(inputs_embeds=vectors).last_hidden_state for model in (other, decoder)
        )
        difference = max(difference, float((states - expected).abs().max() / expected.abs().max()))
    note = f"{len(decoders)} decoders, to the other implementation and back"
    if num_changed:
        return Measured(num_changed, 0, f"{note}; weights that the round trip changed")
    return Measured(difference, subject.float_bound, note)


def _convert_twice(decoder: PreTrainedModel) -> tuple[PreTrainedModel, PreTrainedModel]:
    """Return a decoder in the other implementation, and back in its own."""
    try:
        if isinstance(decoder, SeqRecDecoder):
            llama = to_llama(decoder)
            return llama, from_llama(llama)
        if isinstance(decoder, LlamaModel):
            native = from_llama(decoder)
            return native, to_llama(native)
    except SeqRecError as error:
        raise DoesNotApply(str(error)) from error
    raise DoesNotApply(
        f"{type(decoder).__name__} is transformers' own; only Llama has a native twin"
    )


def _draw_tokens(subject: Subject, num_tokens: int) -> Int[Tensor, "B T"]:
    """Return rows of tokens of histories, all of one length."""
    histories = subject.draw_paths([subject.longest + 1] * NUM_ROWS, ()).serving
    length = min(num_tokens, *(len(one["input_ids"]) for one in histories))
    return torch.stack([torch.from_numpy(one["input_ids"][-length:]) for one in histories])
