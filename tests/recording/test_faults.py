"""A fault of the recorder's own, wherever it happens, costs records and never the training."""

import importlib
import inspect
import pkgutil
import sys
import warnings
import weakref

import pytest
import torch
from torch import nn

import labapp.recording
from labapp.recording import Recorder, RecorderWarning, every
from tests.recording.nets import global_hooks, hooks_of, state_of
from tests.recording.scenarios import data, mlp
from tests.recording.witness import Residual


class InjectedError(RuntimeError):
    """Raised in the recorder by these tests."""


def make():
    torch.manual_seed(0)
    blocks = [Residual(mlp(8, 8, 8)) for _ in range(2)]
    model = nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(inplace=True), *blocks, nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
    )
    model.append(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)))
    return model, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)


def train(model, optimizer, recorder, alive=None):
    """Three steps with two micro-batches each, an evaluation and a replaced layer."""
    for number in range(3):
        with recorder.step() if recorder else warnings.catch_warnings():
            if number == 2:
                model[6] = nn.Linear(8, 3)
                optimizer.add_param_group({"params": list(model[6].parameters())})
            with torch.no_grad():
                model(data(number, 4, 6))
            optimizer.zero_grad()
            for part in range(2):
                out = model(data(9 * number + part, 4, 6))
                if alive is not None:
                    alive.append(weakref.ref(out))
                out.pow(2).mean().backward()
                del out
            optimizer.step()


def recorder_of(model, optimizer, **options):
    return Recorder(
        model, optimizer, when=every(1), histograms=every(2), spreads=every(2), gradient_noise=True, **options
    )


def functions():
    """Every function and method of the recorder that runs within steps, at the flush and at the end: (owner, name)."""
    seen = set()

    def profile(frame, event, argument):
        if event == "call" and "labapp/recording" in frame.f_code.co_filename:
            seen.add(frame.f_code)

    model, optimizer = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecorderWarning)
        recorder = recorder_of(model, optimizer)
        sys.setprofile(profile)
        try:
            with recorder:
                train(model, optimizer, recorder)
        finally:
            sys.setprofile(None)
    found = {}
    for module in pkgutil.walk_packages(labapp.recording.__path__, "labapp.recording."):
        module = importlib.import_module(module.name)
        owners = [module, *(v for v in vars(module).values() if inspect.isclass(v) and v.__module__ == module.__name__)]
        for owner in owners:
            for name, value in vars(owner).items():
                inner = (
                    value.__func__
                    if isinstance(value, staticmethod)
                    else value.fget
                    if isinstance(value, property)
                    else value
                )
                inner = inspect.unwrap(inner) if callable(inner) else inner
                code = getattr(inner, "__code__", None)
                if code in seen and getattr(inner, "__module__", None) == module.__name__:
                    found[f"{module.__name__.removeprefix('labapp.recording.')}:{inner.__qualname__}"] = (
                        owner,
                        name,
                        value,
                        inner,
                    )
    return found


def everywhere(owner, name, value):
    """All modules that hold a function under a name: a patch has to reach each."""
    if inspect.isclass(owner):
        return [(owner, name)]
    return [
        (module, key)
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("labapp.recording")
        for key, held in list(vars(module).items())
        if held is value
    ]


FUNCTIONS = functions()
# The guards themselves: what catches a fault cannot be asked to catch its own.
GUARDS = {
    *(f"recorder:Recorder.{name}" for name in ("__enter__", "__exit__", "step", "begin_step", "end_step", "close")),
    *("recorder:Recorder.flush", "guard:Guard.__call__", "guard:Guard.add", "guard:Guard.warn", "guard:Guard.close"),
    *("outputs:Outputs.hear", "outputs:Outputs._gradient", "listener:Listener._guarded"),
    *("step:Step.before_optimizer", "step:Step.after_optimizer", "passes:Passes._ends"),
}
REMOVING = {"hooks:Hooks.remove", "step:Step.remove_hooks"}  # nothing else can remove hooks where this never works
CASES = [
    (where, when)
    for where in sorted(set(FUNCTIONS) - GUARDS)
    for when in ("always", "second call")
    if not (where in REMOVING and when == "always")
]


def broken(inner, when):
    calls = 0

    def run(*args, **kwargs):
        nonlocal calls
        calls += 1
        if when == "always" or calls == 2:
            raise InjectedError("injected")
        return inner(*args, **kwargs)

    return run


@pytest.fixture(scope="module")
def bare():
    model, optimizer = make()
    train(model, optimizer, None)
    return state_of(model)


