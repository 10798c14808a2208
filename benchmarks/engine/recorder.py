"""The matrix products that torch runs, recorded, and run again with nothing around them."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

ATTENTION = "_scaled_dot_product_flash_attention_for_cpu"
PLAIN: dict[str, Callable[..., Tensor]] = {"mm": torch.mm, "bmm": torch.bmm}
ADDED: dict[str, Callable[..., Tensor]] = {"addmm": torch.addmm, "baddbmm": torch.baddbmm}
SCALE = 0.1


class View(NamedTuple):
    """The storage and offset of a tensor: tensors of one storage overlap as they were recorded."""

    storage: int
    offset: int
    """In elements, as the strides are."""
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


class Product(NamedTuple):
    """A product of two matrices, or of a batch of pairs; perhaps added to something."""

    function: str
    left: View
    right: View
    added: View | None
    """Times ``beta``; the product itself counts times ``alpha``."""
    result: View
    beta: float = 1.0
    alpha: float = 1.0

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        *batch, rows, inner = self.left.size
        return 2 * rows * inner * self.right.size[-1] * (batch[0] if batch else 1)


class Recorder(TorchDispatchMode):
    """While it is on, every matrix product is noted, forward and backward, in order.

    What autocast converts is seen after the conversion. Fused attention is noted as the products
    it consists of: two forward, five backward, none skipped for the mask.
    """

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Product] = []
        self.storage_bytes: dict[int, int] = {}
        self._num_fused = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name in PLAIN:
            self._note(name, args[0], args[1], None, result)
        elif name.rstrip("_") in ADDED:
            factors = {key: float(kwargs[key]) for key in ("beta", "alpha") if key in kwargs}
            self._note(name.rstrip("_"), args[1], args[2], args[0], result, **factors)
        elif name == ATTENTION:
            self._note_attention(*args[:3], num_value_shaped=1, num_score_shaped=1)
        elif name == ATTENTION + "_backward":
            self._note_attention(*args[1:4], num_value_shaped=3, num_score_shaped=2)
        elif name in ("convolution", "_scaled_dot_product_attention_math", "mkldnn_linear"):
            raise NotImplementedError(f"{name}: its products are not counted")
        return result

    def _note(
        self,
        name: str,
        left: Tensor,
        right: Tensor,
        added: Tensor | None,
        result: Tensor,
        **factors: float,
    ) -> None:
        views = [None if tensor is None else self._view(tensor) for tensor in (added, result)]
        self.products.append(
            Product(name, self._view(left), self._view(right), *views, **factors)  # type: ignore[arg-type]
        )

    def _note_attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        num_value_shaped: int,
        num_score_shaped: int,
    ) -> None:
        """Products in buffers of their own: what the kernel keeps in its blocks has no place."""
        pairs, length, size = query.shape[0] * query.shape[1], query.shape[2], query.shape[3]
        others = key.shape[2]
        dtype = query.dtype
        narrow = self._new(dtype, pairs, length, size)
        wide = self._new(dtype, pairs, length, others)
        flat = self._new(dtype, pairs, others, value.shape[3])
        turned = flat._replace(size=(pairs, size, others), stride=(others * size, 1, size))
        for _ in range(num_score_shaped):
            self.products.append(Product("bmm", narrow, turned, None, wide))
        for _ in range(num_value_shaped):
            self.products.append(Product("bmm", wide, flat, None, narrow))

    def _new(self, dtype: torch.dtype, *size: int) -> View:
        self._num_fused += 1
        stride = _stride(size)
        return self._kept(View(-self._num_fused, 0, size, stride, dtype))

    def _view(self, tensor: Tensor) -> View:
        storage = tensor.untyped_storage().data_ptr()
        size, stride = tuple(tensor.shape), tuple(tensor.stride())
        return self._kept(View(storage, int(tensor.storage_offset()), size, stride, tensor.dtype))

    def _kept(self, view: View) -> View:
        pairs = zip(view.size, view.stride, strict=True)
        last = view.offset + sum((size - 1) * stride for size, stride in pairs)
        num_bytes = (last + 1) * view.dtype.itemsize
        self.storage_bytes[view.storage] = max(num_bytes, self.storage_bytes.get(view.storage, 0))
        return view


@dataclass(frozen=True)
class Replay:
    """Recorded products, ready to run in their order, on memory that overlaps as it did."""

    calls: list[Callable[[], Tensor]]
    storages: list[Tensor]

    @classmethod
    def of(cls, recorder: Recorder) -> "Replay":
        """Allocate what the products read and write."""
        storages = {
            storage: torch.empty(-(-num_bytes // 4) * 2, dtype=torch.bfloat16)
            for storage, num_bytes in recorder.storage_bytes.items()
        }

        def tensor(view: View) -> Tensor:
            flat = storages[view.storage].view(view.dtype)
            return flat.as_strided(view.size, view.stride, view.offset)

        def call(product: Product) -> Callable[[], Tensor]:
            left, right, out = map(tensor, (product.left, product.right, product.result))
            if product.added is None:
                plain = PLAIN[product.function]
                return lambda: plain(left, right, out=out)
            added, function = tensor(product.added), ADDED[product.function]
            factors = {"beta": product.beta, "alpha": product.alpha}
            return lambda: function(added, left, right, **factors, out=out)

        return cls([call(product) for product in recorder.products], list(storages.values()))

    @torch.no_grad()
    def seconds(self) -> list[float]:
        """Seconds of every product, run once.

        Memory is filled with new values first: results that are reused as inputs would leave the
        normal range. A pair of random bfloat16 is an ordinary float32.
        """
        for storage in self.storages:
            storage.normal_(std=SCALE)
        seconds = []
        for call in self.calls:
            started = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - started)
        return seconds


def _stride(size: Sequence[int]) -> tuple[int, ...]:
    """Strides of a contiguous tensor."""
    return tuple(math.prod(size[place + 1 :]) for place in range(len(size)))
