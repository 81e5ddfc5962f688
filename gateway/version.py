"""The version of the hub, as installed: pyproject.toml is the one place where it is written."""

import importlib.metadata

VERSION = importlib.metadata.version("qiee-hub")
