"""Actors: ids of hands and people that survive changes of action, occlusion and gaps."""
