# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupt table, registers, what a vCPU is doing, exception tables, traps."""

from __future__ import annotations

import struct

import pytest
from mock_memory import MockMemory

from gdb_kpy.core import extable, faults, idt, vcpu
from gdb_kpy.core.errors import CorruptError, NotReadyError
from gdb_kpy.core.registers import NEEDED, Layout, Registers, parse_layout
from gdb_kpy.core.vcpu import Mode

MONITOR = """CPU#0
RAX=000000000001ad40 RBX=0000000000000000
GDT=     fffffe0000001000 0000007f
IDT=     fffffe0000000000 00000fff
CR0=80050033 CR2=0000000000000000
"""
BASES = (0xFFFF_8880_1F20_0000, 0xFFFF_8880_1F30_0000)


def gate(address: int, kind: int = 0x8E) -> bytes:
    return struct.pack(
        "<HHBBHII",
        address & 0xFFFF, 0x10, 0, kind, address >> 16 & 0xFFFF, address >> 32, 0,
    )  # fmt: skip


def test_the_interrupt_tables_base() -> None:
    assert idt.base_from_monitor(MONITOR) == 0xFFFF_FE00_0000_0000
    with pytest.raises(NotReadyError, match="interrupt table"):
        idt.base_from_monitor("unknown command: 'info registers'")


def test_a_gates_handler() -> None:
    assert idt.handler(gate(0xFFFF_FFFF_81C0_0990), 0) == 0xFFFF_FFFF_81C0_0990


@pytest.mark.parametrize("kind", [0x0E, 0x85, 0x00])
def test_what_is_no_gate(kind: int) -> None:
    with pytest.raises(CorruptError, match="interrupt gate at 0x1000"):
        idt.handler(gate(0xFFFF_FFFF_81C0_0990, kind), 0x1000)


def listing(without: str = "") -> str:
    """What `maint print remote-registers` prints, gaps and unsent registers included."""
    lines = [" Name         Nr  Rel Offset    Size  Type            Rmt Nr  g/G Offset"]
    at = 0
    for number, (name, size) in enumerate(NEEDED.items()):
        if name != without:
            lines.append(f" {name:<12} {number:>3} {number:>3} {at:>6} {size:>7} int{' ':<15} "
                         f"{number} {at:>11}")  # fmt: skip
        at += size
    lines.append(" ''           99   99    276       0 int0_t          ")
    return "\n".join(lines)


def layout() -> Layout:
    return parse_layout(listing())


def registers(**values: int) -> Registers:
    found = Registers(layout(), bytes(layout().size))
    for name, value in {"efer": 0xD01, "cr0": 0x8005_0033, "cs": 0x10, **values}.items():
        found[name] = value
    return found


def test_a_layout_from_gdbs_listing() -> None:
    found = layout()
    assert found.size == sum(NEEDED.values())
    assert found.places["rbx"] == (8, 8)
    assert found.numbers["rip"] == 16
    with pytest.raises(NotReadyError, match="lack k_gs_base"):
        parse_layout(listing(without="k_gs_base"))
    with pytest.raises(NotReadyError, match="lack rax"):
        parse_layout("The program has no registers now.")


def test_registers_by_name() -> None:
    one = registers(rax=-1, eflags=0x246)
    assert one["rax"] == 2**64 - 1
    assert one["rbx"] == 0
    other = one.copy()
    other["eflags"] = 2
    assert one["eflags"] == 0x246
    assert one.differing(other) == ["eflags"]
    assert one.differing(one.copy()) == []
    with pytest.raises(NotReadyError, match="sent 3 bytes"):
        Registers(layout(), b"abc")


USER_GS = 0x7FFF_0000_1000
USER = {"gs_base": USER_GS, "k_gs_base": BASES[1], "eflags": 0x246, "ss": 0x2B}


@pytest.mark.parametrize(
    ("values", "mode", "cpu"),
    [
        ({"cs": 0x33, **USER}, Mode.USER64, 1),
        ({"cs": 0x23, **USER}, Mode.USER32, 1),
        ({"gs_base": BASES[0]}, Mode.KERNEL, 0),
        ({"gs_base": USER_GS, "k_gs_base": BASES[0]}, Mode.ENTRY, 0),
        # A program may choose a gs_base that looks like the kernel's.
        ({"gs_base": 0xFFFF_8000_0000_0000, "k_gs_base": BASES[1]}, Mode.ENTRY, 1),
        ({"gs_base": 0x1000}, Mode.EARLY, None),
        ({"gs_base": BASES[0], "efer": 0}, Mode.EARLY, None),
        ({"gs_base": BASES[0], "cr0": 0x10}, Mode.EARLY, None),
        ({"cs": 0x33, "gs_base": 0, "k_gs_base": 0}, Mode.EARLY, None),
    ],
)
def test_what_a_vcpu_is_doing(values: dict[str, int], mode: Mode, cpu: int | None) -> None:
    found = vcpu.inspect(1, registers(**values), False, BASES)
    assert (found.mode, found.cpu) == (mode, cpu)
    if cpu is not None:
        assert found.percpu_base == BASES[cpu]


@pytest.mark.parametrize("cs", [0x33, 0x23])
def test_kernel_context_from_user_mode(cs: int) -> None:
    own = registers(cs=cs, rbx=7, **USER)
    context = vcpu.kernel_context(vcpu.inspect(1, own, False, BASES))
    assert (context["cs"], context["ss"], context["eflags"]) == (0x10, 0x18, 2)
    assert (context["gs_base"], context["k_gs_base"]) == (BASES[1], USER_GS)
    assert context["rbx"] == 7
    assert own["cs"] == cs


