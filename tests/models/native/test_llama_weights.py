"""The Llama block against transformers' own."""

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from seqrec.errors import SeqRecError
from seqrec.models import SeqRecDecoder
from seqrec.models.native.llama_weights import from_llama, to_llama
from tests.conftest import small_config


def test_transformers_llama_with_our_weights_gives_our_outputs():
    decoder = SeqRecDecoder(small_config("llama").backbone_config).eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    tokens = torch.randint(0, 128, (3, 16))
    ours = decoder(tokens).last_hidden_state
    theirs = to_llama(decoder)(tokens).last_hidden_state
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_our_decoder_with_transformers_weights_gives_their_outputs():
    llama = LlamaModel(
        LlamaConfig(
            vocab_size=50,
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=3,
            num_attention_heads=3,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
            initializer_range=0.2,
        )
    ).eval()
    tokens = torch.randint(0, 50, (2, 11))
    decoder = from_llama(llama)
    torch.testing.assert_close(
        decoder(tokens).last_hidden_state, llama(tokens).last_hidden_state, rtol=1e-4, atol=1e-5
    )
    back = to_llama(decoder).state_dict()
    assert all(torch.equal(back[name], tensor) for name, tensor in llama.state_dict().items())


def test_what_the_native_block_lacks_is_refused():
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    with pytest.raises(SeqRecError, match="grouped keys"):
        from_llama(LlamaModel(config))
    with pytest.raises(SeqRecError, match="only plain block llama"):
        to_llama(SeqRecDecoder(small_config("sasrec").backbone_config))
