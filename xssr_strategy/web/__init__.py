"""What surrounds MONAI Label's routes: checks of requests, login, error answers, the map."""

from xssr_strategy.web.installation import install

__all__ = ["install"]