def test_kernel_context_from_the_kernel_keeps_the_base() -> None:
    own = registers(gs_base=BASES[0], k_gs_base=USER_GS, eflags=0x246)
    found = vcpu.inspect(1, own, False, BASES)
    assert found.irqs_on
    context = vcpu.kernel_context(found)
    assert (context["gs_base"], context["k_gs_base"]) == (BASES[0], USER_GS)
    assert not context["eflags"] & vcpu.FLAG_IF


def test_no_kernel_context_in_early_boot() -> None:
    early = vcpu.inspect(2, registers(efer=0), False, BASES)
    with pytest.raises(NotReadyError, match=r"vCPU 1 .*early boot"):
        vcpu.kernel_context(early)


def test_exception_tables_are_relative() -> None:
    memory = MockMemory()
    at = 0xFFFF_FFFF_8243_6580
    places = (0xFFFF_FFFF_8100_1234, 0xFFFF_FFFF_C000_0000)
    raw = b"".join(
        struct.pack("<iii", place - (at + 12 * i), 0, 0) for i, place in enumerate(places)
    )
    memory.put(at, raw)
    assert extable.fault_addresses(memory.read, at, 2) == set(places)
    assert extable.fault_addresses(memory.read, 0, 0) == frozenset()
    with pytest.raises(CorruptError, match="exception table"):
        extable.fault_addresses(memory.read, at, 1 << 31)


PAGE_FAULT = faults.TRAPS["asm_exc_page_fault"]
DIVIDE = faults.TRAPS["asm_exc_divide_error"]
DOUBLE = faults.TRAPS["asm_exc_double_fault"]
SCHEDULE = faults.TRAPS["__schedule"]
#: What entries do first, without and with an error code by the CPU: as built, as patched at boot.
STARTS = ("9090 90fc", "0f01ca fc", "f30f1efa 0f01ca fc", "f30f1efa 0f1f00 fc", "")


def entry(memory: MockMemory, at: int, start: str, routine: int) -> int:
    """Put an entry there that calls a routine; return where that returns to."""
    code = bytes.fromhex(start) + b"\xe8"
    back = at + len(code) + 4
    memory.put(at, code + (routine - back).to_bytes(4, "little", signed=True) + bytes(32))
    return back


@pytest.mark.parametrize("start", STARTS)
def test_entries_with_a_routine_in_common_share_a_stop(start: str) -> None:
    memory = MockMemory()
    fault_back = entry(memory, 0x8000, start, 0x2000)
    divide_back = entry(memory, 0x8100, start + "6aff", 0x2000)
    entry(memory, 0x8200, start, 0x3000)  # the only one that calls that
    places = {0x8000: PAGE_FAULT, 0x8100: DIVIDE, 0x8200: DOUBLE, 0x8300: SCHEDULE}
    stops = faults.Stops(memory.read, places)
    assert set(stops.addresses) == {0x2000, 0x8200, 0x8300}

    def arrival(rip: int, *stack: int) -> faults.Arrival | None:
        memory.put_u64(0x1000, *stack)
        return stops.arrival(memory.read, rip, 0x1000)

    assert arrival(0x2000, fault_back, 2, 0x77) == faults.Arrival(PAGE_FAULT, 0x77)
    assert arrival(0x2000, divide_back, 2**64 - 1, 0x78) == faults.Arrival(DIVIDE, 0x78)
    assert arrival(0x2000, divide_back + 1, 2**64 - 1, 0x78) is None  # another exception
    assert arrival(0x8200, 0, 0x79) == faults.Arrival(DOUBLE, 0x79)
    assert arrival(0x8300, 0x7A, 0) == faults.Arrival(SCHEDULE, 0x7A)
    assert arrival(0x8000, 0, 0x7B) is None
    assert stops.arrival(memory.read, 0x8200, 0x9999) == faults.Arrival(DOUBLE, 0)


@pytest.mark.parametrize("start", ["55", "9090cc", "fcf644241003", "fc6afe", "6aff6aff"])
def test_entries_that_do_something_first_are_stops_themselves(start: str) -> None:
    memory = MockMemory()
    entry(memory, 0x8000, start, 0x2000)
    entry(memory, 0x8100, start, 0x2000)
    places = {0x8000: PAGE_FAULT, 0x8100: faults.TRAPS["asm_exc_stack_segment"]}
    stops = faults.Stops(memory.read, places)
    assert set(stops.addresses) == set(places)
    memory.put_u64(0x1000, 0x11, 0x22)
    assert stops.arrival(memory.read, 0x8000, 0x1000) == faults.Arrival(PAGE_FAULT, 0x22)


def test_an_entry_whose_error_code_is_not_as_expected_is_a_stop_itself() -> None:
    memory = MockMemory()
    entry(memory, 0x8000, "fc6aff", 0x2000)
    entry(memory, 0x8100, "fc", 0x2000)
    places = {0x8000: PAGE_FAULT, 0x8100: DIVIDE}
    assert set(faults.Stops(memory.read, places).addresses) == set(places)


def test_what_is_said_about_a_trap() -> None:
    page_fault, divide = PAGE_FAULT, DIVIDE
    text = faults.describe(page_fault, "f+5", 0x18)
    assert text == "a page fault at address 0x18 in f+5"
    assert faults.describe(divide, "f+5", None) == "a division by zero in f+5"
