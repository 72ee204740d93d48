"""Can an accent colour be read? It is made darker or lighter until it stands out from what is behind it, in both themes (WCAG AA)."""

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


# --- The console's --------------------------------------------------------------------------------------------------------
# What links stand on besides the paper (app.css: --raised), and what a tint is mixed with.
LIGHT_RAISED, DARK_RAISED = "#f0eeeb", "#282523"
WHITE, DARK_SURFACE = "#ffffff", "#1d1b1a"


def mixed(colour: str, paper: str, share: float) -> str:
    """So much of the colour (0 to 1) on that paper."""
    pairs = ((int(colour[n : n + 2], 16), int(paper[n : n + 2], 16)) for n in (1, 3, 5))
    return "#" + "".join(f"{round(c * share + p * (1 - share)):02x}" for c, p in pairs)


def tokens(accent: str) -> dict[str, tuple[str, str]]:
    """app.css's names for what an accent colours, each as (light, dark): links, buttons under white ink, tints, focus."""
    act = readable(accent, WHITE)  # white ink on it reads as well as it does on white
    hover = mixed(act, "#000000", 0.85)
    light_tint, dark_tint = mixed(act, WHITE, 0.1), mixed(act, DARK_SURFACE, 0.2)
    light = readable(readable(accent, LIGHT_RAISED), light_tint)
    dark = readable(readable(accent, DARK_RAISED), dark_tint)
    return {
        "link": (light, dark), "act": (act, act), "act-hover": (hover, hover), "act-tint": (light_tint, dark_tint), "focus": (light, dark),
    }  # fmt: skip
