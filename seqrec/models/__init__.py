"""The decoder and its heads as Hugging Face models; importing registers the Auto classes."""

from transformers import AutoConfig, AutoModel

from seqrec.models.configuration import SeqRecConfig, SeqRecDecoderConfig, SeqRecRewardConfig
from seqrec.models.ensemble import EnsembleConfig, EnsembleDecoder
from seqrec.models.native.decoder import SeqRecDecoder
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.reward import SeqRecForReward

AutoConfig.register(SeqRecDecoderConfig.model_type, SeqRecDecoderConfig, exist_ok=True)
AutoConfig.register(EnsembleConfig.model_type, EnsembleConfig, exist_ok=True)
AutoConfig.register(SeqRecConfig.model_type, SeqRecConfig, exist_ok=True)
AutoConfig.register(SeqRecRewardConfig.model_type, SeqRecRewardConfig, exist_ok=True)
AutoModel.register(SeqRecDecoderConfig, SeqRecDecoder, exist_ok=True)
AutoModel.register(EnsembleConfig, EnsembleDecoder, exist_ok=True)
AutoModel.register(SeqRecConfig, SeqRecForNextItem, exist_ok=True)
AutoModel.register(SeqRecRewardConfig, SeqRecForReward, exist_ok=True)

__all__ = [
    "SeqRecConfig",
    "SeqRecDecoder",
    "SeqRecDecoderConfig",
    "SeqRecForNextItem",
    "SeqRecForReward",
    "SeqRecRewardConfig",
]
