"""Angles so large that many digits of pi are needed: x modulo pi / 2 by one long product. Payne and Hanek (1983).

A float64 is m 2^e with a whole m of 53 bits, so of x 2 / pi only those bits of 2 / pi matter that give bits between the
last that counts modulo 4 and the last that is wanted. 256 of them are read (192 behind the point of the product), and
the rest is integer arithmetic, one number at a time: such angles are rare.
"""

from __future__ import annotations

import struct

from chainrule.compiler.coefficients import PI_HALVES, TWO_OVER_PI

__all__ = ["DEFINITION", "FAR", "FAR_ANGLE", "USED"]

FAR = 2.0**28  # below it, three parts of pi / 2 are enough
FAR_ANGLE = "chainrule.far_angle"
USED = ("declare i192 @llvm.ctlz.i192(i192, i1)", "declare double @llvm.fma.f64(double, double, double)")
_BYTES = 1216 // 8 + 16  # zeros before the point, for the smallest of these angles


def _hex(number: float) -> str:
    return "0x" + struct.pack(">d", number).hex().upper()


_DIGITS = "".join(f"\\{byte:02X}" for byte in TWO_OVER_PI.to_bytes(_BYTES, "little"))

# a place in the digits: bit 1024 - e, where the product's last bit then weighs 2^-192
DEFINITION = f"""
@chainrule.two_over_pi = internal constant [{_BYTES} x i8] c"{_DIGITS}"
define internal {{ double, i64 }} @{FAR_ANGLE}(double %x) noinline {{
  %bits = bitcast double %x to i64
  %shifted = lshr i64 %bits, 52
  %exponent = and i64 %shifted, 2047
  %fraction = and i64 %bits, {2**52 - 1}
  %whole = or i64 %fraction, {2**52}
  %place = sub i64 {1024 + 1075}, %exponent
  %byte = lshr i64 %place, 3
  %within = and i64 %place, 7
  %address = getelementptr i8, ptr @chainrule.two_over_pi, i64 %byte
  %read = load i256, ptr %address, align 1
  %within.wide = zext i64 %within to i256
  %digits = lshr i256 %read, %within.wide
  %whole.wide = zext i64 %whole to i256
  %product = mul i256 %digits, %whole.wide
  %rounded = add i256 %product, {2**191}
  %quarters = lshr i256 %rounded, 192
  %quarter = trunc i256 %quarters to i64
  %rest = trunc i256 %product to i192
  %below = icmp slt i192 %rest, 0
  %opposite = sub i192 0, %rest
  %size = select i1 %below, i192 %opposite, i192 %rest
  %zeros = call i192 @llvm.ctlz.i192(i192 %size, i1 false)
  %leading = shl i192 %size, %zeros
  %top.wide = lshr i192 %leading, 128
  %top = trunc i192 %top.wide to i64
  %high.bits = lshr i64 %top, 11
  %low.bits = and i64 %top, 2047
  %high.whole = uitofp i64 %high.bits to double
  %high = fmul double %high.whole, 2048.0
  %low = uitofp i64 %low.bits to double
  %along = fmul double %low, {_hex(PI_HALVES[0])}
  %across = call double @llvm.fma.f64(double %high, double {_hex(PI_HALVES[1])}, double %along)
  %turn = call double @llvm.fma.f64(double %high, double {_hex(PI_HALVES[0])}, double %across)
  %zeros.short = trunc i192 %zeros to i64
  %power = sub i64 {1023 - 64}, %zeros.short
  %power.bits = shl i64 %power, 52
  %scale = bitcast i64 %power.bits to double
  %angle = fmul double %turn, %scale
  %backward = icmp slt i64 %bits, 0
  %sign = xor i1 %below, %backward
  %negative = fneg double %angle
  %signed = select i1 %sign, double %negative, double %angle
  %quarter.negative = sub i64 0, %quarter
  %quarter.signed = select i1 %backward, i64 %quarter.negative, i64 %quarter
  %first = insertvalue {{ double, i64 }} poison, double %signed, 0
  %both = insertvalue {{ double, i64 }} %first, i64 %quarter.signed, 1
  ret {{ double, i64 }} %both
}}
"""
