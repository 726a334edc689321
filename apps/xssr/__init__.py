"""The MONAI Label app; its folder is what `--app` names, and the wheel carries it as `xssr_strategy.app`."""