def test_many_functions_are_found():
    assert len(FUNCTIONS) > 150


@pytest.mark.parametrize(("where", "when"), CASES)
def test_a_fault_never_reaches_training(where, when, bare, monkeypatch):
    owner, name, value, inner = FUNCTIONS[where]
    model, optimizer = make()
    alive = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        recorder = recorder_of(model, optimizer)
        fault = broken(inner, when)
        replacement = (
            property(fault)
            if isinstance(value, property)
            else staticmethod(fault)
            if isinstance(value, staticmethod)
            else fault
        )
        with monkeypatch.context() as patch:
            for holder, key in everywhere(owner, name, value):
                patch.setattr(holder, key, replacement)
            with recorder:
                train(model, optimizer, recorder, alive)
    assert all(torch.equal(a, b) for a, b in zip(state_of(model), bare, strict=True))
    assert hooks_of(model) == 0
    assert global_hooks() == 0
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert [ref for ref in alive if ref() is not None] == []
    told = [w for w in said if issubclass(w.category, RecorderWarning) and "injected" in str(w.message)]
    complete = not recorder.cost["missing_steps"] and len(recorder.table("totals")) == 3
    assert told or recorder.cost["missing_steps"] or complete


class MineError(Exception):
    """Raised by the user's own code."""


class Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, error):
        ctx.error = error
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise ctx.error


def fail(error):
    raise error


def in_forward(model, optimizer, error, x):
    handle = model[2].branch[0].register_forward_hook(lambda *_: fail(error))
    try:
        model(x)
    finally:
        handle.remove()


def in_backward(model, optimizer, error, x):
    Backward.apply(model(x), error).sum().backward()


def in_a_gradient_hook(model, optimizer, error, x):
    hidden = model[:3](x)
    hidden.register_hook(lambda gradient: fail(error))
    model[3:](hidden).sum().backward()


def in_the_optimizer(model, optimizer, error, x):
    model(x).sum().backward()
    handle = optimizer.register_step_pre_hook(lambda *_: fail(error))
    try:
        optimizer.step()
    finally:
        handle.remove()


def in_the_closure(model, optimizer, error, x):
    def closure():
        model(x).sum().backward()
        raise error

    optimizer.step(closure)


def in_the_loop(model, optimizer, error, x):
    model(x).sum().backward()
    optimizer.step()
    raise error


PLACES = [in_forward, in_backward, in_a_gradient_hook, in_the_optimizer, in_the_closure, in_the_loop]


@pytest.mark.parametrize("kind", [MineError, RuntimeError, KeyboardInterrupt, StopIteration, GeneratorExit, SystemExit])
@pytest.mark.parametrize("place", PLACES)
def test_an_exception_of_the_user_arrives_as_it_was(place, kind):
    model, optimizer = make()
    error, alive = kind("mine"), []
    model[4].register_forward_hook(lambda m, a, o: alive.append(weakref.ref(o)))
    caught = None
    try:
        with recorder_of(model, optimizer) as recorder, recorder.step():
            place(model, optimizer, error, data(0, 4, 6))
    except BaseException as arrived:
        caught = arrived
    assert caught is error
    assert hooks_of(model) == 1
    assert global_hooks() == 0
    assert recorder.table().empty
    caught.__traceback__ = error.__traceback__ = None
    del caught
    for p in model.parameters():
        p.grad = None
    assert [ref for ref in alive if ref() is not None] == []


@pytest.mark.parametrize("place", [in_forward, in_backward, in_a_gradient_hook, in_the_optimizer, in_the_closure])
def test_a_step_that_is_tried_again_is_right(place):
    """What was computed before the exception is thrown away, as the user throws it away."""
    (model, optimizer), (twin, other) = make(), make()
    x = data(1, 4, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecorderWarning)
        with Recorder(model, optimizer, when=every(1)) as recorder, recorder.step():
            with pytest.raises(MineError):
                place(model, optimizer, MineError(), data(0, 4, 6))
            optimizer.zero_grad()
            model(x).pow(2).mean().backward()
            optimizer.step()
        with pytest.raises(MineError):  # running statistics move as they did
            place(twin, other, MineError(), data(0, 4, 6))
        other.zero_grad()
        with Recorder(twin, other, when=every(1)) as right, right.step():
            twin(x).pow(2).mean().backward()
            other.step()
    one, two = recorder.table(), right.table()
    assert one.layer.tolist() == two.layer.tolist()
    for name in one.select_dtypes("float32"):
        assert one[name].to_numpy() == pytest.approx(two[name].to_numpy(), rel=1e-6, nan_ok=True), name
