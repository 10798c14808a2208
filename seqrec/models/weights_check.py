"""Weights compared with the configuration beside them, before memory is taken for a model."""

from collections.abc import Mapping
from inspect import get_annotations
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedConfig

from seqrec.errors import SeqRecError
from seqrec.files import check_types
from seqrec.models.weights import WEIGHTS_FILE

MAX_NUMBER = 1 << 31
"""Larger numbers of a configuration are sizes of nothing."""
COUNTS = ("num_hidden_layers", "num_members")
"""Numbers of parts, each of which has weights of its own."""

NOT_NEGATIVE = (
    "cosine_scale",
    "history_decay",
    "norm_eps",
    "query_decay",
    "rope_theta",
    "smoothing",
    "step_decay",
)
"""Factors, of which roots, powers or logarithms are taken."""


def check_sizes(fields: Mapping[str, Any], num_weights: int, file: Path) -> None:
    """Refuse a configuration with more parts than there are weights, or a negative factor.

    Configurations within it are read, too.

    Raises:
        SeqRecError: the first such number.
    """
    heads, width = fields.get("num_attention_heads"), fields.get("hidden_size")
    is_native = fields.get("model_type") == "seqrec_decoder"
    if is_native and isinstance(heads, int) and isinstance(width, int):
        if heads < 1 or width % heads:
            raise SeqRecError(f"{file}: {heads} attention heads do not divide {width} units")
    for key, value in fields.items():
        if isinstance(value, dict):
            check_sizes(value, num_weights, file)
        if not isinstance(value, int | float):
            continue
        if key in NOT_NEGATIVE and value < 0:
            raise SeqRecError(f"{file}: {key} {value:.3g}: is below 0; copy the folder again")
        limit = num_weights if key in COUNTS else MAX_NUMBER
        if not -MAX_NUMBER <= value <= limit:
            raise SeqRecError(f"{file}: {key} {value:.3g}: the weights have no such size")


def check_fields(config: PreTrainedConfig, where: str) -> None:
    """Refuse fields of another type than seqrec's configurations have, at any depth.

    Raises:
        SeqRecError: the first such field.
    """
    if type(config).__module__.startswith("seqrec."):
        hints = get_annotations(type(config))
        own = {name: hint for name, hint in hints.items() if name != "model_type"}
        check_types({name: getattr(config, name, None) for name in own}, own, where)
    for name in config.sub_configs:
        part = getattr(config, name)
        if isinstance(part, PreTrainedConfig):
            check_fields(part, f"{where}: {name}")


def check_item_tokens(config: PreTrainedConfig, file: Path) -> None:
    """Refuse items whose tokens are not all in the vocabulary; ranking slices it by them.

    Raises:
        SeqRecError: a token before the first one, or after the last.
    """
    first, num_items = config.first_item_token, config.num_items
    vocabulary = config.backbone_config.vocab_size
    if not 0 <= first < first + num_items <= vocabulary:
        raise SeqRecError(
            f"{file}: num_items {num_items} from first_item_token {first}: the vocabulary has "
            f"{vocabulary} tokens"
        )


def check_shapes(model: nn.Module, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Refuse weights whose names, shapes or kinds of number are not those of a model.

    Args:
        model: of the configuration; its values are not read.
        weights: by name.
        folder: of both.

    Raises:
        SeqRecError: the first name, in order, that differs.
    """
    expected = model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    loaded = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(shapes.keys() | loaded.keys()):
        if shapes.get(name) != loaded.get(name):
            raise SeqRecError(
                f"{folder / WEIGHTS_FILE}: {name} has shape {loaded.get(name, 'none')}, but "
                f"config.json needs {shapes.get(name, 'none')}; the two come from different models"
            )
        dtype, wanted = weights[name].dtype, expected[name].dtype
        if dtype.is_complex or dtype.is_floating_point != wanted.is_floating_point:
            raise SeqRecError(
                f"{folder / WEIGHTS_FILE}: {name} holds numbers of {str(dtype)[6:]}, not of "
                f"{str(wanted)[6:]}; copy the model folder again"
            )
