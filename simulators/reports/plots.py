"""Plots as inline SVG: lines, stacked areas and bars, whose colours the page's style sheet gives.

Nothing is fetched and nothing runs: what a plot shows is in its shapes, and in `<title>` elements
that browsers show as tooltips and readers read out. Used by `page`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 12, 34
_COLOURS = 8


@dataclass(frozen=True, slots=True)
class Line:
    """One named curve; where a value is not a number it is interrupted."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one place of the x axis."""

    x: float
    words: str


def number(value: float) -> str:
    """A number as people write it on an axis."""
    if value and abs(value) < 0.001:
        return f"{value:.1e}"
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.3f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def time_of(seconds: float) -> str:
    """Seconds as an axis of time shows them."""
    if seconds < 120:
        return f"{number(round(seconds, 1))} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes}:{rest:02d}"
    return f"{minutes // 60}:{minutes % 60:02d} h"


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from about low to about high."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    raw = span / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(one * power for one in (1, 2, 5, 10) if one * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


class _Frame:
    """Axes, and where values are on them."""

    def __init__(
        self,
        xs: tuple[float, float],
        ys: tuple[float, float],
        x_words: Callable[[float], str],
        x_ticks: Sequence[float] | None = None,
    ) -> None:
        self.x_low, self.x_high = xs if xs[1] > xs[0] else (xs[0], xs[0] + 1)
        self.y_low, self.y_high = ys if ys[1] > ys[0] else (ys[0], ys[0] + 1)
        self._x_words = x_words
        self._x_ticks = x_ticks

    def x(self, value: float) -> float:
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 2)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 2)

    def svg(self, label: str, inside: list[str], unit: str) -> str:
        """The whole plot."""
        named = f'class="plot" role="img" aria-label="{escape(label)}"'
        parts = [f'<svg {named} viewBox="0 0 {WIDTH} {HEIGHT}">']
        for value in ticks(self.y_low, self.y_high, 4):
            y = self.y(value)
            parts.append(f'<path class="grid" d="M{_LEFT} {y}H{WIDTH - _RIGHT}"/>')
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" class="right">{number(value)}</text>')
        x_ticks = ticks(self.x_low, self.x_high, 8) if self._x_ticks is None else self._x_ticks
        for value in x_ticks:
            x = self.x(value)
            parts.append(f'<path class="tick" d="M{x} {HEIGHT - _BOTTOM}v4"/>')
            words = escape(self._x_words(value))
            parts.append(f'<text x="{x}" y="{HEIGHT - _BOTTOM + 18}" class="middle">{words}</text>')
        floor = self.y(self.y_low)
        parts.append(f'<path class="axis" d="M{_LEFT} {floor}H{WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT + 4}" y="{_TOP + 2}" class="unit">{escape(unit)}</text>')
        return "".join([*parts, *inside, "</svg>"])


def _top(values: Sequence[float]) -> float:
    return max((one for one in values if math.isfinite(one)), default=0.0) * 1.08


def legend(names: Sequence[str]) -> str:
    """What the colours mean."""
    items = (
        f'<li><span class="key c{index % _COLOURS}"></span>{escape(name)}</li>'
        for index, name in enumerate(names)
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def line_plot(
    label: str,
    curves: Sequence[Line],
    unit: str,
    marks: Sequence[Mark] = (),
    x_words: Callable[[float], str] = time_of,
    *,
    from_zero: bool = True,
) -> str:
    """Curves over one x axis, with a legend."""
    xs = [x for one in curves for x in one.xs]
    ys = [y for one in curves for y in one.ys if math.isfinite(y)]
    low = 0.0 if from_zero else min([0.0, *ys])
    frame = _Frame((min(xs, default=0.0), max(xs, default=1.0)), (low, _top(ys)), x_words)
    inside = _marked(frame, marks)
    for index, one in enumerate(curves):
        pieces = _pieces(one)
        dots = [dot for piece in pieces for dot in piece]
        path = "".join(
            "M" + "L".join(f"{frame.x(x)} {frame.y(y)}" for x, y in piece)
            for piece in pieces
            if len(piece) > 1
        )
        title = f"<title>{escape(one.name)}</title>"
        colour = f"c{index % _COLOURS}"
        if path:
            inside.append(f'<path class="line {colour}" d="{path}">{title}</path>')
        if len(dots) <= 60:
            inside += [
                f'<circle class="dot {colour}" cx="{frame.x(x)}" cy="{frame.y(y)}" r="2.5">'
                f"<title>{escape(one.name)}, {escape(x_words(x))}: {number(round(y, 3))} {unit}"
                "</title></circle>"
                for x, y in dots
            ]
    return frame.svg(label, inside, unit) + legend([one.name for one in curves])


def _pieces(curve: Line) -> list[list[tuple[float, float]]]:
    """The dots of a curve, in pieces between those that are not numbers."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(curve.xs, curve.ys, strict=True):
        if math.isfinite(y):
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    return pieces


def area_plot(label: str, layers: Sequence[Line], unit: str, marks: Sequence[Mark] = ()) -> str:
    """Layers upon each other, all with the same xs, with a legend."""
    xs = layers[0].xs
    tops = [[0.0] * len(xs)]
    for one in layers:
        tops.append([below + y for below, y in zip(tops[-1], one.ys, strict=True)])
    frame = _Frame((min(xs), max(xs)), (0.0, _top(tops[-1])), time_of)
    inside = []
    for index, one in enumerate(layers):
        upper = [f"{frame.x(x)} {frame.y(y)}" for x, y in zip(xs, tops[index + 1], strict=True)]
        lower = [f"{frame.x(x)} {frame.y(y)}" for x, y in zip(xs, tops[index], strict=True)]
        path = "L".join([*upper, *reversed(lower)])
        colour = f"c{index % _COLOURS}"
        inside.append(
            f'<path class="area {colour}" d="M{path}Z"><title>{escape(one.name)}</title></path>'
        )
    inside += _marked(frame, marks)
    return frame.svg(label, inside, unit) + legend([one.name for one in layers])


def distribution_plot(label: str, bars: Sequence[tuple[float, float, int]]) -> str:
    """Counts between two latencies in milliseconds each, on a logarithmic axis of latencies."""
    low, high = math.log10(bars[0][0]), math.log10(bars[-1][1])
    decades = [float(one) for one in range(math.floor(low), math.ceil(high) + 1)]
    fine = [one + part for one in decades for part in (0.0, math.log10(2), math.log10(5))]
    shown = [one for one in (fine if high - low < 3 else decades) if low <= one <= high]
    frame = _Frame(
        (low, high),
        (0.0, _top([float(count) for _, _, count in bars])),
        lambda power: f"{number(float(f'{10**power:.2g}'))} ms",
        shown,
    )
    inside = []
    for first, last, count in bars:
        left, right = frame.x(math.log10(first)), frame.x(math.log10(last))
        top = frame.y(count)
        title = f"{number(round(first, 3))} to {number(round(last, 3))} ms: {count} answers"
        inside.append(
            f'<rect class="area c0" x="{left}" y="{top}" width="{max(right - left, 0.5):.2f}"'
            f' height="{frame.y(0) - top:.2f}"><title>{title}</title></rect>'
        )
    return frame.svg(label, inside, "answers")


def _marked(frame: _Frame, marks: Sequence[Mark]) -> list[str]:
    top, bottom = _TOP, HEIGHT - _BOTTOM
    return [
        f'<path class="mark" d="M{frame.x(one.x)} {top}V{bottom}">'
        f"<title>{escape(one.words)}</title></path>"
        for one in marks
        if frame.x_low <= one.x <= frame.x_high
    ]
