"""homespun doctor: what this computer can do, tested rather than believed."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homespun import __version__
from homespun.cli.screens.plain import json_option, print_json, shows_unicode

if TYPE_CHECKING:
    from homespun.kernels.selfcheck import CompileCheck, ModelCheck
    from homespun.machine.device import Machine
    from homespun.training.device_check import DeviceCheck

LITTLE_MEMORY = 2 * 10**9  # bytes; PyTorch alone takes a good part of one of them
LITTLE_DISK = 2 * 10**9
FOR_DEVELOPERS = ("all", "dev")
NO_BFLOAT16 = "has no instructions that multiply in bfloat16 (AVX512-BF16, AMX-BF16, or BF16 on Arm)"


@click.command()
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="Which device to look at: cpu, cuda, cuda:1, mps.",
)
@click.option(
    "--thorough",
    is_flag=True,
    help="Compile a small model and compare it as well (a minute the first time), and time every dtype.",
)
@json_option
def command(device: str, thorough: bool, as_json: bool) -> None:
    """Look at the processor, the memory, the disk and what is installed; then test and measure.

    Says in which dtype training would be, and why. Where that is not float32 on the processor, the self-test
    lets a small model learn in it and compares the two. How fast matrices are multiplied is measured, for about
    a second. With --thorough it compiles, too; and where a GPU is named, with --device cuda. On a GPU attention
    and some training steps are compared as well.
    Ends with exit code 1 where the self-test fails.
    """
    report = examine(device, thorough)
    if as_json:
        print_json(as_object(report))
    else:
        show(report)
    if not report.passed:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True)
class Report:
    """Everything that was found. Rates in floating-point operations a second, by dtype.

    check: None where training is in float32 on the processor, with which it would be compared.
    compiling: None where it was not tried.
    on_device: of a GPU, what was compared and measured there alone; None for a processor.
    """

    machine: Machine
    cache: Path
    disk_free: int
    extras: dict[str, bool]
    check: ModelCheck | None
    compiling: CompileCheck | None
    rates: dict[str, float]
    on_device: DeviceCheck | None = None

    @property
    def passed(self) -> bool:
        checked = self.check is None or self.check.passed
        return checked and (self.on_device is None or self.on_device.passed)


def examine(device_name: str, thorough: bool = False) -> Report:
    """Looks, tests and measures. Raises DeviceError where there is no such device.

    thorough: compiles as well, and measures dtypes that training would not take; both may take a minute.
    """
    import torch

    from homespun.fetch.cache import cache_folder
    from homespun.kernels.selfcheck import check_compiled, check_model, matmul_rate
    from homespun.machine.accelerator import use_tensor_cores
    from homespun.machine.device import DTYPES, choose_device, choose_dtype, describe_machine
    from homespun.training.device_check import check_device

    device = choose_device(device_name)
    dtype = choose_dtype("auto", device)
    machine = describe_machine(device_name)
    on_gpu = device.type != "cpu"
    use_tensor_cores(device)
    # On a processor without a compiler it takes no time to find out.
    compiles = thorough or (on_gpu and device_name != "auto") or (not on_gpu and machine.compiler is None)
    cache = cache_folder()
    return Report(
        machine=machine,
        cache=cache,
        disk_free=shutil.disk_usage(cache).free,
        extras=extras(),
        check=None if device.type == "cpu" and dtype == torch.float32 else check_model(device, dtype),
        compiling=check_compiled(device, dtype) if compiles else None,
        rates={
            name: matmul_rate(device, getattr(torch, name))
            for name in DTYPES
            if thorough or name in ("float32", machine.dtype)
        },
        on_device=check_device(device, dtype) if on_gpu else None,
    )


def extras() -> dict[str, bool]:
    """homespun's extras, and whether all of their libraries are installed."""
    try:
        required = metadata.requires("homespun") or []
    except metadata.PackageNotFoundError:  # run from a folder, never installed
        return {}
    found: dict[str, bool] = {}
    for requirement in required:
        match = re.match(r"([\w.-]+).*extra == ['\"](\w+)['\"]", requirement)
        if match and match[2] not in FOR_DEVELOPERS:
            found[match[2]] = found.get(match[2], True) and is_installed(match[1])
    return found


def is_installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def verdict(report: Report) -> list[str]:
    """What it all means, in plain words; what should be done first."""
    machine, rates = report.machine, report.rates
    words = []
    if report.check is not None and not report.check.passed:
        words.append(
            f"The self-test failed: in {report.check.dtype} a model does not learn here as it should. "
            "Train with --dtype float32, and tell us about this computer."
        )
    if report.on_device is not None and not report.on_device.passed:
        words.append("The self-test failed: what the GPU computes is not what the processor does (see above).")
    words.append(f"Models are trained on {where(machine)}, in {machine.dtype}: {why(machine)}.")
    ratio = rates.get("bfloat16", 0.0) / rates["float32"]
    if machine.dtype == "bfloat16" and ratio < 1:
        words.append(
            f"bfloat16 is slower than float32 here ({ratio:.1f} times its speed): --dtype float32 is better."
        )
    elif machine.dtype == "bfloat16":
        words.append(f"That is {ratio:.1f} times as fast as float32 here.")
    if machine.compiler is None and machine.device == "cpu":
        words.append(
            "There is no C++ compiler, so training is not compiled, and slower than it could be: install g++."
        )
    if machine.memory_free < LITTLE_MEMORY:
        words.append("Little memory is free: close other programs, and stay with small models.")
    if report.disk_free < LITTLE_DISK:
        words.append("Little room is left on the disk: large texts and models may not fit.")
    if report.passed:
        words.append("Ready:  homespun train --minutes 5")
    return words


