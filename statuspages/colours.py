"""Can a page's accent colour be read? The portal's rules, which its own accent meets too."""

from portal.colours import DARK_PAPER, DEFAULT, LEAST, LIGHT_PAPER, contrast, luminance, pair, readable

__all__ = ["DARK_PAPER", "DEFAULT", "LEAST", "LIGHT_PAPER", "contrast", "luminance", "pair", "readable"]
