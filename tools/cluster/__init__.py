"""Many videos over many workers: `stad fleet`, on Ray."""
