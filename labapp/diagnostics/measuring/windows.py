"""What do positions see behind a function that reads windows: convolutions, poolings, resizing, shuffled pixels?"""

from __future__ import annotations

from torch import Tensor

from labapp.diagnostics.measuring.calls import Call, argument, for_each, shifted
from labapp.diagnostics.measuring.lines import resized
from labapp.diagnostics.measuring.sights import Sight


def last_axes(view: Sight, name: str) -> list[int]:
    """The axes that a function such as max_pool2d works along."""
    count = next((int(sign) for sign in name if sign in "123"), 2)
    return list(range(len(view.axes) - count, len(view.axes)))


def windows(
    view: Sight, made: Tensor, kernel: list[int], stride: list[int], begin: list[int], dilation: list[int]
) -> Sight:
    """Behind windows of `kernel` positions, the first of which begins at `begin`."""
    for number, (k, s, b, d) in enumerate(zip(kernel, stride, begin, dilation, strict=True)):
        at = len(view.axes) - len(kernel) + number

        def taps(position: int, k: int = k, s: int = s, b: int = b, d: int = d) -> range:
            return range(position * s + b, position * s + b + (k - 1) * d + 1, d)

        view = view.read(at, (taps, 1, s), made.shape[at])
    return view


def convolution(view: Sight, call: Call) -> Sight:
    """Behind conv1d, conv2d, conv3d."""
    kernel = list(argument(call, 1, "weight", None).shape[2:])
    stride, dilation = (
        for_each(argument(call, at, name, 1), len(kernel)) for at, name in ((3, "stride"), (5, "dilation"))
    )
    padding = argument(call, 4, "padding", 0)
    if padding == "same":
        begin = [-(d * (k - 1) // 2) for k, d in zip(kernel, dilation, strict=True)]
    else:
        begin = [-p for p in for_each(0 if padding == "valid" else padding, len(kernel))]
    return windows(view, call[1], kernel, stride, begin, dilation)


def transposed_convolution(view: Sight, call: Call) -> Sight:
    """Behind conv_transpose2d and its like."""
    made = call[1]
    kernel = list(argument(call, 1, "weight", None).shape[2:])
    options = ((3, "stride", 1), (4, "padding", 0), (7, "dilation", 1))
    for number, (k, s, p, d) in enumerate(
        zip(kernel, *(for_each(argument(call, *option), len(kernel)) for option in options), strict=True)
    ):
        at = len(view.axes) - len(kernel) + number

        def taps(position: int, k: int = k, s: int = s, p: int = p, d: int = d) -> list[int]:
            return [(position + p - tap * d) // s for tap in range(k) if (position + p - tap * d) % s == 0]

        view = view.read(at, (taps, s, 1), made.shape[at])
    return view


def pooled_windows(name: str, view: Sight, call: Call) -> Sight:
    """Behind max_pool2d, avg_pool2d, lp_pool2d and their like."""
    count = len(last_axes(view, name))
    lp = "lp_pool" in name  # its second argument is the norm
    given = argument(call, 1 + lp, "kernel_size", 1)
    kernel = for_each(given, count)
    stride = for_each(argument(call, 2 + lp, "stride", None) or given, count)
    padding = for_each(0 if lp else argument(call, 3, "padding", 0), count)
    dilation = for_each(argument(call, 4, "dilation", 1) if "max" in name else 1, count)
    return windows(view, call[1], kernel, stride, [-p for p in padding], dilation)


def interpolated(view: Sight, call: Call) -> Sight:
    """Behind interpolate."""
    made = call[1]
    mode = argument(call, 3, "mode", "nearest")
    aligned, antialiased = argument(call, 4, "align_corners", None), argument(call, 6, "antialias", False)
    for at in range(2, len(view.axes)):
        before, after = view.shape[at], made.shape[at]
        view = view.read(at, resized(before, after, mode, bool(aligned), bool(antialiased)), after)
    return view


def shuffled(view: Sight, call: Call) -> Sight:
    """Behind pixel_shuffle."""
    r, made = int(argument(call, 1, "upscale_factor", 1)), call[1]
    for at in (-2, -1):
        at += len(view.axes)
        view = view.read(at, (lambda position: (position // r,), r, 1), made.shape[at])
    return view


def unshuffled(view: Sight, call: Call) -> Sight:
    """Behind pixel_unshuffle."""
    r, made = int(argument(call, 1, "downscale_factor", 1)), call[1]
    return windows(view, made, [r, r], [r, r], [0, 0], [1, 1])


def padded(view: Sight, call: Call) -> Sight:
    """Behind pad; below 0, a crop."""
    pads, made = list(argument(call, 1, "pad", ())), call[1]
    for number, before in enumerate(pads[::2]):
        at = len(view.axes) - 1 - number
        view = shifted(view, at, -int(before), made.shape[at])
    return view


def repeated_each(view: Sight, call: Call) -> Sight | None:
    """Behind repeat_interleave; None where every position is repeated another number of times."""
    times, dim = argument(call, 1, "repeats", None), argument(call, 2, "dim", None)
    if not isinstance(times, int) or dim is None:
        return None
    at = dim % len(view.axes)
    return view.read(at, (lambda position: (position // times,), times, 1), view.shape[at] * times)
