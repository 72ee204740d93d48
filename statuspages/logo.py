"""Is this a picture that may stand on a public page? The portal's judge, which its own logos meet too."""

from portal.logo import MOST_BYTES, MOST_POINTS, NotALogo, judge

__all__ = ["MOST_BYTES", "MOST_POINTS", "NotALogo", "judge"]