def where(machine: Machine) -> str:
    return "the processor" if machine.device == "cpu" else machine.accelerator or machine.device


def why(machine: Machine) -> str:
    """The reason for the dtype, as `choose_dtype` has it."""
    if machine.device == "cpu":
        units = " and ".join(machine.matrix_units)
        return f"it multiplies in bfloat16 ({units})" if units else f"it {NO_BFLOAT16}"
    return "it multiplies in bfloat16" if machine.dtype == "bfloat16" else "bfloat16 is not used there"


def learning(report: Report, yes: str, no: str) -> str:
    check = report.check
    if check is None:
        return "nothing to compare: training is in float32, with which other dtypes are compared"
    return (
        f"{yes if check.passed else no} a small model learns in {check.dtype} as in float32 "
        f"(loss {check.loss_error:.2%} apart, gradients agree to {check.agreement:.4f})"
    )


def compiling(report: Report, yes: str, no: str) -> str:
    found = report.compiling
    if found is None:
        return "not tried; homespun doctor --thorough compiles a small model: a minute the first time"
    if found.works:
        return f"{yes} a compiled model computes what the model does (compiled {found.detail})"
    return f"{no} {found.detail}; training goes without it, and is slower"


def show(report: Report) -> None:
    from homespun.cli.screens.terminal import console, facts, size_in_words

    machine, out = report.machine, console()
    yes, no = ("✓", "✗") if shows_unicode(out.file) else ("yes", "NO")
    units = f" ({', '.join(machine.matrix_units)})" if machine.matrix_units else ""
    missing = [name for name, there in report.extras.items() if not there]
    computer = [
        ("processor", f"{machine.processor}, {machine.cores} core{'s' * (machine.cores != 1)}{units}"),
        ("memory", f"{size_in_words(machine.memory)}, {size_in_words(machine.memory_free)} free"),
        ("disk", f"{size_in_words(report.disk_free)} free at {report.cache}"),
        ("system", machine.system),
        ("software", f"homespun {__version__}, Python {machine.python}, PyTorch {machine.torch}"),
        ("device", machine.accelerator or machine.device),
        ("compiler", machine.compiler or "none"),
    ]
    if report.extras:
        here = [name for name in report.extras if name not in missing]
        computer.append(("extras", ", ".join(here) or "none"))
    if missing:
        computer.append(("not installed", f'{", ".join(missing)}:  pip install "homespun[{",".join(missing)}]"'))
    fastest = max(report.rates.values())
    rates = [
        (f"{name}", f"{rate / 1e9:,.0f} GFLOP/s  {bar(rate / fastest)}") for name, rate in report.rates.items()
    ]
    out.print(facts(computer, "This computer"))
    out.print()
    tested = [("learning", learning(report, yes, no)), ("compiling", compiling(report, yes, no))]
    if report.on_device is not None:
        tested += compared_on_device(report.on_device, yes, no)
        rates = [*rates, *of_its_peak(report)]
    tested += rates
    out.print(facts(tested, "Self-test"))
    out.print()
    for sentence in verdict(report):
        out.print(sentence)


def compared_on_device(check: DeviceCheck, yes: str, no: str) -> list[tuple[str, str]]:
    attention, steps = (yes if right else no for right in (check.attention_passed, check.steps_passed))
    return [
        ("attention", f"{attention} output and gradient agree with the processor's to {check.attention:.4f}"),
        ("training", f"{steps} after {check.steps} steps the loss is {check.loss_error:.2%} apart"),
        ("memory", f"copied at {check.bytes_per_second / 1e9:,.0f} GB/s, read and written"),
    ]


def of_its_peak(report: Report) -> list[tuple[str, str]]:
    """The rate of products as a share of the data sheet's, where that is known."""
    from homespun.machine.accelerator import peak_flops

    machine = report.machine
    peak = peak_flops(machine.accelerator or "", machine.dtype)
    if not peak or machine.dtype not in report.rates:
        return []
    share = report.rates[machine.dtype] / peak
    return [("of its peak", f"{share:.0%} of the {peak / 1e12:,.0f} TFLOP/s in {machine.dtype} by its data sheet")]


def bar(share: float, width: int = 24) -> str:
    """A rate beside the fastest, to look at."""
    import sys

    return ("█" if shows_unicode(sys.stdout) else "#") * max(1, round(share * width))


def as_object(report: Report) -> dict[str, object]:
    return {
        "version": __version__,
        "machine": report.machine,
        "cache": report.cache,
        "disk_free": report.disk_free,
        "extras": report.extras,
        "self_test": report.check,
        "compiling": report.compiling,
        "flops_per_second": report.rates,
        "on_device": report.on_device,
        "verdict": verdict(report),
    }
