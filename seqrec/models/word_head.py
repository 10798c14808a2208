"""The word head of a causal language model, and the states that it reads, as tensors."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from seqrec.errors import SeqRecError
from seqrec.models.document_attention import segment_arguments
from seqrec.models.document_kernel import Segments

SCALED_LOGITS = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""Settings of a configuration by which a model changes its logits."""


def check_word_head(model: Any) -> None:
    """Refuse a model whose logits are not the products of states and rows of its head.

    Raises:
        SeqRecError: no head, a bias, or logits that are scaled or capped.
    """
    head = model.get_output_embeddings()
    scaled = [name for name in SCALED_LOGITS if getattr(model.config, name, None) not in (None, 1)]
    if head is None or getattr(head, "bias", None) is not None or scaled:
        reason = scaled[0] if scaled else "no head, or a bias"
        raise SeqRecError(
            f"model.backbone: the word head of {type(model).__name__} is no plain product of "
            f"states and rows ({reason}); use another decoder"
        )


def word_states(
    model: Any,
    input_ids: Int[Tensor, "1 N"],
    position_ids: Int[Tensor, "1 N"],
    segments: Segments,
) -> Float[Tensor, "N D"]:
    """Return the decoder's last state at every position of a row of segments.

    Args:
        model: a causal language model that reads packed texts, or an adapter around one.
        input_ids: the tokens.
        position_ids: the place of each token in its text.
        segments: the texts; some may go on from an earlier one.
    """
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder = plain.get_decoder()
    arguments = segment_arguments(segments, input_ids.device)
    output = decoder(input_ids=input_ids, position_ids=position_ids, **arguments)
    return output.last_hidden_state[0]


def word_weight(model: Any) -> Float[Tensor, "V D"]:
    """Return the rows of the word head, those that an adapter trains included."""
    return model.get_output_embeddings().weight
