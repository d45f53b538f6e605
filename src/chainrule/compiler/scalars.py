"""LLVM instructions for the scalar vocabulary, of one lane or of a vector of lanes.

No `fast`, `nnan` or `ninf`: NaN and infinity must survive. `contract` lets a product and a sum become one instruction.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.compiler.angles import DEFINITION, FAR, FAR_ANGLE, USED
from chainrule.compiler.text import Text, Value
from chainrule.dtypes import DType

__all__ = ["FLAGS", "emit", "lanes", "literal", "splat", "type_of"]

FLAGS = "contract nsz arcp"

_NAMES = {"b": "i1", "f4": "float", "f8": "double"}
_ARITHMETIC = {
    "add": ("fadd", "add", "or"), "subtract": ("fsub", "sub", "xor"), "multiply": ("fmul", "mul", "and"),
    "divide": ("fdiv", None, None), "left_shift": (None, "shl", None), "bitwise_and": (None, "and", "and"),
}  # fmt: skip
_EXACT = {"exact_add": "fadd", "exact_subtract": "fsub", "exact_multiply": "fmul", "exact_divide": "fdiv"}
_COMPARE = {
    "equal": ("oeq", "eq"), "not_equal": ("une", "ne"), "less": ("olt", "lt"), "less_equal": ("ole", "le"),
    "greater": ("ogt", "gt"), "greater_equal": ("oge", "ge"),
}  # fmt: skip
_INTRINSIC = {
    "sqrt": "sqrt", "floor": "floor", "round": "rint", "absolute": "fabs", "copysign": "copysign", "fma": "fma",
}  # fmt: skip


def type_of(dtype: DType, width: int = 1) -> str:
    """The LLVM type of `width` lanes of `dtype` in a register."""
    name = _NAMES.get(dtype.kind) or _NAMES.get(dtype.str[1:]) or f"i{8 * dtype.itemsize}"
    return f"<{width} x {name}>" if width > 1 else name


def literal(value: Any, dtype: DType) -> Value:
    """A constant of `dtype`."""
    if dtype.kind == "f":
        number = float(np.float32(value)) if dtype.itemsize == 4 else float(value)
        return "0x" + struct.pack(">d", number).hex().upper()
    if dtype.kind == "b":
        return "true" if value else "false"
    return str(int(value))


def splat(text: Text, value: Value, dtype: DType, width: int) -> Value:
    """One value in all lanes."""
    if width == 1:
        return value
    if not value.startswith("%"):
        return f"splat ({type_of(dtype)} {value})"
    kind = type_of(dtype, width)
    first = text.let(f"insertelement {kind} poison, {type_of(dtype)} {value}, i64 0")
    return text.let(f"shufflevector {kind} {first}, {kind} poison, <{width} x i32> zeroinitializer")


def lanes(
    text: Text, value: Value, dtype: DType, width: int, function: Callable[[Value], Value], result: DType
) -> Value:
    """`function` applied to one lane after another."""
    if width == 1:
        return function(value)
    out = "poison"
    for lane in range(width):
        one = text.let(f"extractelement {type_of(dtype, width)} {value}, i64 {lane}")
        out = text.let(f"insertelement {type_of(result, width)} {out}, {type_of(result)} {function(one)}, i64 {lane}")
    return out


def emit(text: Text, op: str, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    """The value of `op` on `args` (of dtypes `kinds`, `width` lanes each)."""
    kind = kinds[-1]
    t = type_of(kind, width)
    number = {"f": 0, "b": 2}.get(kind.kind, 1)
    if op in _ARITHMETIC:
        instruction = _ARITHMETIC[op][number]
        flags = f" {FLAGS}" if number == 0 else ""
        return text.let(f"{instruction}{flags} {t} {args[0]}, {args[1]}")
    if op in _COMPARE:
        return _compare(text, op, args, kind, t)
    if op in _EXACT:
        return text.let(f"{_EXACT[op]} {t} {args[0]}, {args[1]}")
    if op in _INTRINSIC and kind.kind == "f":
        suffix = f"{'v' + str(width) if width > 1 else ''}f{8 * kind.itemsize}"
        return text.call(f"llvm.{_INTRINSIC[op]}.{suffix}", t, *((t, x) for x in args))
    if op not in _SPECIAL:
        raise NotImplementedError(f"no machine code for '{op}' of {kind}")
    return _SPECIAL[op](text, args, kinds, dtype, width)


def _compare(text: Text, op: str, args: list[Value], kind: DType, t: str) -> Value:
    ordered, integer = _COMPARE[op]
    if kind.kind == "f":
        return text.let(f"fcmp {ordered} {t} {args[0]}, {args[1]}")
    sign = "" if integer in ("eq", "ne") else "s" if kind.kind == "i" else "u"
    return text.let(f"icmp {sign}{integer} {t} {args[0]}, {args[1]}")


def _constant(value: Any, dtype: DType, width: int) -> Value:
    one = literal(value, dtype)
    return one if width == 1 else f"splat ({type_of(dtype)} {one})"


def _select(text: Text, condition: Value, a: Value, b: Value, dtype: DType, width: int) -> Value:
    mask, t = type_of(np.dtype("bool"), width), type_of(dtype, width)
    return text.let(f"select {mask} {condition}, {t} {a}, {t} {b}")


def _where(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    return _select(text, args[0], args[1], args[2], dtype, width)


def _extreme(op: str) -> Callable[..., Value]:
    """The larger or smaller of two, NaN if one is NaN."""

    def larger(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
        a, b = args
        t = type_of(dtype, width)
        if dtype.kind == "b":
            return text.let(f"{'or' if op == 'greater' else 'and'} {t} {a}, {b}")
        if dtype.kind != "f":
            return _select(text, _compare(text, op, args, dtype, t), a, b, dtype, width)
        opposite = "olt" if op == "greater" else "ogt"
        if not b.startswith("%"):  # a number: one comparison keeps a NaN in `a`
            return _select(text, text.let(f"fcmp {opposite} {t} {a}, {b}"), b, a, dtype, width)
        chosen = _select(text, text.let(f"fcmp {opposite} {t} {a}, {b}"), b, a, dtype, width)
        return _select(text, text.let(f"fcmp uno {t} {b}, {b}"), b, chosen, dtype, width)

    return larger


def _negative(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    t = type_of(dtype, width)
    return text.let(f"fneg {t} {args[0]}" if dtype.kind == "f" else f"sub {t} {_constant(0, dtype, width)}, {args[0]}")


def _absolute(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    if dtype.kind in "bu":
        return args[0]
    t = type_of(dtype, width)
    below = text.let(f"icmp slt {t} {args[0]}, {_constant(0, dtype, width)}")
    return _select(text, below, _negative(text, args, kinds, dtype, width), args[0], dtype, width)


def _sign(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    zero, one = _constant(0, dtype, width), _constant(1, dtype, width)
    t, x = type_of(dtype, width), args[0]
    above = _compare(text, "greater", [x, zero], dtype, t)
    if dtype.kind in "bu":
        return _select(text, above, one, zero, dtype, width)
    below = _compare(text, "less", [x, zero], dtype, t)
    rest = x if dtype.kind == "f" else zero  # a NaN stays one, and so does the sign of zero
    found = _select(text, below, _constant(-1, dtype, width), rest, dtype, width)
    return _select(text, above, one, found, dtype, width)


def _power(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    """An integer power by squaring, which wraps as the products do (powers below 0 are not defined)."""
    t = type_of(dtype, width)
    zero, one = _constant(0, dtype, width), _constant(1, dtype, width)

    def turn(_: Value, carried: list[Value]) -> list[Value]:
        found, base, exponent = carried
        bit = text.let(f"icmp ne {t} {text.let(f'and {t} {exponent}, {one}')}, {zero}")
        found = _select(text, bit, text.let(f"mul {t} {found}, {base}"), found, dtype, width)
        return [found, text.let(f"mul {t} {base}, {base}"), text.let(f"lshr {t} {exponent}, {one}")]

    return text.loop(0, 8 * dtype.itemsize, 1, [(t, one), (t, args[0]), (t, args[1])], turn)[0]


def _cast(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    source, t, wanted = kinds[0], type_of(kinds[0], width), type_of(dtype, width)
    if source == dtype:
        return args[0]
    if dtype.kind == "b":
        compare = "fcmp une" if source.kind == "f" else "icmp ne"
        return text.let(f"{compare} {t} {args[0]}, {_constant(0, source, width)}")
    if source.kind == "b" and dtype.kind == "f":  # a conversion of bits takes four instructions
        return _select(text, args[0], _constant(1, dtype, width), _constant(0, dtype, width), dtype, width)
    if source.kind == dtype.kind == "f":
        name = "fpext" if dtype.itemsize > source.itemsize else "fptrunc"
    elif source.kind == "f" and (dtype.itemsize < 4 or dtype == np.dtype("uint32")):
        wider = np.dtype("int64" if dtype.itemsize == 4 else "int32")  # as NumPy does: -1 is 255, not undefined
        return _cast(text, [_cast(text, args, kinds, wider, width)], [wider], dtype, width)
    elif source.kind == "f":
        name = "fptoui" if dtype.kind == "u" else "fptosi"
    elif dtype.kind == "f":
        name = "sitofp" if source.kind == "i" else "uitofp"
    elif dtype.itemsize > source.itemsize or source.kind == "b":
        name = "sext" if source.kind == "i" else "zext"
    elif dtype.itemsize == source.itemsize:
        return args[0]
    else:
        name = "trunc"
    return text.let(f"{name} {t} {args[0]} to {wanted}")


def _foretold(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    """A condition as 0 or 1 by a branch."""
    assert width == 1
    before, true, after = text.block, text.name("true"), text.name("after")
    text.do(f"br i1 {args[0]}, label %{true}, label %{after}{text.stays_branch()}")
    text.start(true)
    text.do(f"br label %{after}")
    text.start(after)
    one, zero = literal(1, dtype), literal(0, dtype)
    return text.let(f"phi {type_of(dtype)} [ {one}, %{true} ], [ {zero}, %{before} ]")


def _logic(name: str) -> Callable[..., Value]:
    return lambda text, args, kinds, dtype, width: text.let(f"{name} {type_of(dtype, width)} {args[0]}, {args[1]}")


def _not(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    return text.let(f"xor {type_of(dtype, width)} {args[0]}, {_constant(True, dtype, width)}")


def _isfinite(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    kind = kinds[0]
    if kind.kind != "f":
        return _constant(True, dtype, width)
    size = emit(text, "absolute", args, kinds, kind, width)
    return text.let(f"fcmp olt {type_of(kind, width)} {size}, {_constant(float('inf'), kind, width)}")


def _shift(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    return text.let(f"{'ashr' if dtype.kind == 'i' else 'lshr'} {type_of(dtype, width)} {args[0]}, {args[1]}")


def _bitcast(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    return text.let(f"bitcast {type_of(kinds[0], width)} {args[0]} to {type_of(dtype, width)}")


def _far_turn(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    """Angles modulo pi / 2 and the quarters taken away, a pair, where a lane is large; else nothing is computed."""
    kind, t, whole = kinds[0], type_of(kinds[0], width), type_of(np.dtype("int64"), width)
    size = emit(text, "absolute", args, kinds, kind, width)
    large = _compare(text, "greater", [size, _constant(FAR, kind, width)], kind, t)
    some = large if width == 1 else text.call(f"llvm.vector.reduce.or.v{width}i1", "i1", (f"<{width} x i1>", large))
    before, rare, after = text.block, text.name("rare"), text.name("after")
    text.do(f"br i1 {some}, label %{rare}, label %{after}")
    text.start(rare)
    text.declared |= {DEFINITION, *USED}
    safe = _select(text, large, args[0], _constant(FAR, kind, width), kind, width)
    pairs: list[Value] = []

    def turned(x: Value) -> Value:
        pairs.append(text.let(f"call {{ double, i64 }} @{FAR_ANGLE}(double {x})"))
        return text.let(f"extractvalue {{ double, i64 }} {pairs[-1]}, 0")

    def quarter(_: Value) -> Value:
        return text.let(f"extractvalue {{ double, i64 }} {pairs.pop(0)}, 1")

    angles = lanes(text, safe, kind, width, turned, kind)
    quarters = lanes(text, safe, kind, width, quarter, np.dtype("int64"))
    text.do(f"br label %{after}")
    text.start(after)
    angle = text.let(f"phi {t} [ {angles}, %{rare} ], [ zeroinitializer, %{before} ]")
    count = text.let(f"phi {whole} [ {quarters}, %{rare} ], [ zeroinitializer, %{before} ]")
    first = text.let(f"insertvalue {{ {t}, {whole} }} poison, {t} {angle}, 0")
    return text.let(f"insertvalue {{ {t}, {whole} }} {first}, {whole} {count}, 1")


def _of_turn(part: int) -> Callable[..., Value]:
    def taken(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
        pair = f"{{ {type_of(kinds[0], width)}, {type_of(np.dtype('int64'), width)} }}"
        return text.let(f"extractvalue {pair} {args[0]}, {part}")

    return taken


def _philox(text: Text, args: list[Value], kinds: list[DType], dtype: DType, width: int) -> Value:
    """Word `position` of the stream (key: seed, stream; counter: position // 4 + 1, step, 0, 0), as NumPy's Philox."""
    t = type_of(dtype, width)

    def fixed(value: int) -> Value:
        return _constant(value, dtype, width)

    seed, stream, step, position = args
    block = text.let(f"lshr {t} {position}, {fixed(2)}")
    counter = [text.let(f"add {t} {block}, {fixed(1)}"), step, fixed(0), fixed(0)]
    key = [seed, stream]
    for turn in range(10):
        if turn:
            key = [
                text.let(f"add {t} {k}, {fixed(weyl - 2**64)}")
                for k, weyl in zip(key, (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B), strict=True)
            ]
        (high0, low0) = _wide_product(text, counter[0], 0xD2E7470EE14C6C93, dtype, width)
        (high1, low1) = _wide_product(text, counter[2], 0xCA5A826395121157, dtype, width)
        mixed0 = text.let(f"xor {t} {text.let(f'xor {t} {high1}, {counter[1]}')}, {key[0]}")
        mixed1 = text.let(f"xor {t} {text.let(f'xor {t} {high0}, {counter[3]}')}, {key[1]}")
        counter = [mixed0, low1, mixed1, low0]
    which = text.let(f"and {t} {position}, {fixed(3)}")
    word = counter[3]
    for i in (2, 1, 0):
        word = _select(text, text.let(f"icmp eq {t} {which}, {fixed(i)}"), counter[i], word, dtype, width)
    return word


def _wide_product(text: Text, x: Value, factor: int, dtype: DType, width: int) -> tuple[Value, Value]:
    """The high and the low 64 bits of a product of 64-bit numbers."""
    t = type_of(dtype, width)
    wide = f"<{width} x i128>" if width > 1 else "i128"
    number = f"splat (i128 {factor})" if width > 1 else str(factor)
    by = "splat (i128 64)" if width > 1 else "64"
    product = text.let(f"mul {wide} {text.let(f'zext {t} {x} to {wide}')}, {number}")
    high = text.let(f"trunc {wide} {text.let(f'lshr {wide} {product}, {by}')} to {t}")
    return high, text.let(f"trunc {wide} {product} to {t}")


_SPECIAL: dict[str, Callable[..., Value]] = {
    "where": _where, "maximum": _extreme("greater"), "minimum": _extreme("less"), "negative": _negative,
    "absolute": _absolute, "sign": _sign, "power": _power, "cast": _cast, "logical_and": _logic("and"),
    "logical_or": _logic("or"), "logical_not": _not, "isfinite": _isfinite, "right_shift": _shift, "philox": _philox,
    "foretold": _foretold, "bits": _bitcast, "from_bits": _bitcast, "far_turn": _far_turn,
    "far_angle": _of_turn(0), "far_quarter": _of_turn(1),
    "floor": lambda text, args, *_: args[0],
}  # fmt: skip
