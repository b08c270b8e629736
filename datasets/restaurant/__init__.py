"""Generated restaurant footage: workers at a counter, filmed from above, with exact annotations.

`generate(config)` yields scenes; a scene gives frames and `VideoAnnotations` in memory, and
`files.write_footage` puts the same on disk as a data set.
"""

from stadet.datasets.restaurant.config import FootageConfig
from stadet.datasets.restaurant.scene import Scene, generate

__all__ = ["FootageConfig", "Scene", "generate"]
