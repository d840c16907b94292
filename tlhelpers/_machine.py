"""What the machine can do, and where a network lies on it."""

from __future__ import annotations

import torch
from torch import nn


def device_of(net: nn.Module) -> torch.device:
    """Return where the first parameter of ``net`` lies; a network without one computes on the CPU."""
    return next((p.device for p in net.parameters()), torch.device("cpu"))


def to_device(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a batch on a device, images ``[B, C, H, W]`` with their channels last.

    That layout makes convolutions on a CPU three times faster, and it exists for images only.
    """
    return x.to(device, memory_format=torch.channels_last) if x.ndim == 4 else x.to(device)


def has_bf16(device: str) -> bool:
    """Return whether ``device`` computes in bfloat16 faster than in float32: most GPUs since 2020, few CPUs."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return device == "cpu" and bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
