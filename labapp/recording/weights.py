"""What did one optimizer step do to the weights, and with which gradient?

Gradients are read when a backward pass has ended, so after accumulation and after DDP's all-reduce and before clipping,
and again when an optimizer steps, because whatever happened in between (clipping, `.data`, a replaced `.grad`) leaves
no mark that could be trusted. All norms of a kind are one fused call.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from labapp.recording.change import Change, Numbers, Own, Parts
from labapp.recording.effective import Effective, effective_weights
from labapp.recording.hooks import in_backward
from labapp.recording.kernels import Compiled, Launches, Slot, norms, readable
from labapp.recording.places import Spot, weights_of
from labapp.recording.sharded import gather_shards, is_sharded, local, shares
from labapp.recording.values import measurable, real, reason_against


class Weights:
    """The parameters of a net and the weights of its places, before and after a step.

    Attributes:
        parameters: every parameter that can be measured, with its name.
        of: path -> `Own`.
        left_out: name -> why a parameter cannot be measured.
        sharded: whether the numbers of any lie in several processes; norms are then those of the shards here.
    """

    def __init__(
        self, model: nn.Module, spots: list[Spot], scaler: Any, noise: bool, launches: Launches | None = None
    ) -> None:
        self.scaler, self.noise, self.launches = scaler, noise, launches or Launches()
        self.refresh(model, spots)
        self.begin()

    def refresh(self, model: nn.Module, spots: list[Spot]) -> None:
        """Looks the parameters up again, after some were replaced."""
        gather_shards(model)
        named = dict(model.named_parameters())
        self.sharded = any(map(is_sharded, named.values()))
        self.left_out = {name: why for name, p in named.items() if (why := reason_against(local(p)))}
        self.names = [name for name in named if name not in self.left_out]
        self.parameters = [named[name] for name in self.names]
        self._position = {id(p): i for i, p in enumerate(self.parameters)}
        self._plain: list[Tensor] = []
        self._computed: list[Effective] = []
        self.of: dict[str, Own] = {}
        computed: list[tuple[str, int]] = []
        for spot in spots:
            made = [] if self.sharded else effective_weights(spot.module)  # whole weights are not here
            raw = {id(p) for each in made for p in each.made_of}
            own = [p for p in weights_of(spot.module) if not made or p.dim() > 1]  # not the bias of a computed weight
            plain = [p for p in own if id(p) in self._position and id(p) not in raw]
            gradients = [self._position[i] for i in (*map(id, plain), *raw) if i in self._position]
            first = len(self._plain)
            self._plain += plain
            computed += [(spot.path, len(self._computed) + i) for i in range(len(made))]
            self._computed += made
            inside = spot.module.parameters(recurse=spot.kind == "block" or bool(made))
            size = sum(p.numel() for p in inside)
            self.of[spot.path] = Own(tuple(range(first, len(self._plain))), tuple(gradients), size)
        for path, at in computed:  # behind the plain ones
            own_now = self.of[path]
            self.of[path] = own_now._replace(weights=(*own_now.weights, len(self._plain) + at))
        self._shares = (shares(self._plain), shares(self.parameters)) if self.sharded else None
        self._before: list[Tensor] = []
        self._before_computed: list[Tensor] = []
        self._owned: dict[int, list[int]] = {}

    def is_computed(self, path: str) -> bool:
        """Whether a place's weight is computed from other parameters."""
        return any(at >= len(self._plain) for at in self.of[path].weights)

    def knows(self, path: str, module: nn.Module) -> bool:
        """Whether a place still has the parameters, and computes its weight of them or not, as when looked up."""
        same = bool(effective_weights(module)) == self.is_computed(path)
        return same and all(id(p) in self._position for p in module.parameters() if not reason_against(p))

    @property
    def memory(self) -> int:
        """Bytes of the copies of the weights that are kept while a step is recorded."""
        return sum(w.numel() * w.element_size() for w in self._here())

    def _here(self) -> list[Tensor]:
        """The weights of the places, or their shards in this process."""
        return list(map(local, self._plain)) if self.sharded else self._plain

    # A step ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Forgets the step before."""
        self.stepped = False
        self.passes = 0
        self._gradients: Parts = []
        self._used: Parts = []
        self._seen: set[int] = set()
        self._early: Parts = []
        self._micro: Parts = []
        self._kept: dict[int, Tensor] = {}
        self._scale: Numbers | float = 1.0
        self._used_scale: Numbers | float = 1.0
        self._found_inf: list[Numbers] = []
        self._state: list[tuple[int, int, int]] = []
        self._touched = False
        self._holding = False

    @torch.no_grad()
    def hold(self) -> None:
        """Keeps the weights as they are before the step."""
        now = [w.detach() for w in self._here()]
        kept = self._before
        if len(kept) != len(now) or any(
            a.shape != b.shape or a.dtype != b.dtype or a.device != b.device for a, b in zip(kept, now, strict=True)
        ):
            kept = self._before = [torch.empty_like(w) for w in now]
        devices = {w.device for w in now}
        for device in devices:  # one launch for all of a device
            here = [i for i, w in enumerate(now) if w.device == device] if len(devices) > 1 else range(len(now))
            torch._foreach_copy_([kept[i] for i in here], [now[i] for i in here])
        self._before_computed = [each.now().detach().clone() for each in self._computed]
        self._holding = True

    def release(self) -> None:
        """Lets go of what only one step needs."""
        self._kept, self._before_computed = {}, []

    @torch.no_grad()
    def pass_ended(self) -> None:
        """Reads the gradients at the end of a backward pass; the last pass of a step counts."""
        self.passes += 1
        scaler = self.scaler
        if scaler is not None and scaler.is_enabled() and scaler._scale is not None:
            self._scale = self._kept_number(scaler._scale)  # the scale in force in this backward
        present = self._present()
        self._gradients = self._measured(present)
        if self.noise:
            self._add_micro_batch(present)
        self._state = [(i, id(g), g._version) for i, g in present]

    def were_reset(self) -> bool | list[Slot]:
        """Whether the gradients of the passes before are gone: set to None or to zero since.

        Of gradients on devices the answer is there when they have landed: yes, where all of the slots hold zeros.
        """
        changed = []
        for position, _, version in self._state:
            whole = self.parameters[position].grad
            if whole is None:
                continue
            gradient = local(whole) if self.sharded else whole
            if gradient._version == version:
                return False
            changed.append(gradient)
        plain = [None if (one := measurable(gradient)) is None else real(one) for gradient in changed]
        away = [one for one in plain if one is not None and not readable(one) and one.numel()]
        here = [g for g, one in zip(changed, plain, strict=True) if one is None or readable(one)]
        if not self._state or any(bool(gradient.any()) for gradient in here):
            return False
        return self.launches.largest(away) if away else True

    def of_optimizer(self, optimizer: Optimizer) -> list[int]:
        """Positions of the parameters that an optimizer holds."""
        groups = optimizer.param_groups
        return [self._position[i] for g in groups for i in map(id, g["params"]) if i in self._position]

    @torch.no_grad()
    def before_step(self, optimizer: Optimizer) -> None:
        """Reads the gradients as the optimizer sees them; within a backward pass they may be gone after it."""
        own = [i for i in self.of_optimizer(optimizer) if i not in self._seen]  # a second step sees another gradient
        self._seen.update(own)
        found_inf, scale = getattr(optimizer, "found_inf", None), getattr(optimizer, "grad_scale", None)
        if isinstance(found_inf, Tensor):
            self._found_inf.append(self._kept_number(found_inf))
        if isinstance(scale, Tensor):
            self._used_scale = self._kept_number(scale)
        present = self._present(own)
        if in_backward():
            self._early += self._measured(present)
            return
        state = {i: (g, v) for i, g, v in self._state}
        self._touched |= any(state.get(i) != (id(g), g._version) for i, g in present)
        self._used += self._measured(present)

    @torch.no_grad()
    def end(self, whole: bool = True) -> Change:
        """The step's norms; not `whole` where parts were replaced, so that computed weights may be no more."""
        if not self._gradients and not self._early:
            self._gradients = self._measured(self._present())
        sizes = (len(self._plain) + len(self._computed), len(self.parameters))
        change = Change(self.of, sizes, scale=self._scale, used_scale=self._used_scale, found_inf=self._found_inf)
        change.whole, change.shares = whole, self._shares
        change.gradient_parts = self._gradients + self._early
        change.used_parts = self._used
        change.micro_parts, change.passes, change.touched = self._micro, self.passes, self._touched
        if self._holding:
            change.weight_parts = self._changed(
                list(zip(range(len(self._plain)), self._here(), self._before, strict=True))
            )
            computed = zip(self._computed, self._before_computed, strict=True) if whole else ()
            for at, (each, before) in enumerate(computed, len(self._plain)):
                change.weight_parts += self._changed([(at, each.now(), before)])
        self.release()
        return change

    def _present(self, positions: list[int] | None = None) -> list[tuple[int, Tensor]]:
        """The gradients there are, with their positions."""
        found = []
        for position in range(len(self.parameters)) if positions is None else positions:
            parameter = self.parameters[position]
            gradient = parameter.grad if parameter.requires_grad else None  # a frozen one may hold an old gradient
            if gradient is not None:
                found.append((position, local(gradient) if self.sharded else gradient))
        return found

    def _add_micro_batch(self, present: list[tuple[int, Tensor]]) -> None:
        again = [(i, g) for i, g in present if i in self._kept]
        fresh = dict(present)
        if again:
            added = torch._foreach_sub([g.detach() for _, g in again], [self._kept[i] for i, _ in again])
            fresh |= zip((i for i, _ in again), added, strict=True)
        self._micro += self._measured(list(fresh.items()))
        self._kept = {i: torch.empty_like(g) if g.layout is torch.strided else g.detach().clone() for i, g in present}
        if dense := [(self._kept[i], g.detach()) for i, g in present if g.layout is torch.strided]:
            torch._foreach_copy_([a for a, _ in dense], [b for _, b in dense])

    def _kept_number(self, number: Tensor) -> Numbers:
        """A number of the loss scaling as it is now."""
        return number.detach().clone() if number.is_cpu else self.launches.keep(number)

    def _measured(self, tensors: list[tuple[int, Tensor]]) -> Parts:
        """Norms (n,) of the tensors that can be measured."""
        found: Parts = []
        for (positions, now), checked in _alike(tensors):
            found.append((list(positions), norms(list(now), checked=checked, launches=self.launches)[:1]))
        return found

    def _changed(self, tensors: list[tuple[int, Tensor, Tensor]]) -> Parts:
        """Norms (n,) of what the tensors were before, the last of the three, and (n,) of what was added since."""
        found: Parts = []
        for (positions, now, before), checked in _alike([each for each in tensors if each[1].shape == each[2].shape]):
            both = norms(list(now), list(before), checked=checked, launches=self.launches)
            found.append((list(positions), both))
        return found


def _alike(tensors: Sequence[tuple[Any, ...]]) -> list[tuple[list[tuple[Any, ...]], bool]]:
    """The same turned, (positions, tensors, …), a part for each device and dtype, and whether the kernels take them.

    As real numbers, and without tensors whose numbers lie elsewhere.
    """
    if not tensors:
        return []
    turned = list(zip(*tensors, strict=True))
    if all(all(map(Compiled.takes, column)) for column in turned[1:]):
        return [(turned, True)]
    groups: dict[Any, list[tuple[Any, ...]]] = {}
    for position, *some in tensors:
        plain = [real(one) for tensor in some if (one := measurable(tensor)) is not None]
        if len(plain) == len(some):
            groups.setdefault((plain[0].device, plain[0].dtype), []).append((position, *plain))
    return [(list(zip(*group, strict=True)), False) for group in groups.values()]
