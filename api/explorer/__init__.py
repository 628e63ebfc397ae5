"""The explorer: one server-rendered page over the live generation, for engineers and analysts (spec 06.5).

Lives here: ``session`` (who may look), ``view`` (what is shown), ``plots`` (SVG), ``pages`` (the paths), the
templates and the style. Does not belong here: computing anything; ``flowforge explain`` does.
"""

from api.explorer.pages import install

__all__ = ["install"]
