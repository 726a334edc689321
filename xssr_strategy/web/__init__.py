"""What surrounds MONAI Label's routes: checks of requests, login, error answers, the map.

Import :mod:`xssr_strategy.web.install` where a server runs; it alone needs MONAI Label's web application.
"""
