"""Can an accent colour be read? A page's colour is made darker or lighter until it stands out from both papers (WCAG AA)."""

from __future__ import annotations

import colorsys
import re

LEAST = 4.5  # WCAG 2.2, 1.4.3: text against what is behind it
LIGHT_PAPER, DARK_PAPER = "#f8f7f5", "#1d1b1a"
DEFAULT = "#2563eb"


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, 0 to 1 (WCAG's definition)."""
    parts = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """From 1 (the same) to 21 (black on white)."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, paper: str) -> str:
    """The colour, or the nearest of its hue that can be read on this paper. What is no colour becomes the default one."""
    colour = colour.lower() if re.fullmatch(r"#[0-9a-fA-F]{6}", colour) else DEFAULT
    hue, light, saturation = colorsys.rgb_to_hls(*(int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)))
    step = -0.02 if luminance(paper) > 0.5 else 0.02
    while contrast(colour, paper) < LEAST and 0 < light + step < 1:
        light += step
        colour = "#" + "".join(f"{round(c * 255):02x}" for c in colorsys.hls_to_rgb(hue, light, saturation))
    return colour


def pair(accent: str) -> tuple[str, str]:
    """The accent as it is used on light and on dark paper."""
    return readable(accent, LIGHT_PAPER), readable(accent, DARK_PAPER)
