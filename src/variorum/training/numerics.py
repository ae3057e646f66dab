"""Set how PyTorch computes while training: threads, kernels, precision and compilation."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from variorum.base.errors import VariorumError
from variorum.model.gpt import GPT

Loss = Callable[[Tensor, Tensor], Tensor]


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread and deterministic kernels while the block runs."""
    threads = torch.get_num_threads()
    mode = torch.get_deterministic_debug_mode()
    torch.set_num_threads(1)
    # `use_deterministic_algorithms` sets the compiler too, and imports it; `compiled` does that.
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)


def precision(name: str, device: torch.device) -> AbstractContextManager[Any]:
    """Compute matrix products in bf16 while the block runs, or everything in fp32."""
    if name == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def compiled(model: GPT) -> Loss:
    """Return the model's loss as a program, which PyTorch compiles at the first call.

    It is compiled in this process: ranks of a team may start no process of their own. Programs know
    no gradients with a few rows, so looking up tables stays outside.

    Raises:
        VariorumError: if there is no compiler for it.
    """
    import torch._inductor.config as inductor
    from torch._inductor import cpp_builder

    try:
        cpp_builder.get_cpp_compiler()
    except RuntimeError:
        raise VariorumError(
            "compile: true needs a C++ compiler, and there is none that PyTorch finds; install g++ "
            "(or set CXX to one), or leave compile out"
        ) from None
    inductor.compile_threads = 1
    inductor.deterministic = True
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.sparse:
            module.forward = torch.compiler.disable(module.forward)  # type: ignore[method-assign,no-untyped-call]
    program: Loss = torch.compile(model.loss)
    return program
