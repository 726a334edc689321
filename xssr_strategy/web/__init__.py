"""What surrounds MONAI Label's routes: checks of requests, login, error answers, the map."""
